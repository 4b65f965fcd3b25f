"""How a model learns, step by step up to Adam, and how it writes.

Read after gpt.py. The first four functions are on the way to adam.py, which joins them; plain numbers are enough for
them. The others write a text with a trained model, a token at a time.
"""

from typing import Any

from microgpt.functions import softmax
from microgpt.gpt import GPTConfig, empty_cache, gpt


def gradient_descent(parameter: float, gradient: float, learning_rate: float) -> float:
    """One step against the gradient."""
    return parameter - learning_rate * gradient


def momentum(
    parameter: float, gradient: float, m: float, learning_rate: float, beta: float = 0.9
) -> tuple[float, float]:
    """One step against m, the running mean of the gradients: the new parameter, and the new m."""
    m = beta * m + (1 - beta) * gradient
    return parameter - learning_rate * m, m


def corrected(mean: float, beta: float, step: int) -> float:
    """A running mean that began at 0, as it would be without that beginning. The first step is number 1."""
    return mean / (1 - beta**step)


def decayed(parameter: float, learning_rate: float, weight_decay: float) -> float:
    """A parameter, pulled a little towards 0."""
    return parameter - learning_rate * weight_decay * parameter


def probabilities(logits: list[float], temperature: float) -> list[float]:  # [vocab_size] -> [vocab_size]
    """The probability of each token to be the next one. At temperature 0 the likeliest is certain."""
    if temperature == 0:
        likeliest = logits.index(max(logits))
        return [float(i == likeliest) for i in range(len(logits))]
    return softmax([logit / temperature for logit in logits])


def choose(chances: list[float], point: float) -> int:
    """The index of a chance, drawn with a random number from 0 to 1."""
    for i, chance in enumerate(chances):
        point -= chance
        if point < 0:
            return i
    return len(chances) - 1


def written(params: Any, config: GPTConfig, token: int, temperature: float, points: list[float]) -> list[int]:
    """The tokens that a model writes after a first one, up to the next 0, with a random number for each."""
    cache, found = empty_cache(config), []
    for position, point in enumerate(points):
        logits = gpt(params, config, token, position, cache)
        token = choose(probabilities(logits, temperature), point)
        if token == 0:
            break
        found.append(token)
    return found
