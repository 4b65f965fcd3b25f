"""Muon (Jordan et al. 2024): a matrix moves in all of its directions by the same amount.

    python train.py --optimizer muon

A matrix of gradients is a sum of directions: U S V transposed, its singular value decomposition. A few of them are much
larger than the rest, and would make up the whole step. Muon sets all of them to about 1: the step is U V transposed.
What is no matrix between hidden numbers, such as an embedding or a bias, learns by Adam.

The first argument of this rule is the name of a tensor. So it is called for each tensor, in its shape.
"""

from microgpt.adam import adam

LEARNING_RATE = 0.01
WEIGHT_DECAY = 0.3


def orthogonal(matrix, steps=5):  # [n, m] -> [n, m]
    """U V transposed, about: in each step (Newton and Schulz) a singular value s becomes a s + b s**3 + c s**5."""
    a, b, c = 3.4445, -4.7750, 2.0315  # these drive every s in (0, 1] to between 0.7 and 1.2
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix  # so that the products are small
    x = wide / ((wide * wide).sum() ** 0.5 + 1e-7)  # no singular value is above 1 now
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def update(name, parameter, gradient, m, v, step, learning_rate, weight_decay=0.0, momentum=0.95):
    """The new tensor, its m and its v."""
    if parameter.ndim != 2 or any(part in name for part in ("wte", "wpe", "embed", "head")):
        return adam(parameter, gradient, m, v, step, learning_rate, weight_decay=weight_decay)
    m = momentum * m + (1 - momentum) * gradient
    ahead = momentum * m + (1 - momentum) * gradient  # where m is going (Nesterov 1983)
    scale = 0.2 * max(parameter.shape) ** 0.5  # so that numbers change by as much as Adam's (Liu et al. 2025)
    return parameter - learning_rate * (scale * orthogonal(ahead) + weight_decay * parameter), m, v
