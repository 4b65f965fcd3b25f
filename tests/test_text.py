"""From a text file to batches of integers: nothing is lost, nothing is on both sides, everything is used."""

import hashlib
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgpt import text
from microgpt.errors import InputError
from microgpt.text import batches, decode, decode_text, encode, make_corpus, padded, read_text, vocabulary_of

DATA = Path(__file__).parents[1] / "data"


def names(n):
    """So many different lines."""
    return [f"{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(n)]


# Reading


@pytest.mark.parametrize(
    "data",
    [b"anna\nbob\n", b"\xef\xbb\xbfanna\nbob\n", b"anna\r\nbob\r\n", b"anna\rbob\r"],
    ids=["newlines", "byte-order mark", "carriage return and newline", "carriage return"],
)
def test_every_kind_of_file_reads_the_same(tmp_path, data):
    path = tmp_path / "names.txt"
    path.write_bytes(data)
    assert read_text(path) == "anna\nbob\n"


@pytest.mark.parametrize("text", ["شمس\nسمك\n", "😀🎉\n👩‍👩‍👧\n", "e\u0301a\u0308\nu\u0308\n", "日本\n語\n"])
def test_every_script_comes_through(tmp_path, text):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())
    assert read_text(path) == text
    assert decode(encode(text, vocabulary_of(text)), vocabulary_of(text)) == text


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b" \r\n\n\t", "is empty"),
        (b"ab\0cd", "zero byte at offset 2"),
        ("anna\n".encode("utf-16"), "zero byte"),
        ("anaïs\n".encode("latin-1"), "not UTF-8: byte 0xef at offset 3"),
        (b"\x89PNG\r\n", "not UTF-8: byte 0x89 at offset 0"),
    ],
)
def test_what_is_no_text_is_refused(data, complaint):
    with pytest.raises(InputError, match=f"names.txt.*{complaint}"):
        decode_text(data, "names.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.txt"):
        read_text(tmp_path / "nowhere.txt")


def test_a_directory_is_no_text(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_text(tmp_path)


def test_the_names_that_come_with_the_project_are_complete():
    lines = read_text(DATA / "names.txt").splitlines()
    assert len(lines) == len(set(lines)) == 5163


def test_the_plays_that_come_with_the_project_are_those_of_the_readme():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256((DATA / "shakespeare.txt").read_bytes()).hexdigest() in readme
    text = read_text(DATA / "shakespeare.txt")
    assert (text.count("\n"), len(set(text))) == (40_000, 65)


# Characters and integers


def test_newline_comes_first_then_the_order_of_unicode():
    assert vocabulary_of("ba\n ß") == "\n abß"


def test_newline_is_always_in_the_vocabulary():
    assert vocabulary_of("ab") == "\nab"


@given(st.text())
def test_decode_undoes_encode(text):
    vocabulary = vocabulary_of(text)
    assert decode(encode(text, vocabulary), vocabulary) == text


@given(st.text())
def test_every_integer_is_a_place_in_the_vocabulary(text):
    vocabulary = vocabulary_of(text)
    assert {0, *encode(text, vocabulary)} == set(range(len(vocabulary)))


def test_an_unknown_character_is_named_and_the_known_ones_are_shown():
    with pytest.raises(InputError, match=r"character 'x'.*'abc'"):
        encode("abxc", "\nabc")


# Documents


def test_lines_that_just_fit_are_documents():
    assert make_corpus("abc\nd\n", n_positions=4, seed=0).documents == "lines"


def test_a_line_that_just_does_not_fit_makes_the_text_a_stream():
    assert make_corpus("abcd\ne\n", n_positions=4, seed=0).documents == "stream"


def test_the_kind_of_documents_can_be_chosen():
    assert make_corpus("abc\ndef\n", n_positions=6, seed=0, documents="stream").documents == "stream"
    assert make_corpus("abc\ndef\n", n_positions=4, seed=0, documents="lines").documents == "lines"


def test_a_line_too_long_is_shown_with_two_ways_out():
    with pytest.raises(InputError, match=r"'abcd' has 4 characters.*--block-size 5 or --documents stream"):
        make_corpus("abcd\ne\n", n_positions=4, seed=0, documents="lines")


def everything(corpus):
    return [decode(sequence, corpus.vocabulary) for sequence in corpus.training + corpus.validation]


def test_every_line_is_a_document_between_two_newlines():
    corpus = make_corpus("anna\n\nbob\nanna", n_positions=8, seed=0)
    assert sorted(everything(corpus)) == ["\nanna\n", "\nanna\n", "\nbob\n"]


def test_the_longest_line_fills_the_context():
    corpus = make_corpus("abc\nd\n", n_positions=4, seed=0)
    assert max(map(len, everything(corpus))) == 4 + 1


@given(st.text("abc \n", min_size=20).filter(lambda text: len(set(text)) > 2), st.integers(2, 9))
def test_every_character_of_a_stream_is_predicted_once(text, n_positions):
    corpus = make_corpus("x" + text + "y", n_positions, seed=0, documents="stream")
    windows = everything(corpus)
    assert all(2 <= len(window) <= n_positions + 1 for window in windows)
    assert Counter("".join(window[1:] for window in windows)) == Counter("x" + text + "y\n")


@pytest.mark.parametrize(("lines", "held_out"), [(2, 1), (19, 1), (20, 2), (50, 5), (200, 20)])
def test_a_tenth_is_held_out(lines, held_out):
    corpus = make_corpus("\n".join(names(lines)), n_positions=8, seed=0)
    assert (len(corpus.training), len(corpus.validation)) == (lines - held_out, held_out)


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=2, max_size=60), st.integers(0, 5))
def test_equal_lines_are_never_on_both_sides(lines, seed):
    corpus = make_corpus("\n".join([*lines, "first", "second"]), n_positions=8, seed=seed)
    assert corpus.training
    assert corpus.validation
    assert not {tuple(s) for s in corpus.training} & {tuple(s) for s in corpus.validation}
    assert len(corpus.training) + len(corpus.validation) == len(lines) + 2


def test_the_seed_chooses_what_is_held_out():
    text = "\n".join(names(100))
    first, again, other = (make_corpus(text, 8, seed).validation for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("anna", "one distinct line"),
        ("anna\nanna\n", "one distinct line"),
        ("aaa\naa\n", "one distinct character, 'a'"),
        ("abcdefghi", "one distinct line"),
    ],
)
def test_a_text_with_nothing_to_learn_or_hold_out_is_refused(text, complaint):
    with pytest.raises(InputError, match=complaint):
        make_corpus(text, n_positions=16, seed=0)


def test_a_stream_of_a_single_window_is_refused():
    with pytest.raises(InputError, match="one distinct window of 16 characters"):
        make_corpus("abcdefghi", n_positions=16, seed=0, documents="stream")


# Batches


def sequences_of(n, longest=9):
    """So many sequences, all different, of all lengths."""
    return [[i + 1] * (2 + i % (longest - 1)) for i in range(n)]


def rows_of(batch):
    tokens, weights = batch
    return [row[: np.count_nonzero(w) + 1].tolist() for row, w in zip(tokens, weights, strict=True)]


def test_every_sequence_is_used_once_before_any_is_used_again():
    sequences = sequences_of(64)
    stream = batches(sequences, batch_size=2, seed=0)
    for _ in range(3):
        used = [row for batch in islice(stream, 32) for row in rows_of(batch)]
        assert sorted(used) == sorted(sequences)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 3))
def test_no_sequence_is_used_more_than_once_more_than_another(n, batch_size, pools):
    drawn = islice(batches(sequences_of(n), batch_size, seed=0), 16 * pools)
    uses = Counter(row[1] for batch in drawn for row in rows_of(batch))
    counts = [uses[i + 1] for i in range(n)]
    assert max(counts) - min(counts) <= 1


def test_batches_have_their_size_even_if_there_are_fewer_sequences():
    tokens, _ = next(batches(sequences_of(3), batch_size=8, seed=0))
    assert len(tokens) == 8


def test_sequences_of_like_length_come_together():
    drawn = islice(batches(sequences_of(64), batch_size=4, seed=0, pool_size=16), 16)
    assert all(len({len(row) for row in rows_of(batch)}) <= 2 for batch in drawn)


def test_short_and_long_batches_come_in_no_order():
    lengths = [tokens.shape[1] for tokens, _ in islice(batches(sequences_of(64), batch_size=4, seed=0), 16)]
    assert lengths != sorted(lengths)


def test_the_seed_chooses_the_batches():
    first, again, other = (
        [tokens.tolist() for tokens, _ in islice(batches(sequences_of(64), 4, seed), 20)] for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("before", [0, 700])
def test_an_epoch_is_shuffled_once_however_many_batches_it_has(monkeypatch, before):
    shuffled = []
    original = text._shuffled
    monkeypatch.setattr(text, "_shuffled", lambda n, seed, epoch: shuffled.append(epoch) or original(n, seed, epoch))
    list(islice(batches(sequences_of(1000), batch_size=2, seed=0, drawn_before=before), 600))  # of 500 an epoch
    assert shuffled == ([0, 1] if before == 0 else [1, 2])


def test_padding_weighs_nothing():
    tokens, weights = padded([[1, 2], [1, 2, 3, 4]])
    assert tokens.tolist() == [[1, 2, 0, 0], [1, 2, 3, 4]]
    assert (weights != 0).tolist() == [[True, False, False], [True, True, True]]


@given(st.lists(st.integers(2, 12), min_size=1, max_size=8))
def test_the_mean_of_the_weighted_sums_is_the_mean_over_all_predictions(lengths):
    _, weights = padded([[1] * length for length in lengths], np.float64)
    losses = np.random.default_rng(0).normal(size=weights.shape)
    predictions = [loss for row, n in zip(losses, lengths, strict=True) for loss in row[: n - 1]]
    assert (weights * losses).sum(axis=1).mean() == pytest.approx(np.mean(predictions), abs=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tokens_are_integers_and_weights_floats(dtype):
    tokens, weights = next(batches(sequences_of(5), 2, 0, dtype))
    assert tokens.dtype.kind == "i"
    assert weights.dtype == dtype
