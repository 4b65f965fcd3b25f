"""GPT-2 layer by layer is the GPT-2 of transformers, and the book's."""

from itertools import islice

import numpy as np
import pytest
from helpers import as_lists, assert_close

from microgpt.errors import InputError
from microgpt.gpt import empty_cache, gpt
from microgpt.learning.choosing import Choice, next_token
from microgpt.learning.layers import Reader, drawn, generated
from microgpt.learning.sampling import generate, sample, stream
from microgpt.runs.directory import load_run

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from gpt2_directories import END, TOKENS, make, shared  # noqa: E402

pytestmark = pytest.mark.slow
PROMPT = "ROMEO: naïve 😀"


@pytest.fixture(scope="module")
def run():
    return load_run(shared()[0])


def theirs(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].numpy()


def greedy(model, tokens, count):
    with torch.no_grad():
        found = model.generate(
            torch.tensor([tokens]), max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=END
        )
    return found[0, len(tokens) :].tolist()


def test_logits_are_those_of_transformers(run):
    rng = np.random.default_rng(0)
    for _ in range(50):
        tokens = rng.integers(0, TOKENS, rng.integers(1, 25)).tolist()
        first = int(rng.integers(1, len(tokens) + 1))
        reader = Reader(run.config, run.parameters)
        found = [reader.logits(reader.read(tokens[:first]))]
        found += [reader.logits(reader.read([token])) for token in tokens[first:]]
        np.testing.assert_allclose(np.concatenate(found), theirs(shared()[1], tokens), atol=2e-6)


def test_logits_are_those_of_the_book(run):
    tokens = run.vocabulary.encode(PROMPT)[:20]
    exact = {name: array.astype(np.float64) for name, array in run.parameters.items()}
    params, cache = as_lists(exact), empty_cache(run.config)
    book = [gpt(params, run.config, token, place, cache) for place, token in enumerate(tokens)]
    vector = np.concatenate([array.ravel() for array in exact.values()])
    reader = Reader(run.config, {"all": vector[:]})
    assert_close(reader.logits(reader.read(tokens)), np.array(book))


def test_fifty_likeliest_tokens_are_those_of_transformers(tmp_path):
    model = make(tmp_path, seed=1, n_positions=64)
    run, rng = load_run(tmp_path), np.random.default_rng(1)
    for _ in range(3):
        tokens = rng.integers(0, TOKENS, rng.integers(1, 9)).tolist()
        ours = generated(Reader(run.config, run.parameters), tokens, iter(rng.random, None), Choice(temperature=0))
        assert [token for token, _ in islice(ours, 50)] == greedy(model, tokens, 50)


def test_past_the_context_it_goes_on_as_plain_floats(run):
    tokens, params = [1, 2, 3], as_lists(run.parameters)
    ours, book = (
        list(islice(some, 60))
        for some in (
            generated(
                Reader(run.config, run.parameters), tokens, iter(np.random.default_rng(3).random, None), Choice()
            ),
            generate(params, run.config, tokens, np.random.default_rng(3), Choice()),
        )
    )
    assert [token for token, _ in ours] == [token for token, _ in book]
    np.testing.assert_allclose([p for _, p in ours], [p for _, p in book], atol=1e-5)


@pytest.mark.parametrize("choice", [Choice(), Choice(0.3), Choice(0), Choice(2.0, 5), Choice(1.0, 1), Choice(1.0, 99)])
def test_many_logits_are_drawn_from_like_few(choice):
    rng = np.random.default_rng(0)
    for _ in range(30):
        logits, random = rng.normal(size=30).round(1), rng.random()
        token, log_probability = drawn(logits, random, choice)
        expected = next_token(logits.tolist(), random, choice)
        assert token == expected[0]
        assert log_probability == pytest.approx(expected[1], abs=1e-12)


def test_a_text_is_written_as_whole_characters(run):
    parts = list(stream(run, PROMPT, seed=1, max_new_tokens=60))
    text = "".join(part for part, _ in parts)
    assert len(parts) > 20
    assert PROMPT + text == sample(run, PROMPT, seed=1, max_new_tokens=60)
    assert PROMPT + text != sample(run, PROMPT, seed=2, max_new_tokens=60)
    text.encode()  # no half of a character


def test_an_empty_prompt_begins_after_the_end(run):
    tokens = greedy(shared()[1], [END], 10)
    ended = tokens[: tokens.index(END)] if END in tokens else tokens
    assert sample(run, "", choice=Choice(temperature=0), max_new_tokens=10) == run.vocabulary.decode(ended)


def test_a_model_of_the_size_of_gpt_2_is_the_same(tmp_path):
    """12 layers of 768, with 50,257 tokens and 1,024 places: 124 million parameters."""
    model = make(tmp_path, scale=2.0, vocab_size=50257, n_positions=1024, n_embd=768, n_layer=12, n_head=12)
    run = load_run(tmp_path)
    assert sum(array.size for array in run.parameters.values()) == 124_439_808
    tokens = np.random.default_rng(0).integers(0, 50257, 12).tolist()
    reader = Reader(run.config, run.parameters)
    np.testing.assert_allclose(reader.logits(reader.read(tokens)), theirs(model, tokens), atol=1e-4)
    ours = generated(reader, tokens, iter(lambda: 0.5, None), Choice(temperature=0))
    assert [token for token, _ in islice(ours, 10)] == greedy(model, tokens, 10)


def test_half_a_character_is_refused_by_name(run):
    with pytest.raises(InputError, match="which is half of a character"):
        run.vocabulary.encode("a\udc80")
