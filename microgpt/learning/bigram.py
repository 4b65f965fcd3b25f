"""A baseline without network or gradient: count how often each character follows each other one.

A model that has learned more than pairs of characters has a lower loss.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from microgpt.learning.batches import padded, predictions
from microgpt.learning.sequences import Sequences

CHUNK, ROWS = 1_000_000, 20_000  # characters of a long sequence, and short sequences, that are counted together
MOST = 10_000_000  # characters that are enough to count pairs


def bigram_probabilities(sequences: Sequence[Any], vocab_size: int) -> np.ndarray:
    """Return the probability [vocab_size, vocab_size] of each character (second axis) after each one (first axis).

    Every pair counts once more than it occurs, so no probability is 0 (Laplace's rule of succession). If there are more
    than ten million characters, an even share of about so many is counted.
    """
    counts = np.ones((vocab_size, vocab_size))
    flat = counts.reshape(-1)
    for before, after in pairs(sequences):
        np.add.at(flat, before * vocab_size + after, 1.0)  # quick where numbers of one type are added
    counts /= counts.sum(axis=1, keepdims=True)
    return counts


def sparse_bigram_loss(training: Sequence[Any], sequences: Sequence[Any], vocab_size: int) -> float:
    """Return the same loss where there are too many tokens for a table of all pairs."""
    known = [before * vocab_size + after for before, after in pairs(training)]
    keys, counts = np.unique(np.concatenate(known), return_counts=True)
    totals = np.bincount(keys // vocab_size, counts, vocab_size) + vocab_size
    before, after = (np.concatenate(part) for part in zip(*pairs(sequences), strict=True))
    wanted = before * vocab_size + after
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = 1 + counts[places] * (keys[places] == wanted)
    return float(-np.log(found / totals[before]).mean())


def pairs(sequences: Sequence[Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each character with the one after it, many at a time."""
    every = -(-predictions(sequences) // MOST)
    if isinstance(sequences, Sequences):
        counted = sequences[::every]
        for start in range(0, len(counted), ROWS):
            tokens, weights = padded(counted[start : start + ROWS])
            yield tokens[:, :-1][weights > 0], tokens[:, 1:][weights > 0]
        return
    for sequence in sequences:
        for start in range(0, len(sequence) - 1, CHUNK * every):
            part = np.asarray(sequence[start : start + CHUNK + 1], np.int64)
            yield part[:-1], part[1:]


def bigram_loss(probabilities: np.ndarray, sequences: Sequence[Any]) -> float:
    """Return the mean of -log(probability) of each character after the one before it: nats per character."""
    chances = np.concatenate([probabilities[sequence[:-1], sequence[1:]] for sequence in sequences])
    return float(-np.log(chances).mean())
