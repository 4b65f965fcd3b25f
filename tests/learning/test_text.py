"""From a text file to batches of integers: nothing is lost, nothing is on both sides, everything is used."""

import hashlib
import io
import re
import tracemalloc
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgpt.errors import InputError
from microgpt.learning import batches as batches_module
from microgpt.learning import reading
from microgpt.learning.batches import batches, make_corpus, padded, padded_length, predictions, windows
from microgpt.learning.bigram import bigram_probabilities
from microgpt.learning.documents import kind_of_documents, room_for_lines, why_prose
from microgpt.learning.reading import Source, read_text, text_of
from microgpt.learning.text import END, characters_of, closing, decode, encode, vocabulary_of

DATA = Path(__file__).parents[2] / "data"


def decoded(data):
    """The text of the bytes of a file."""
    return "".join(Source(io.BytesIO(data), "names.txt").parts())


def names(n):
    """So many different lines."""
    return [f"{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(n)]


# Reading


def test_every_kind_of_file_reads_the_same(tmp_path):
    path = tmp_path / "names.txt"
    for data in (b"anna\nbob\n", b"\xef\xbb\xbfanna\nbob\n", b"anna\r\nbob\r\n", b"anna\rbob\r"):
        path.write_bytes(data)
        assert read_text(path) == "anna\nbob\n"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_tells_the_encoding(encoding):
    assert decoded("\ufeffaña\r\n語😀\r\n".encode(encoding)) == "aña\n語😀\n"


@pytest.mark.parametrize("text", ["شمس\nسمك\n", "😀🎉\n👩‍👩‍👧\n", "e\u0301a\u0308\nu\u0308\n"])
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
        ("anna\n".encode("utf-16-le"), "zero byte at offset 1; .* UTF-16 or UTF-32, save it as UTF-8"),
        ("\ufeffab\0".encode("utf-16-le"), "zero byte"),
        ("\ufeffanna\n".encode("utf-16-le")[:-1], "not UTF-16: .* save it as UTF-8"),
        ("\ufeff".encode("utf-32-be"), "is empty"),
        ("anaïs\n".encode("latin-1"), "not UTF-8: byte 0xef at offset 3"),
        (b"\x89PNG\r\n", "not UTF-8: byte 0x89 at offset 0"),
    ],
)
def test_what_is_no_text_is_refused(data, complaint):
    with pytest.raises(InputError, match=f"names.txt.*{complaint}"):
        decoded(data)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path, said in ((tmp_path / "nowhere.txt", r"nowhere\.txt"), (tmp_path, "cannot read")):
        with pytest.raises(InputError, match=said):
            read_text(path)


def test_the_texts_of_the_project_are_whole():
    lines = read_text(DATA / "names.txt").splitlines()
    assert len(lines) == len(set(lines)) == 5163
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256((DATA / "shakespeare.txt").read_bytes()).hexdigest() in readme
    text = read_text(DATA / "shakespeare.txt")
    assert (text.count("\n"), len(set(text))) == (40_000, 65)


# Characters and integers


def test_a_vocabulary_is_newline_characters_and_proses_end():
    for text, documents, expected in (
        ("ba\n ß", "lines", "\n abß"),
        ("ab", "lines", "\nab"),
        ("ba\n ß", "stream", "\n abß\x03"),
    ):
        assert vocabulary_of(text, documents) == expected


def test_writing_ends_where_documents_end():
    for vocabulary, documents, last, characters in (
        ("\nab", "lines", "\n", "\nab"),
        ("\nab\x03", "lines", "\n", "\nab\x03"),
        ("\nab\x03", "stream", "\x03", "\nab"),
        ("\nab", "stream", None, "\nab"),
        ("\n\x03ab", "stream", None, "\n\x03ab"),  # a character of the text, in a run from before there was an end
    ):
        assert closing(vocabulary, documents) == last
        assert characters_of(vocabulary, documents) == characters


@pytest.mark.slow
@given(st.text())
def test_integers_are_places_in_the_vocabulary(text):
    vocabulary = vocabulary_of(text)
    assert decode(encode(text, vocabulary), vocabulary) == text
    assert {0, *encode(text, vocabulary)} == set(range(len(vocabulary)))


QAN = "\nQan"


@pytest.mark.parametrize(
    ("text", "vocabulary", "remedy"),
    [
        *(("Anna", QAN, "'anna'"), ("aNnA", QAN, "'anna'"), ("q", QAN, "'Q'")),
        *((text, QAN, None) for text in ("AnnaX", "x", "İ", "a" * 100 + "A")),
        ("caf\u00e9", "\nacef\u0301", "'cafe\u0301', with decomposed accents,"),
        ("cafe\u0301", "\nacf\u00e9", "'caf\u00e9', with composed accents,"),
        ("\uac00", "\n\u1100\u1161", "'\u1100\u1161', with decomposed accents,"),  # Korean syllables, too
    ],
)
def test_another_spelling_is_offered_where_known(text, vocabulary, remedy):
    with pytest.raises(InputError) as error:
        encode(text, vocabulary)
    if remedy is None:
        assert str(error.value).endswith("it knows 'Qan'")
    else:
        assert str(error.value).endswith(f"; {remedy} would work")
        encode(remedy.split("'")[1], vocabulary)


def test_unknown_and_known_characters_are_shown_readably():
    chinese = "\n" + "".join(chr(0x4E00 + i) for i in range(1500))
    for text, vocabulary, said in (
        ("abxc", "\nabc", "the character 'x'; it knows 'abc'"),
        ("龥", chinese, "the character '龥' (U+9FA5); it knows 1,500 others"),
        (
            "\u0308",
            "\nae\u0301\u0905\u093f\U0001f44d\U0001f3fd\ufe0f",
            r"the character '\u0308' (U+0308); "
            "it knows 'ae\\u0301\u0905\\u093f\U0001f44d\\U0001f3fd\\ufe0f'",
        ),
    ):
        with pytest.raises(InputError) as error:
            encode(text, vocabulary)
        assert str(error.value) == f"the model does not know {said}"


# Documents


@pytest.mark.parametrize(
    ("text", "n_positions", "kind"),
    [
        ("abc\nd\n", 4, "lines"),
        ("abcd\ne\n", 4, "stream"),
        *(
            ("\n\n" + "ab\n" * 30 + "ab\n\n" * empty + "c\n\n\n", 4, kind)  # those at both ends do not count
            for empty, kind in ((0, "lines"), (1, "lines"), (8, "stream"))
        ),
        (read_text(DATA / "shakespeare.txt"), 128, "stream"),
    ],
    ids=["fits", "does not fit", "no empty lines", "one empty line", "empty lines", "plays"],
)
def test_short_lines_are_documents_and_others_prose(text, n_positions, kind):
    assert kind_of_documents(text_of(text), n_positions) == kind


@pytest.mark.parametrize("gap", ["\n\n", "\n\n\n", "\r\r\n"])
def test_empty_lines_between_all_others_are_left_out(gap):
    text = decoded(gap.join(names(30)).encode())
    assert kind_of_documents(text_of(text), n_positions=4) == "lines"
    assert sorted(everything(make_corpus(text, 4, seed=0))) == sorted(f"\n{name}\n" for name in names(30))
    close = re.sub("\n+", "\n", text, count=10)
    assert why_prose(text_of(close), 4).endswith("lines are empty, but do not separate all others")


def drawn_lines(n, length, letters):
    """So many lines of random letters."""
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list(letters), length)) for _ in range(n)]


def verses(n, *lengths):
    """Chinese verses of several halves, each of so many characters."""
    halves = [iter(drawn_lines(n, length, "山水风月花鸟人心云天")) for length in lengths]
    return ["\uff0c".join(next(half) for half in halves) + "。" for _ in range(n)]


NAME_LIKE = {
    "DNA": drawn_lines(300, 40, "ACGT"),
    "molecules": [line + "(=O)O" for line in drawn_lines(300, 30, "CNO1c")],
    "Chinese verses": verses(300, 5, 5) + verses(300, 7, 7),
    "places": [*(f"{a} {b}" for a in names(20) for b in names(20)), "rostov on the don river"],
}


CHINESE = "".join(verses(300, 5, 9))
NOT_NAME_LIKE = {
    "verse": read_text(DATA / "shakespeare.txt").replace("\n\n", "\n").split("\n")[:2000],
    "Python": Path(reading.__file__).read_text(encoding="utf-8").split("\n"),
    "a table": [f"{i},2020-01-{1 + i % 28:02},{i * 37 % 101}.5" for i in range(300)],
    "music": [f"|:{a}|{b}:|" for a, b in zip(drawn_lines(300, 8, "ABcde"), drawn_lines(300, 8, "ABcde"), strict=True)],
    "Chinese prose in lines of one width": [CHINESE[i : i + 30] for i in range(0, len(CHINESE), 30)],
    "few lines": drawn_lines(99, 40, "ACGT"),
    "few different lines": drawn_lines(99, 40, "ACGT") * 3,
    "long lines": drawn_lines(300, 65, "ACGT"),
}


@pytest.mark.parametrize("kind", [*NAME_LIKE, *NOT_NAME_LIKE])
def test_only_lines_like_names_get_more_room(kind):
    lines = (NAME_LIKE | NOT_NAME_LIKE)[kind]
    text = text_of("\n".join(lines) + "\n")
    assert room_for_lines(text, 16) == (max(map(len, lines)) + 1 if kind in NAME_LIKE else 16)
    assert (kind_of_documents(text, room_for_lines(text, 16)) == "lines") == (kind in NAME_LIKE)


def test_the_kind_of_documents_can_be_chosen():
    assert make_corpus("abc\ndef\n" * 9, n_positions=6, seed=0, documents="stream").documents == "stream"
    assert make_corpus("abc\ndef\n", n_positions=4, seed=0, documents="lines").documents == "lines"


def everything(corpus):
    return [decode(sequence, corpus.vocabulary) for sequence in [*corpus.training, *corpus.validation]]


def test_every_line_is_a_document_between_newlines():
    corpus = make_corpus("anna\n\nbob\nanna", n_positions=5, seed=0, documents="lines")
    assert sorted(everything(corpus)) == ["\nanna\n", "\nanna\n", "\nbob\n"]


def test_the_usual_sequence_has_the_median_length():
    corpus = make_corpus("\n".join("abcdefg"[:n] for n in (1, 2, 3, 4, 5, 6, 7)), n_positions=8, seed=0)
    assert len(corpus.usual(8)) == sorted(map(len, corpus.training))[3]
    assert corpus.usual(2) == corpus.usual(8)[:3]  # two predictions


@given(st.text("abc \n", min_size=120, max_size=150), st.integers(2, 9))
def test_the_last_tenth_of_prose_is_held_out(text, n_positions):
    corpus = make_corpus("x" + text + "y", n_positions, seed=0, documents="stream")
    (training,), pieces = corpus.training, corpus.validation
    assert all(2 <= len(piece) <= n_positions + 1 for piece in pieces)
    held_out = pieces[0][:1] + [token for piece in pieces for token in piece[1:]]  # each is predicted once
    assert decode([*training, *held_out], corpus.vocabulary) == "\nx" + text + "y\n"
    assert len(held_out) == (len(text) + 4) // 10


def test_prose_never_reaches_its_end():
    corpus = make_corpus("ab cd " * 30, n_positions=8, seed=0, documents="stream")
    assert (corpus.vocabulary, corpus.characters) == ("\n abcd\x03", "\n abcd")
    assert set().union(*corpus.training, *corpus.validation) == set(range(6))
    for vocabulary in ("\n abcd", "\n abcd\x03", "\n abcdefg"):
        assert make_corpus("ab cd " * 30, 8, 0, "stream", vocabulary).vocabulary == vocabulary


@pytest.mark.parametrize("vocabulary", [None, "\n abcd\x03"])
@pytest.mark.parametrize(("before", "place"), [("", "1, as character 1"), ("ab\n\nab ", "3, as character 4")])
def test_the_end_in_prose_is_refused(vocabulary, before, place):
    with pytest.raises(InputError, match=f"U\\+0003 on line {place}.*: delete it, or replace it by a newline"):
        make_corpus(before + END + "ab cd " * 30 + END, 8, 0, "stream", vocabulary)


def test_elsewhere_the_end_is_an_ordinary_character():
    assert make_corpus("ab\x03\ncd\n", n_positions=8, seed=0).vocabulary == "\n\x03abcd"
    older = make_corpus("ab\x03 cd" * 30, 8, 0, "stream", "\n\x03 abcd")
    assert 1 in older.training[0]


@pytest.mark.parametrize("documents", ["lines", "stream"])
def test_a_look_takes_an_even_part_held_out(documents):
    text = "\n".join(f"{i:06}" for i in range(100_000))
    corpus = make_corpus(text, n_positions=20, seed=0, documents=documents)
    held_out = list(corpus.validation)
    places = [held_out.index(sequence) for sequence in corpus.part]
    assert 15_000 < predictions(corpus.part) <= batches_module.PART
    assert len(set(np.diff(places))) == 1
    assert places[-1] > 0.9 * len(corpus.validation)
    short = make_corpus(text[:2000], n_positions=20, seed=0, documents=documents)
    assert short.part == short.validation


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


def test_the_seed_chooses_the_lines_held_out():
    text = "\n".join(names(100))
    first, again, other = (make_corpus(text, 8, seed).validation for seed in (1, 1, 2))
    assert first == again != other
    assert make_corpus(text, 8, 1, "stream").validation == make_corpus(text, 8, 2, "stream").validation


@pytest.mark.parametrize(
    ("text", "documents", "complaint"),
    [
        ("anna\nanna\n", "auto", "one distinct line"),
        ("abcdefghi", "auto", "one distinct line"),
        ("aaa\naa\n", "auto", "one distinct character, 'a'"),
        ("a" * 1000, "auto", "only one distinct character, 'a'"),
        ("ab\nba\nbb\n", "Lines", "documents is 'Lines': expected 'lines', 'stream' or 'auto'"),
        ("abcd" * 4 + "\ne\n", "lines", r"has 16 characters.*--block-size 17 or --documents stream"),
    ],
)
def test_a_text_that_cannot_be_learned_is_refused(text, documents, complaint):
    with pytest.raises(InputError, match=complaint):
        make_corpus(text, 16, 0, documents)


@pytest.mark.parametrize(
    ("length", "remedy"),
    [
        (9, "use a text of at least 170 characters"),
        (98, "use --block-size 9 or less, or a text of at least 170 characters"),
        (160, "use --block-size 15 or less, or"),
    ],
)
def test_a_context_too_long_is_told_the_longest(length, remedy):
    text = ("abcdefghi " * 16)[:length]
    with pytest.raises(InputError, match=f"has {length} characters.* no longer than the context of 16: {remedy}"):
        make_corpus(text, n_positions=16, seed=0, documents="stream")
    if "less" in remedy:
        make_corpus(text, n_positions=int(remedy.split()[2]), seed=0, documents="stream")
    make_corpus("abcdefghi " * 17, n_positions=16, seed=0, documents="stream")


# Batches


def sequences_of(n, longest=9):
    """So many sequences, all different, of all lengths."""
    return [[i + 1] * (2 + i % (longest - 1)) for i in range(n)]


def rows_of(batch):
    tokens, weights = batch
    return [row[: np.count_nonzero(w) + 1].tolist() for row, w in zip(tokens, weights, strict=True)]


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 3))
def test_sequences_are_used_equally_often(n, batch_size, pools):
    drawn = islice(batches(sequences_of(n), batch_size, seed=0), 16 * pools)
    uses = Counter(row[1] for batch in drawn for row in rows_of(batch))
    counts = [uses[i + 1] for i in range(n)]
    assert max(counts) - min(counts) <= 1


def test_a_batch_is_filled_even_by_fewer_sequences():
    for dtype in (np.float32, np.float64):
        tokens, weights = next(batches(sequences_of(3), 8, 0, dtype))
        assert (len(tokens), tokens.dtype.kind, weights.dtype) == (8, "i", dtype)


def test_sequences_of_like_length_come_together(monkeypatch):
    monkeypatch.setattr("microgpt.learning.batches.POOL", 16)
    drawn = islice(batches(sequences_of(64), batch_size=4, seed=0), 16)
    assert all(len({len(row) for row in rows_of(batch)}) <= 2 for batch in drawn)


def test_the_seed_chooses_the_batches():
    first, again, other = (
        [tokens.tolist() for tokens, _ in islice(batches(sequences_of(64), 4, seed), 20)] for seed in (1, 1, 2)
    )
    assert first == again != other
    lengths = [len(tokens[0]) for tokens in first[:16]]
    assert lengths != sorted(lengths)


@pytest.mark.parametrize("before", [0, 700])
def test_an_epoch_is_shuffled_once(monkeypatch, before):
    shuffled = []
    monkeypatch.setattr(batches_module, "EPOCHS", 1)
    shuffle = batches_module._shuffled
    monkeypatch.setattr(
        batches_module, "_shuffled", lambda n, seed, epoch: shuffled.append(epoch) or shuffle(n, seed, epoch)
    )
    list(islice(batches(sequences_of(1000), batch_size=2, seed=0, drawn_before=before), 600))  # of 500 an epoch
    assert shuffled == ([0, 1] if before == 0 else [1, 2, 3])  # at most an epoch ahead


def test_windows_begin_anywhere():
    drawn = islice(windows(list(range(96)), n_positions=8, batch_size=4, seed=0), 300)
    starts = Counter(int(start) for tokens, _ in drawn for start in tokens[:, 0])
    assert set(starts) == set(range(96 - 8))


@given(st.integers(1, 9), st.integers(40, 60), st.integers(1, 7))
def test_prose_is_drawn_whole_before_any_again(n_positions, length, batch_size):
    n = length // n_positions - 1  # windows in an epoch, each of another part
    drawn = islice(windows(list(range(length)), n_positions, batch_size, seed=0), 4 * n)
    predicted = np.concatenate([tokens[:, 1:] for tokens, _ in drawn])
    for epoch in range(4):
        of_epoch = predicted[epoch * n : (epoch + 1) * n].ravel()
        assert len(set(of_epoch)) == len(of_epoch) >= length - 2 * n_positions


def test_every_epoch_cuts_a_stream_elsewhere():
    tokens = [tokens for tokens, _ in islice(windows(list(range(1000)), 50, 19, seed=0), 8)]
    assert len({batch[0, 0] % 50 for batch in tokens}) > 4
    assert all(len({row[0] % 50 for row in batch}) == 1 for batch in tokens)


@pytest.mark.parametrize("batch_size", [3, 16, 50])
def test_windows_go_on_where_they_stopped(batch_size):
    whole = [tokens.tolist() for tokens, _ in islice(windows(list(range(130)), 8, batch_size, seed=3), 20)]
    for before in range(19):
        tokens, weights = next(windows(list(range(130)), 8, batch_size, seed=3, drawn_before=before))
        assert tokens.tolist() == whole[before]
        assert (tokens.dtype.kind, weights.dtype) == ("i", np.float32)
        assert (weights == padded(tokens.tolist())[1]).all()


def test_padding_weighs_nothing():
    tokens, weights = padded([[1, 2], [1, 2, 3, 4]])
    assert tokens.tolist() == [[1, 2, 0, 0], [1, 2, 3, 4]]
    assert weights.tolist() == [[0.5, 0, 0], [0.5, 0.5, 0.5]]  # so that the mean of the rows is that of all predictions


def test_batches_have_lines_of_few_lengths(monkeypatch):
    monkeypatch.setattr("microgpt.learning.batches.POOL", 1)
    sequences = [[i + 1] * (21 + 7 * i % 261) for i in range(2000)]  # of 20 to 280 predictions
    drawn = list(islice(batches(sequences, batch_size=4, seed=0), 1000))
    assert len({weights.shape for _, weights in drawn}) < 25
    used = Counter(tuple(row) for batch in drawn[:500] for row in rows_of(batch))
    assert used == Counter(map(tuple, sequences))
    for tokens, weights in drawn:
        assert tokens.shape[1] == weights.shape[1] + 1
        assert weights.sum() == pytest.approx(4, abs=1e-5)  # the mean over all its characters


@given(st.integers(1, 5000), st.integers(0, 5000))
def test_lengths_are_rounded_up_by_an_eighth(longest, more):
    length = padded_length(longest, longest + more)
    assert longest <= length <= min(longest + more, max(16, longest + longest // 8))
    assert length == longest or longest > 16


def test_a_long_text_is_encoded_in_parts(monkeypatch):
    text = ("ab cä語😀.\n" * 40).strip("\n")
    expected = encode("\n" + text + "\n", vocabulary_of(text, "stream"))
    monkeypatch.setattr(reading, "CHUNK", 7)
    corpus = make_corpus(text, 8, 0, "stream")
    assert corpus.training[0].dtype == np.uint8
    assert corpus.training[0].tolist() == expected[: len(corpus.training[0])]
    with pytest.raises(InputError, match="does not know the character '語'"):
        make_corpus(text, 8, 0, "stream", vocabulary_of(text.replace("語", ""), "stream"))


def test_prose_takes_a_few_bytes_a_character():
    text = "the quick brown fox jumps over the lazy dog; " * 40_000
    tracemalloc.start()
    corpus = make_corpus(text, 64, 0, "stream")
    bigram_probabilities(corpus.training, len(corpus.characters))
    next(corpus.batches(64, 4, 0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * len(text)
