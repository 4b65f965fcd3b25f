"""The model is GPT-2: its logits and its gradients are those of transformers' GPT2LMHeadModel."""

import numpy as np
import pytest
from helpers import TINY, as_lists, assert_close, gradients_of, hugging_face_model, random_parameters, to_values

from microgpt.gpt import GPTConfig, empty_cache, gpt, loss

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow
functional = torch.nn.functional

CONFIGS = [
    GPTConfig(vocab_size=3, n_positions=1, n_embd=2, n_layer=1, n_head=1),
    GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=4),
    GPTConfig(vocab_size=7, n_positions=6, n_embd=6, n_layer=2, n_head=3),
    GPTConfig(vocab_size=4, n_positions=5, n_embd=8, n_layer=3, n_head=2),
]
any_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.n_layer}x{c.n_embd}")


def random_tokens(config, n):
    return np.random.default_rng(n).integers(config.vocab_size, size=n).tolist()


def all_logits(config, params, tokens):
    """The logits after each of the tokens."""
    cache = empty_cache(config)
    return [gpt(params, config, token, position, cache) for position, token in enumerate(tokens)]


@any_config
def test_the_logits_are_those_of_gpt_2(config):
    parameters, tokens = random_parameters(config), random_tokens(config, config.n_positions)
    with torch.no_grad():
        theirs = hugging_face_model(config, parameters)(torch.tensor([tokens])).logits[0]
    assert_close(all_logits(config, as_lists(parameters), tokens), theirs)


@any_config
def test_the_cache_has_keys_and_values(config):
    parameters, tokens = random_parameters(config), random_tokens(config, config.n_positions)
    cache = empty_cache(config)
    for position, token in enumerate(tokens):
        gpt(as_lists(parameters), config, token, position, cache)
    with torch.no_grad():
        theirs = hugging_face_model(config, parameters)(torch.tensor([tokens]), use_cache=True).past_key_values
    for ours, layer in zip(cache, theirs.layers, strict=True):
        assert_close(ours.keys, layer.keys[0].transpose(0, 1).flatten(1))
        assert_close(ours.values, layer.values[0].transpose(0, 1).flatten(1))


@any_config
def test_every_gradient_is_that_of_gpt_2(config):
    parameters, tokens = random_parameters(config), random_tokens(config, config.n_positions + 1)
    weights = np.linspace(0.5, 2.0, config.n_positions).tolist()

    params = {name: to_values(array) for name, array in as_lists(parameters).items()}
    our_loss = loss(params, tokens, weights, config)
    our_loss.backward()

    model = hugging_face_model(config, parameters)
    logits = model(torch.tensor([tokens[:-1]])).logits[0]
    losses = functional.cross_entropy(logits, torch.tensor(tokens[1:]), reduction="none")
    their_loss = losses @ torch.tensor(weights, dtype=torch.float64)
    their_loss.backward()

    assert_close(our_loss.data, their_loss.item())
    for name, tensor in model.transformer.named_parameters():
        assert_close(gradients_of(params[name]), tensor.grad)


def test_floats_give_the_loss_that_values_give():
    params, tokens = as_lists(random_parameters(TINY)), random_tokens(TINY, 5)
    with_graph = loss({name: to_values(array) for name, array in params.items()}, tokens, [1.0] * 4, TINY)
    assert_close(loss(params, tokens, [1.0] * 4, TINY), with_graph.data)


def test_the_loss_weighs_each_prediction():
    params, tokens = as_lists(random_parameters(TINY)), random_tokens(TINY, 4)
    single = [loss(params, tokens, [float(i == j) for j in range(3)], TINY) for i in range(3)]
    assert loss(params, tokens, [2.0, 0.0, 0.5], TINY) == pytest.approx(2.0 * single[0] + 0.5 * single[2], rel=1e-12)


def test_tokens_after_weight_zero_change_nothing():
    params = as_lists(random_parameters(TINY))
    assert loss(params, [0, 1, 2, 3], [1.0, 1.0, 0.0], TINY) == loss(params, [0, 1, 2, 4], [1.0, 1.0, 0.0], TINY)


@pytest.mark.parametrize("changed", range(1, 6))
def test_a_later_token_never_changes_what_came_before(changed):
    params, tokens = as_lists(random_parameters(TINY)), [0, 1, 2, 3, 4, 0]
    other = tokens[:changed] + [(token + 1) % 5 for token in tokens[changed:]]
    before, after = all_logits(TINY, params, tokens), all_logits(TINY, params, other)
    assert before[:changed] == after[:changed]
    assert before[changed] != after[changed]


@pytest.mark.parametrize("changed", range(6))
def test_every_earlier_token_changes_the_last_logits(changed):
    params, tokens = as_lists(random_parameters(TINY)), [0, 1, 2, 3, 4, 0]
    other = [(token + (i == changed)) % 5 for i, token in enumerate(tokens)]
    assert all_logits(TINY, params, tokens)[-1] != all_logits(TINY, params, other)[-1]


@pytest.mark.parametrize("token", [-1, 5])
def test_a_token_outside_the_vocabulary_is_refused(token):
    with pytest.raises(IndexError, match=f"{token}.*0 to 4"):
        gpt(as_lists(random_parameters(TINY)), TINY, token, 0, empty_cache(TINY))


def test_a_position_outside_the_context_is_refused():
    with pytest.raises(IndexError, match=r"6.*0 to 5"):
        gpt(as_lists(random_parameters(TINY)), TINY, 0, 6, empty_cache(TINY))
