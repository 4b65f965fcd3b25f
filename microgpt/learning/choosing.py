"""From logits to the next character: functions of scalars, which serve plain floats and are compiled for writing."""

from dataclasses import dataclass
from itertools import pairwise

from microgpt.errors import InputError
from microgpt.functions import Scalar, Vector, dot
from microgpt.value import exp, largest, log

COLDEST = 1e-300  # nothing is divided by a lower temperature


@dataclass(frozen=True)
class Choice:
    """How to choose the next character from its probabilities. Raises InputError for impossible values.

    A temperature below 1 is more careful, above 1 more daring, and 0 always takes the likeliest character.
    """

    temperature: float = 1.0
    top_k: int | None = None  # choose among so many of the likeliest only

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise InputError(f"the temperature is {self.temperature}: expected 0 or a positive number")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k is {self.top_k}: expected a positive integer, or None to choose among all")

    @property
    def is_certain(self) -> bool:
        """Whether every sample of a prompt is the same, because the likeliest character is always taken."""
        return self.temperature == 0 or self.top_k == 1


def probabilities(logits: Vector, choice: Choice) -> Vector:  # [vocab_size] -> [vocab_size]
    """Return the probability of each character to be the next one."""
    kept = 1 if choice.is_certain else choice.top_k
    temperature = 1.0 if choice.is_certain else max(choice.temperature, COLDEST)
    greatest = largest(logits)
    weights = [exp((logit - greatest) / temperature) for logit in logits]
    if kept is not None and kept < len(logits):
        weights = [w * (rank < kept) for w, rank in zip(weights, ranks(logits), strict=True)]
    scale = sum(weights) ** -1
    return [w * scale for w in weights]


def ranks(x: Vector) -> Vector:  # [n] -> [n]
    """Return how many numbers are greater than each one, or equal to it and before it."""
    places = [float(i) for i in range(len(x))]
    return [
        sum((b > a) + (b >= a) * (b <= a) * (j < i) for b, j in zip(x, places, strict=True))
        for a, i in zip(x, places, strict=True)
    ]


def choose(chances: Vector, random: Scalar) -> Vector:  # [n], scalar -> [n]
    """Return 1 at the place that a random number from 0 to 1 draws with the given probabilities, and 0 elsewhere."""
    sums, so_far = [0.0], 0.0
    for chance in chances:
        so_far = so_far + chance
        sums.append(so_far)
    point = random * so_far
    return [(before <= point) * (point < after) for before, after in pairwise(sums)]


def next_token(logits: Vector, random: Scalar, choice: Choice) -> tuple[Scalar, Scalar]:
    """Return the next token and its log-probability: not finite if one of the logits is not."""
    chosen = choose(probabilities(logits, choice), random)
    greatest = largest(logits)
    shifted = [logit - greatest for logit in logits]
    token = sum(place * c for place, c in enumerate(chosen))
    return token, dot(chosen, shifted) - log(sum(exp(s) for s in shifted))
