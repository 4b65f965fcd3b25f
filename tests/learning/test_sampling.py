"""From logits to text: what is likely is chosen often, and the same seed writes the same."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from helpers import as_lists, assert_close, make_run, random_parameters
from hypothesis import given
from hypothesis import strategies as st

from microgpt.errors import InputError
from microgpt.functions import softmax
from microgpt.gpt import GPTConfig, empty_cache, gpt
from microgpt.learning import sampling
from microgpt.learning.cached_step import Reader
from microgpt.learning.parameters import initial_parameters
from microgpt.learning.sampling import (
    TOGETHER,
    Choice,
    Model,
    as_typed,
    choose,
    generate,
    probabilities,
    sample,
    sample_many,
    samples_in_turn,
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


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_chances_are_the_softmax_of_the_logits_over_the_temperature(temperature):
    assert_close(probabilities(LOGITS, Choice(temperature)), softmax([logit / temperature for logit in LOGITS]))


def test_temperature_zero_is_certain_of_the_likeliest():
    assert probabilities(LOGITS, GREEDY) == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("temperature", [1e-3, 1e-100, 5e-324])
def test_a_tiny_temperature_is_certain_of_the_likeliest(temperature):
    assert probabilities(LOGITS, Choice(temperature)) == [0.0, 1.0, 0.0, 0.0]


def test_a_huge_temperature_makes_all_alike():
    assert probabilities(LOGITS, Choice(1e300)) == [0.25] * 4


def test_top_k_keeps_the_likeliest_in_proportion():
    chances = probabilities(LOGITS, Choice(top_k=2))
    both = softmax([2.0, 1.0])
    assert_close(chances, [0.0, both[0], 0.0, both[1]])


def test_top_k_one_is_certain_of_the_likeliest():
    assert probabilities(LOGITS, Choice(top_k=1)) == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("top_k", [4, 5, 1000])
def test_top_k_of_all_or_more_changes_nothing(top_k):
    assert probabilities(LOGITS, Choice(top_k=top_k)) == probabilities(LOGITS, Choice())


def test_top_k_of_equal_logits_keeps_just_so_many():
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
    counts = np.bincount([choose([0.1, 0.0, 0.6, 0.3], rng) for _ in range(20_000)], minlength=4)
    assert counts / 20_000 == pytest.approx([0.1, 0.0, 0.6, 0.3], abs=0.015)


@given(st.integers(0, 1000), st.integers(0, 5))
def test_what_has_no_chance_is_never_chosen(seed, i):
    assert choose([float(i == j) for j in range(6)], np.random.default_rng(seed)) == i


# Documents


def test_greedy_text_always_takes_the_likeliest(prose):
    tokens = encode("ab", prose.vocabulary)
    for _ in range(4):
        tokens.append(likeliest(prose, tokens))
    written = sample(prose, "ab", choice=GREEDY, max_new_tokens=4)
    assert encode(written, prose.vocabulary) == tokens


def test_top_k_one_writes_what_greedy_writes(prose):
    options = {"max_new_tokens": 30, "seed": 5}
    assert sample(prose, choice=Choice(top_k=1), **options) == sample(prose, choice=GREEDY, **options)


def test_the_prompt_is_the_beginning(lines):
    assert sample(lines, "abc").startswith("abc")


def test_the_stream_is_the_rest(lines):
    assert "ab" + "".join(text for text, _ in stream(lines, "ab", seed=3)) == sample(lines, "ab", seed=3)


def test_the_prompt_matters(prose):
    after_a, after_d = (sample(prose, prompt, max_new_tokens=40)[1:] for prompt in "ad")
    assert after_a != after_d


def test_the_same_seed_and_number_write_the_same(prose):
    assert sample(prose, seed=1, index=2) == sample(prose, seed=1, index=2)


def test_another_seed_or_number_writes_something_else(prose):
    assert len({sample(prose, seed=seed, index=index) for seed in (1, 2) for index in (0, 1)}) == 4


def test_a_line_has_no_newline_and_fits_in_the_context(lines):
    samples = [sample(lines, seed=seed) for seed in range(50)]
    assert not any("\n" in text for text in samples)
    assert max(map(len, samples)) <= lines.config.n_positions


def test_lines_end_at_different_lengths(lines):
    assert len({len(sample(lines, seed=seed)) for seed in range(50)}) > 2


def test_a_line_ends_where_the_model_says_so(lines):
    text = sample(lines, choice=GREEDY)
    tokens = encode("\n" + text, lines.vocabulary)
    assert len(tokens) > lines.config.n_positions or likeliest(lines, tokens) == 0


@pytest.mark.parametrize("limit", [1, 2])
def test_a_line_can_be_cut_short(lines, limit):
    assert max(len(sample(lines, seed=seed, max_new_tokens=limit)) for seed in range(20)) == limit


def test_prose_goes_on_past_the_context(prose):
    assert len(sample(prose, "abc", max_new_tokens=40)) == 43


def test_prose_is_500_characters_long_if_not_told_otherwise(prose):
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


def test_prose_from_before_there_was_an_end_goes_on(ending):
    for vocabulary in ("\nabcd", "\n" + END + "abc"):
        older = replace(ending, vocabulary=vocabulary)
        assert all(len(sample(older, "ab", seed=seed, max_new_tokens=30)) == 32 for seed in range(20))


def test_past_the_context_the_model_reads_the_later_half_of_the_window_again(prose, monkeypatch):
    read = []

    def recorded(params, config, token, position, cache):
        read.append((position, token))
        assert len(cache[0].keys) == position  # nothing older is remembered
        return gpt(params, config, token, position, cache)

    monkeypatch.setattr("microgpt.learning.sampling.gpt", recorded)
    tokens = [1, 2, 3, 4, 1, 2]  # as many as there are positions
    chosen = generate(as_lists(prose.parameters), prose.config, tokens, np.random.default_rng(0), Choice())
    (first, _), (second, _), _ = islice(chosen, 3)
    assert read == [*enumerate(tokens), (0, 1), (1, 2), (2, first), (3, second)]


# Prompts that cannot be


def test_a_prompt_may_fill_the_context(lines, prose):
    assert sample(lines, "abcda").startswith("abcda")
    assert sample(prose, "abcdab", max_new_tokens=1).startswith("abcdab")


def test_a_prompt_too_long_for_a_line_is_told_the_room(lines):
    with pytest.raises(InputError, match="has 6 characters, the context has room for 5: give a shorter one"):
        sample(lines, "abcdab")


@pytest.mark.parametrize("compiled", [False, True])
def test_of_a_long_prompt_of_prose_the_end_is_read(prose, compiled):
    long, read = "dab" * 20 + "abcdab", "abcdab"  # there are 6 positions
    options = {"seed": 1, "max_new_tokens": 30, "compiled": compiled}
    assert sample(prose, long, **options) == "dab" * 20 + sample(prose, read, **options)
    with pytest.raises(InputError, match="'x'"):
        sample(prose, "x" + long)


def test_an_unknown_character_is_named_and_the_known_ones_are_shown(lines):
    with pytest.raises(InputError, match=r"'x'.*'abcd'"):
        sample(lines, "ax")


def test_prose_cannot_begin_with_its_end(ending):
    with pytest.raises(InputError, match=r"never seen the character '\\x03'; it knows 'abc'"):
        sample(ending, "a" + END)


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        (r"\nROMEO:\t", "\n ROMEO", "\nROMEO:\t"),
        (r"\nabla", "\n\\abln", r"\nabla"),  # a text with backslashes in it, such as TeX
        ("\nab", "\nab", "\nab"),
        (r"\q", "\nq", r"\q"),
    ],
)
def test_a_newline_can_be_typed_where_the_model_knows_no_backslash(typed, known, meant):
    assert as_typed(typed, known) == meant


def test_a_line_cannot_begin_with_two_lines(lines):
    with pytest.raises(InputError, match="newline"):
        sample(lines, "a\nb")


def test_prose_may_begin_with_two_lines(prose):
    assert sample(prose, "a\nb", max_new_tokens=1).startswith("a\nb")


@pytest.mark.parametrize(("documents", "last"), [("lines", "c"), ("stream", "c"), ("stream", END)])
def test_many_at_once_write_what_one_at_a_time_writes(documents, last):
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


def test_more_than_are_written_together_are_those_that_one_at_a_time_writes():
    config = GPTConfig(vocab_size=4, n_positions=6, n_embd=4, n_layer=1, n_head=2)
    run = Model(config, "\nabc", "lines", initial_parameters(config, 3))
    many = sample_many(run, TOGETHER + 3, "a")
    assert [text for text, _ in many] == [sample(run, "a", index=i) for i in range(TOGETHER + 3)]


def test_the_first_samples_are_there_before_the_later_ones_are_written(lines, monkeypatch):
    begun = []
    together = sampling._generate_together
    monkeypatch.setattr(sampling, "_generate_together", lambda *given: begun.append(len(given[3])) or together(*given))
    written = samples_in_turn(lines, 3 * TOGETHER, seed=4)
    first = list(islice(written, TOGETHER))
    assert begun == [TOGETHER]
    assert first + list(written) == sample_many(lines, 3 * TOGETHER, seed=4)


@pytest.mark.parametrize("documents", ["lines", "stream"])
@pytest.mark.parametrize("choice", [Choice(), Choice(0.7, 2), GREEDY])
def test_compiled_code_writes_the_same_characters(documents, choice):
    config = GPTConfig(vocab_size=6, n_positions=7, n_embd=8, n_layer=2, n_head=2)
    run = Model(config, "\nabcde", documents, random_parameters(config))
    options = {"seed": 2, "choice": choice, "max_new_tokens": 60}
    plain, compiled = (list(stream(run, "abc", compiled=way, **options)) for way in (False, True))
    assert [text for text, _ in compiled] == [text for text, _ in plain]
    assert_close([p for _, p in compiled], [p for _, p in plain])


def test_a_character_is_there_as_soon_as_it_is_chosen(prose, monkeypatch):
    read = []
    reads = Reader.read
    monkeypatch.setattr(Reader, "read", lambda reader, tokens: read.append(tokens) or reads(reader, tokens))
    written = stream(prose, "ab", compiled=True)
    for i in range(3):
        next(written)
        assert len(read) == 2 + i  # what was read before: the prompt, and what was chosen since


def test_compiling_is_worth_it_for_much_text_and_not_for_a_few_names():
    names, plays = GPTConfig(27, 16, 32, 1, 4), GPTConfig(65, 64, 64, 4, 4)
    assert not worth_compiling(names, 20 * 16)
    assert not worth_compiling(plays, 20)
    assert worth_compiling(plays, 500)


def test_log_probabilities_are_the_models_own_whatever_the_choice(lines):
    for choice in (None, GREEDY, Choice(0.3, 2)):
        tokens, expected = encode("\nab", lines.vocabulary), []
        written = list(stream(lines, "ab", seed=1, choice=choice))
        for text, _ in written:
            token = encode(text or "\n", lines.vocabulary)[0]
            expected.append(float(np.log(softmax(logits_after(lines, tokens))[token])))
            tokens.append(token)
        assert_close([p for _, p in written], expected)


def test_the_closing_newline_is_an_empty_text_with_a_probability(lines):
    finished = [written for written in (list(stream(lines, seed=seed)) for seed in range(20)) if written[-1][0] == ""]
    assert finished
    assert all(log_probability < 0 for written in finished for _, log_probability in written)
