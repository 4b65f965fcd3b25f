"""Is the learner's GPT a GPT-2? Its logits beside those of transformers, or of an earlier call of it."""

import random
from math import log10
from pathlib import Path
from typing import Any

VOCABULARY, POSITIONS, WIDTH, LAYERS, HEADS = 9, 8, 8, 2, 2
TOKENS = [3, 1, 4, 1, 5, 8, 2, 6]
STORED = [
    0.4492751,
    -0.3031827,
    -0.7938632,
    -0.0860396,
    0.3702851,
    0.6675385,
    0.7598825,
    -0.5355154,
    0.2354797,
]  # the logits of transformers at the last position
TOLERANCE, STORED_TOLERANCE = 1e-9, 1e-5


def same_logits(names: dict[str, Any], folder: Path) -> tuple[bool, str]:
    """Return whether a learner's gpt gives the logits of transformers, and a sentence on it."""
    params = parameters()
    config = names["GPTConfig"](VOCABULARY, POSITIONS, WIDTH, LAYERS, HEADS)
    cache = names["empty_cache"](config)
    own = [names["gpt"](params, config, token, i, cache) for i, token in enumerate(TOKENS)]
    try:
        expected, whose = by_transformers(params), "transformers"
        pairs = [pair for rows in zip(own, expected, strict=True) for pair in zip(*rows, strict=True)]
        tolerance = TOLERANCE
    except ImportError:
        pairs, whose = list(zip(own[-1], STORED, strict=True)), "transformers (stored ones, as it is not installed)"
        tolerance = STORED_TOLERANCE
    apart, (got, right) = max((abs(a - b), (a, b)) for a, b in pairs)
    if apart > tolerance:
        return False, f"A logit is {got:.6f}, by {whose} it is {right:.6f}: they are {apart:.2g} apart."
    digits = int(-log10(max(apart, 1e-16)))
    return True, f"{len(pairs)} logits of a random GPT-2 agree with those of {whose}, to {digits} decimals."


def parameters() -> dict[str, Any]:
    """Return random parameters, by GPT-2's names."""
    chance = random.Random(7)

    def table(*shape: int, mean: float = 0.0) -> Any:
        if not shape:
            return mean + 0.3 * chance.uniform(-1, 1)
        return [table(*shape[1:], mean=mean) for _ in range(shape[0])]

    found = {"wte.weight": table(VOCABULARY, WIDTH), "wpe.weight": table(POSITIONS, WIDTH)}
    for norm in [f"h.{i}.ln_{j}" for i in range(LAYERS) for j in (1, 2)] + ["ln_f"]:
        found |= {f"{norm}.weight": table(WIDTH, mean=1.0), f"{norm}.bias": table(WIDTH)}
    for layer in range(LAYERS):
        for name, n, m in [("attn.c_attn", 1, 3), ("attn.c_proj", 1, 1), ("mlp.c_fc", 1, 4), ("mlp.c_proj", 4, 1)]:
            found[f"h.{layer}.{name}.weight"] = table(n * WIDTH, m * WIDTH)
            found[f"h.{layer}.{name}.bias"] = table(m * WIDTH)
    return found


def by_transformers(params: dict[str, Any]) -> list[list[float]]:
    """Return the logits that transformers computes. Raises ImportError if it is not installed."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(bos_token_id=None, eos_token_id=None)
    config.vocab_size, config.n_positions, config.n_embd = VOCABULARY, POSITIONS, WIDTH
    config.n_layer, config.n_head = LAYERS, HEADS
    model = GPT2LMHeadModel(config).double().eval()
    state = {f"transformer.{name}": torch.tensor(x, dtype=torch.float64) for name, x in params.items()}
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        logits: list[list[float]] = model(torch.tensor([TOKENS])).logits[0].tolist()
    return logits
