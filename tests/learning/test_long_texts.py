"""Long texts: read in parts, in little memory, and else like short ones."""

import io
import tracemalloc
from itertools import islice

import numpy as np
import pytest

from microgpt.errors import InputError
from microgpt.learning import batches as batches_module
from microgpt.learning import bigram, documents, lines, reading, sequences
from microgpt.learning.batches import Order, batches, make_corpus, windows
from microgpt.learning.bigram import bigram_loss, bigram_probabilities
from microgpt.learning.documents import room_for_lines
from microgpt.learning.reading import Source, encoded, scan, source_of, text_of

MIXED = "añ\r\n\r語😀\n\r\nab\u0301\r"
NAMES = [f"{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{i % 7}" for i in range(3000)]


def parts_of(data, monkeypatch, size):
    monkeypatch.setattr(reading, "CHUNK", size)
    return list(Source(io.BytesIO(data), "it").parts())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("size", [5, 6, 7, 1000])
def test_parts_may_cut_characters_and_line_ends(monkeypatch, encoding, size):
    parts = parts_of(MIXED.encode(encoding), monkeypatch, size)
    assert "".join(parts) == "añ\n\n語😀\n\nab\u0301\n"
    assert len(parts) >= len(MIXED.encode(encoding)) / size


@pytest.mark.parametrize("size", [5, 6, 7, 1000])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("añ語\n".encode() + b"\xff", "not UTF-8: byte 0xff at offset 7; save it as UTF-8"),
        ("\ufeffañ語\n".encode() + b"ab\xe8\xaa", "not UTF-8: byte 0xe8 at offset 12"),
        ("añ語\n".encode() + b"a\0b", "zero byte at offset 8"),
        (b" \n\t\r\n" * 5, "is empty"),
    ],
)
def test_a_fault_is_found_in_any_part(monkeypatch, data, said, size):
    with pytest.raises(InputError, match=said):
        parts_of(data, monkeypatch, size)


@pytest.mark.parametrize("text", ["ab cä語😀.\n\nb\n", "ab\ncd\n", "".join(map(chr, range(32, 400)))])
def test_integers_in_a_file_are_the_text(tmp_path, monkeypatch, text):
    monkeypatch.setattr(reading, "CHUNK", 4)
    found = scan(iter([text]))
    in_file = encoded(lambda: iter([text[:3], text[3:]]), found, found.characters, tmp_path / "text.bin")
    assert str(in_file) == "".join(in_file.parts()) == str(text_of(text)) == text
    assert in_file.ids.tolist() == text_of(text).ids.tolist()
    assert in_file.ids.itemsize == (1 if len(found.characters) <= 256 else 2)
    assert (tmp_path / "text.bin").stat().st_size == in_file.ids.nbytes
    assert scan(in_file.parts()) == found


def test_an_unknown_character_is_named_with_a_remedy(monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 4)
    with pytest.raises(InputError, match=r"does not know the character 'A'.*; 'anna' would work"):
        text_of("bnb\n" * 9 + "Anna\nbnbX\n", "\nabn")


def test_blocks_of_any_size_find_the_same_lines(monkeypatch):
    text = text_of("\n\n\nab\n\n\n" + "\n".join(NAMES[:30]) + "\n\nthe longest\na\n\n")
    facts = text.lines
    assert (facts.full, facts.empty, facts.blocks, facts.longest) == (33, 3, 3, 11)
    assert facts.too_long(4) == (38, 11)
    assert (facts.begin, facts.end) == (3, len(text.ids) - 3)
    for size in (1, 2, 5):
        monkeypatch.setattr(lines, "BLOCK", size)
        assert lines.facts_of_lines(text.ids) == facts


def test_room_for_lines_samples_a_long_text(monkeypatch):
    monkeypatch.setattr(documents, "SAMPLE", 20_000)
    text = text_of("\n".join(f"{name}{name[::-1] * 9}" for name in NAMES))
    assert len(documents.some_lines(text)) < 1000
    assert room_for_lines(text, 16) == 31


@pytest.mark.parametrize("seed", [0, 1])
def test_of_many_lines_about_a_tenth_is_held_out(monkeypatch, tmp_path, seed):
    monkeypatch.setattr(sequences, "EXACT", 1000)
    monkeypatch.setattr(lines, "BLOCK", 500)
    distinct = [f"{i * i}" for i in range(20_000)]
    content = "\n".join([*distinct, "", *distinct[::2]])
    found = scan(iter([content]))
    text = encoded(lambda: iter([content]), found, found.characters, tmp_path / "text.bin")
    corpus = make_corpus(text, 16, seed)
    learned, held_out = ({tuple(line) for line in part} for part in (corpus.training, corpus.validation))
    assert not learned & held_out
    assert len(learned) + len(held_out) == len(distinct)
    assert 0.09 < len(held_out) / len(distinct) < 0.11
    assert len(corpus.training) + len(corpus.validation) == 1.5 * len(distinct)
    assert (make_corpus(text, 16, seed).validation, seed) != (make_corpus(text, 16, 7).validation, 7)


def test_batches_of_many_sequences_are_the_same(monkeypatch):
    corpus = make_corpus("\n".join(name * (1 + i % 6) for i, name in enumerate(NAMES)), 32, 0)
    of_few = list(islice(batches(corpus.training, 64, 0), 100))
    monkeypatch.setattr(batches_module, "WHOLE", 0)
    for (tokens, weights), (again, weights_again) in zip(of_few, batches(corpus.training, 64, 0), strict=False):
        assert tokens.tobytes() == again.tobytes()
        assert weights.tobytes() == weights_again.tobytes()


@pytest.mark.parametrize("n", [11, 16, 17, 1000])
def test_a_long_random_order_has_every_number_once(monkeypatch, n):
    monkeypatch.setattr(batches_module, "LISTED", 10)
    orders = [Order(n, np.random.default_rng(seed), step=3) for seed in range(9)]
    for order in orders:
        assert sorted(order[:] - order.shift) == list(range(0, 3 * n, 3))
        assert (order[2:9] == order[:][2:9]).all()
    assert len({tuple(order[:] - order.shift) for order in orders}) == len(orders)


def test_a_long_random_order_is_drawn_evenly(monkeypatch):
    monkeypatch.setattr(batches_module, "LISTED", 10)
    tokens = np.concatenate([tokens for tokens, _ in islice(windows(np.arange(40_001), 4, 100, seed=0), 50)])
    quarters = np.histogram(tokens[:, 0], 4, (0, 40_000))[0]
    assert quarters.min() > 0.9 * len(tokens) / 4
    assert abs(np.corrcoef(tokens[:-1, 0], tokens[1:, 0])[0, 1]) < 0.05


@pytest.mark.parametrize("kind", ["lines", "stream"])
def test_pairs_of_a_long_text_are_sampled(monkeypatch, kind):
    letters = np.random.default_rng(0).choice(list("aaaabbcde"), (30_000, 5))
    corpus = make_corpus("\n".join(map("".join, letters)), 8, 0, kind)
    exact = bigram_loss(bigram_probabilities(corpus.training, 6), corpus.part)
    monkeypatch.setattr(bigram, "MOST", 20_000)
    monkeypatch.setattr(bigram, "CHUNK", 1000)
    counted = sum(len(before) for before, _ in bigram.pairs(corpus.training))
    assert 15_000 < counted <= 21_000
    assert bigram_loss(bigram_probabilities(corpus.training, 6), corpus.part) == pytest.approx(exact, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lines", "stream"])
def test_a_long_text_takes_no_memory(tmp_path, kind):
    path, size = tmp_path / "long.txt", 20_000_000
    line = b"the quick brown fox jumps over the lazy dog\n" if kind == "stream" else b""
    rng = np.random.default_rng(0)
    names = rng.integers(97, 123, (size // 8, 8), np.uint8)
    names[:, 7] = 10
    path.write_bytes(line * (size // len(line)) if line else names.tobytes())
    tracemalloc.start()  # it counts all but what is mapped
    source = source_of(path)
    with source.file:
        found = scan(source.parts())
        text = encoded(source.parts, found, found.characters, tmp_path / "text.bin")
    corpus = make_corpus(text, 16, 0, kind)
    bigram_probabilities(corpus.training, len(corpus.characters))
    for _ in islice(corpus.batches(16, 64, 0), 100):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * size  # most of it are the places of the lines
