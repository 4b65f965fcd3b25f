"""The baseline counts pairs of characters."""

from math import log

import pytest

from microgpt.learning.bigram import bigram_loss, bigram_probabilities


def test_pairs_are_counted_and_surprise_is_averaged():
    probabilities = bigram_probabilities([[0, 1, 1, 0], [0, 1, 0]], 3)
    assert probabilities[0].tolist() == [1 / 5, 3 / 5, 1 / 5]
    assert probabilities[1].tolist() == [3 / 6, 2 / 6, 1 / 6]
    assert probabilities.sum(axis=1) == pytest.approx(1.0)
    assert bigram_loss(probabilities, [[0, 1, 0], [0, 0]]) == pytest.approx(-(log(3 / 5) + log(3 / 6) + log(1 / 5)) / 3)
