"""From logits to text: what is likely is chosen often, and the same seed writes the same."""

from dataclasses import replace
from itertools import chain, islice

import numpy as np
import pytest
from helpers import as_lists, assert_close, make_run, random_parameters
from hypothesis import given
from hypothesis import strategies as st

from microgpt.engines.compiled.sequences import Sequences
from microgpt.errors import DivergenceError, InputError
from microgpt.functions import softmax
from microgpt.gpt import GPTConfig, empty_cache, gpt
from microgpt.learning import sampling
from microgpt.learning.choosing import Choice, choose, probabilities
from microgpt.learning.parameters import initial_parameters
from microgpt.learning.randoms import coins, random_numbers
from microgpt.learning.sampling import (
    FIRST,
    Model,
    as_typed,
    generate,
    sample,
    sample_many,
    samples_in_groups,
    stream,
    worth_compiling,
)
from microgpt.learning.text import END, encode

LOGITS = [0.5, 2.0, -1.0, 1.0]
GREEDY = Choice(temperature=0)


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("lines"))


@pytest.fixture(scope="module")
def prose(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("prose"), documents="stream")


def logits_after(run, tokens):
    """What the model expects after some tokens, which it reads from the beginning."""
    cache = empty_cache(run.config)
    for position, token in enumerate(tokens):
        logits = gpt(as_lists(run.parameters), run.config, token, position, cache)
    return logits


def likeliest(run, tokens):
    return int(np.argmax(logits_after(run, tokens)))


# Chances


CERTAIN = [0.0, 1.0, 0.0, 0.0]
BOTH = softmax([2.0, 1.0])
CHANCES = [
    *((Choice(t), softmax([logit / t for logit in LOGITS])) for t in (0.1, 0.5, 1.0, 3.0)),
    *((Choice(t), CERTAIN) for t in (0, 1e-3, 1e-100, 5e-324)),
    (Choice(1e300), [0.25] * 4),
    (Choice(top_k=1), CERTAIN),
    (Choice(top_k=2), [0.0, BOTH[0], 0.0, BOTH[1]]),
    (Choice(top_k=4), softmax(LOGITS)),
    (Choice(top_k=1000), softmax(LOGITS)),
]


@pytest.mark.parametrize(("choice", "expected"), CHANCES)
def test_chances_are_softmax_over_temperature_among_top_k(choice, expected):
    assert_close(probabilities(LOGITS, choice), expected)


def test_top_k_of_equal_logits_keeps_so_many():
    assert sum(chance > 0 for chance in probabilities([1.0] * 5, Choice(top_k=2))) == 2


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"temperature": -0.5}, "the temperature is -0.5: expected 0 or a positive number"),
        ({"temperature": float("nan")}, "the temperature is nan"),
        ({"top_k": 0}, "top_k is 0: expected a positive integer, or None"),
    ],
)
def test_a_choice_without_sense_is_refused(choice, said):
    with pytest.raises(InputError, match=said):
        Choice(**choice)


@given(
    st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=9),
    st.one_of(st.just(0.0), st.floats(1e-3, 1e3)),
    st.one_of(st.none(), st.integers(1, 10)),
)
def test_chances_are_never_negative_and_sum_to_one(logits, temperature, top_k):
    chances = probabilities(logits, Choice(temperature, top_k))
    assert min(chances) >= 0
    assert sum(chances) == pytest.approx(1.0, abs=1e-12)


def test_choices_come_as_often_as_their_chances():
    rng = np.random.default_rng(0)
    counts = np.sum([choose([0.1, 0.0, 0.6, 0.3], rng.random()) for _ in range(20_000)], axis=0)
    assert counts.sum() == 20_000
    assert counts[1] == 0
    assert counts / 20_000 == pytest.approx([0.1, 0.0, 0.6, 0.3], abs=0.015)


# Documents


def test_greedy_text_always_takes_the_likeliest(prose):
    tokens = encode("ab", prose.vocabulary)
    for _ in range(4):
        tokens.append(likeliest(prose, tokens))
    written = sample(prose, "ab", choice=GREEDY, max_new_tokens=4)
    assert encode(written, prose.vocabulary) == tokens


def test_the_stream_is_what_follows_the_prompt(lines):
    assert "ab" + "".join(text for text, _ in stream(lines, "ab", seed=3)) == sample(lines, "ab", seed=3)


def test_seed_number_and_prompt_decide_what_is_written(prose):
    written = [sample(prose, seed=seed, index=index) for seed in (1, 2) for index in (0, 1)]
    assert len(set(written)) == 4
    assert sample(prose, seed=2, index=1) == written[-1]
    after_a, after_d = (sample(prose, prompt, max_new_tokens=40)[1:] for prompt in "ad")
    assert after_a != after_d


def test_a_line_ends_where_the_model_says_so(lines):
    samples = [sample(lines, seed=seed) for seed in range(50)]
    assert not any("\n" in text for text in samples)
    lengths = {len(text) for text in samples}
    assert len(lengths) > 2
    assert max(lengths) <= lines.config.n_positions
    text = sample(lines, choice=GREEDY)
    assert len(text) == lines.config.n_positions or likeliest(lines, encode("\n" + text, lines.vocabulary)) == 0


def test_a_limit_cuts_lines_and_not_prose(lines, prose):
    for limit in (1, 2):
        assert max(len(sample(lines, seed=seed, max_new_tokens=limit)) for seed in range(20)) == limit
    assert len(sample(prose, "abc", max_new_tokens=40)) == 43
    assert len(sample(prose)) == 500


@pytest.fixture(scope="module")
def ending(tmp_path_factory):
    """Prose whose end is not seldom: the model was never trained."""
    return make_run(tmp_path_factory.mktemp("ending"), documents="stream", seed=1, vocabulary="\nabc" + END)


@pytest.mark.parametrize("compiled", [False, True])
def test_prose_ends_where_its_end_is_drawn(ending, compiled):
    options = {"max_new_tokens": 30, "compiled": compiled}
    written = [list(stream(ending, "ab", seed=seed, **options)) for seed in range(20)]
    assert any(1 < len(parts) < 30 and parts[-1][0] == "" and parts[-1][1] < 0 for parts in written)
    assert any(len(parts) > ending.config.n_positions for parts in written)
    assert all(text and text in "\nabc" for parts in written for text, _ in parts[:-1])


def test_older_prose_without_an_end_goes_on(ending):
    for vocabulary in ("\nabcd", "\n" + END + "abc"):
        older = replace(ending, vocabulary=vocabulary)
        assert all(len(sample(older, "ab", seed=seed, max_new_tokens=30)) == 32 for seed in range(20))


def test_past_the_context_half_the_window_is_reread(prose, monkeypatch):
    read = []

    def recorded(params, config, token, position, cache):
        read.append((position, token))
        assert len(cache[0].keys) == position  # nothing older is remembered
        return gpt(params, config, token, position, cache)

    monkeypatch.setattr("microgpt.gpt.gpt", recorded)
    tokens = [1, 2, 3, 4, 1, 2]  # as many as there are positions
    chosen = generate(as_lists(prose.parameters), prose.config, tokens, np.random.default_rng(0), Choice())
    (first, _), (second, _), _ = islice(chosen, 3)
    assert read == [*enumerate(tokens), (0, 1), (1, 2), (2, first), (3, second)]


# Prompts that cannot be


def test_a_prompt_may_fill_the_context(lines, prose):
    assert sample(lines, "abcda").startswith("abcda")
    assert sample(prose, "a\ncdab", max_new_tokens=1).startswith("a\ncdab")


@pytest.mark.parametrize(
    ("kind", "prompt", "said"),
    [
        ("lines", "abcdab", "has 6 characters, the context has room for 5: give a shorter one"),
        ("lines", "ax", r"'x'.*'abcd'"),
        ("lines", "a\nb", "newline"),
        ("prose", "x" + "dab" * 20, "'x'"),
        ("ending", "a" + END, r"does not know the character '\\x03'; it knows 'abc'"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused(request, kind, prompt, said):
    with pytest.raises(InputError, match=said):
        sample(request.getfixturevalue(kind), prompt)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_long_prompt_of_prose_is_cut(prose, compiled):
    long, read = "dab" * 20 + "abcdab", "abcdab"  # there are 6 positions
    options = {"seed": 1, "max_new_tokens": 30, "compiled": compiled}
    assert sample(prose, long, **options) == "dab" * 20 + sample(prose, read, **options)


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        (r"\nROMEO:\t", "\n ROMEO", "\nROMEO:\t"),
        (r"\nabla", "\n\\abln", r"\nabla"),  # a text with backslashes in it, such as TeX
        ("\nab", "\nab", "\nab"),
        (r"\q", "\nq", r"\q"),
    ],
)
def test_a_newline_can_be_typed_without_backslashes_known(typed, known, meant):
    assert as_typed(typed, known) == meant


@pytest.mark.parametrize(("documents", "last"), [("lines", "c"), ("stream", "c"), ("stream", END)])
def test_many_at_once_write_what_each_writes(documents, last):
    config = GPTConfig(vocab_size=4, n_positions=6, n_embd=8, n_layer=1, n_head=2)
    run = Model(config, "\nab" + last, documents, initial_parameters(config, 3))
    options = {"prompt": "ab", "seed": 5, "choice": Choice(0.9, 3), "max_new_tokens": 15}
    alone = [sample(run, index=i, **options) for i in range(9)]
    many = sample_many(run, 9, **options)
    assert [text for text, _ in many] == alone
    assert len(set(alone)) > 1
    assert (len({len(text) for text in alone}) > 1) == (documents == "lines" or last == END)
    for i, (_, log_probability) in enumerate(many):
        assert log_probability == pytest.approx(sum(p for _, p in stream(run, index=i, **options)), abs=1e-9)


def test_later_groups_are_written_as_one_alone():
    config = GPTConfig(vocab_size=4, n_positions=6, n_embd=4, n_layer=1, n_head=2)
    run = Model(config, "\nabc", "lines", initial_parameters(config, 3))
    many = sample_many(run, 3 * FIRST + 3, "a")
    assert [text for text, _ in many] == [sample(run, "a", index=i) for i in range(3 * FIRST + 3)]


def test_first_samples_come_before_later_ones_are_written(lines, monkeypatch):
    begun = []
    writer = sampling._writer
    monkeypatch.setattr(sampling, "_writer", lambda *given: begun.append(len(given[2])) or writer(*given))
    groups = samples_in_groups(lines, 4 * FIRST, seed=4)
    first = next(groups)
    assert begun == [FIRST]
    assert [*first, *chain(*groups)] == sample_many(lines, 4 * FIRST, seed=4)


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**40 + 5, 2**130 + 77])
def test_random_numbers_are_those_of_a_generator_each(seed):
    found = random_numbers(seed, range(5, 9), 20)
    assert found.tolist() == [np.random.default_rng([seed, index]).random(20).tolist() for index in range(5, 9)]


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**130 + 77])
def test_coins_are_orders_of_a_generator_each(seed):
    expected = [np.random.default_rng([seed, 1, index]).permutation(2)[0] for index in range(5, 60)]
    assert coins([seed, 1], range(5, 60)).tolist() == expected


@pytest.mark.parametrize(("documents", "choice"), [("lines", Choice()), ("stream", Choice(0.7, 2)), ("stream", GREEDY)])
def test_compiled_code_writes_the_same_characters(documents, choice):
    config = GPTConfig(vocab_size=6, n_positions=7, n_embd=8, n_layer=2, n_head=2)
    run = Model(config, "\nabcde", documents, random_parameters(config))
    options = {"seed": 2, "choice": choice, "max_new_tokens": 60}
    plain, compiled = (list(stream(run, "abc", compiled=way, **options)) for way in (False, True))
    assert [text for text, _ in compiled] == [text for text, _ in plain]
    assert_close([p for _, p in compiled], [p for _, p in plain])


def test_a_character_is_there_once_chosen(prose, monkeypatch):
    taken = []
    go_on = Sequences.go_on
    monkeypatch.setattr(Sequences, "go_on", lambda sequences: taken.append(1) or go_on(sequences))
    written = stream(prose, "ab", compiled=True)
    next(written)
    assert len(taken) == 2  # a turn reads one character of the prompt, the next two read the other and what was chosen


@pytest.mark.parametrize("compiled", [False, True])
def test_logits_that_are_not_finite_are_told(prose, compiled):
    broken = replace(
        prose, parameters=prose.parameters | {"ln_f.bias": np.full(prose.config.n_embd, np.inf, np.float32)}
    )
    with pytest.raises(DivergenceError, match="this model's logits are not finite numbers"):
        list(stream(broken, "ab", compiled=compiled))
    with pytest.raises(DivergenceError, match="this model's logits are not finite numbers"):
        sample_many(broken, 3, "ab")


def test_a_long_text_goes_on_piece_by_piece(prose, monkeypatch):
    options = {"max_new_tokens": 40, "compiled": True}
    whole = list(stream(prose, "ab", **options))
    for piece in (1, 5, 7):
        monkeypatch.setattr(sampling, "PIECE", piece)
        pieces = list(stream(prose, "ab", **options))
        assert [text for text, _ in pieces] == [text for text, _ in whole]
        assert_close([p for _, p in pieces], [p for _, p in whole])


def test_no_new_tokens_leave_the_prompt(lines):
    assert sample_many(lines, 2, "ab", max_new_tokens=0) == [("ab", 0.0)] * 2
    assert sample(lines, "ab", max_new_tokens=0, compiled=True) == "ab"


def test_compiling_is_worth_it_for_much_text():
    shapes = GPTConfig(27, 16, 32, 1, 4), GPTConfig(65, 64, 64, 4, 4)
    names, plays = (initial_parameters(config, 0) for config in shapes)
    assert not worth_compiling(names, 20 * 16)
    assert not worth_compiling(plays, 20)
    assert worth_compiling(plays, 500)


def test_log_probabilities_do_not_depend_on_the_choice(lines):
    for choice in (None, GREEDY, Choice(0.3, 2)):
        tokens, expected = encode("\nab", lines.vocabulary), []
        written = list(stream(lines, "ab", seed=1, choice=choice))
        for text, _ in written:
            token = encode(text or "\n", lines.vocabulary)[0]
            expected.append(float(np.log(softmax(logits_after(lines, tokens))[token])))
            tokens.append(token)
        assert_close([p for _, p in written], expected)


def test_the_closing_newline_has_a_probability(lines):
    finished = [written for written in (list(stream(lines, seed=seed)) for seed in range(20)) if written[-1][0] == ""]
    assert finished
    assert all(log_probability < 0 for written in finished for _, log_probability in written)
