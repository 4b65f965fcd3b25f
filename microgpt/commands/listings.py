"""The output of `train.py --listing`: the program of the model, as instructions or in C, or its input."""

from collections.abc import Callable
from typing import Any

import numpy as np

from microgpt.commands.start import Start
from microgpt.engines.engine import value_and_grad
from microgpt.learning.batches import Corpus, padded

LISTINGS = ("instructions", "c", "examples")


def listed(start: Start, loss: Callable[..., Any]) -> str:
    """Return the listing that the settings ask for, for a loss of tokens and weights."""
    s, positions = start.settings, start.settings.block_size
    if s.listing == "instructions":
        return value_and_grad(loss).listing(start.parameters, *padded([start.corpus.usual(positions)]))
    tokens, weights = examples(start.corpus, positions)
    if s.listing == "examples":
        rows = zip(tokens.tolist(), weights.tolist(), strict=True)
        return "\n".join([" ".join([*map(str, t), *[f"{w:.9g}" for w in ws]]) for t, ws in rows])
    from microgpt.engines.compiled.c_text import as_c  # only now, because this imports LLVM

    return as_c(
        loss, start.parameters, tokens[:1], weights[:1], steps=s.steps, batch_size=s.batch_size, warmup=s.warmup,
        learning_rate=s.learning_rate, weight_decay=s.weight_decay, grad_clip=s.grad_clip,
    )  # fmt: skip


def examples(corpus: Corpus, n_positions: int) -> tuple[np.ndarray, np.ndarray]:
    """All of a corpus to train on: tokens and weights of its lines, or of one window of a stream after the other."""
    if corpus.documents == "lines":
        return padded(corpus.training, np.float64)
    stream = corpus.training[0]
    starts = range(0, len(stream) - n_positions, n_positions)
    return padded([stream[i : i + n_positions + 1] for i in starts], np.float64)
