"""A baseline without network or gradient: count how often each character follows each other one.

A model that has learned more than pairs of characters has a lower loss.
"""

import numpy as np

CHUNK = 1_000_000  # characters that are counted at a time, to save memory


def bigram_probabilities(sequences: list[list[int]], vocab_size: int) -> np.ndarray:
    """Return the probability [vocab_size, vocab_size] of each character (second axis) after each one (first axis).

    Every pair counts once more than it occurs, so no probability is 0 (Laplace's rule of succession).
    """
    counts = np.ones((vocab_size, vocab_size))
    flat = counts.reshape(-1)
    for sequence in sequences:
        for start in range(0, len(sequence) - 1, CHUNK):
            part = np.asarray(sequence[start : start + CHUNK + 1], np.int64)
            np.add.at(flat, part[:-1] * vocab_size + part[1:], 1.0)  # quick where numbers of one type are added
    return counts / counts.sum(axis=1, keepdims=True)


def bigram_loss(probabilities: np.ndarray, sequences: list[list[int]]) -> float:
    """Return the mean of -log(probability) of each character after the one before it: nats per character."""
    chances = np.concatenate([probabilities[sequence[:-1], sequence[1:]] for sequence in sequences])
    return float(-np.log(chances).mean())
