"""Lion (Chen et al. 2023, algorithm 2), found by a search over programs: every parameter moves by the learning rate.

    python train.py --optimizer lion

Only the sign of the mean gradient counts. The steps are as large for small gradients as for large ones, so the learning
rate is less than half of Adam's, and the weight decay ten times as large.
"""

LEARNING_RATE = 0.004
WEIGHT_DECAY = 3.0


def sign(x):
    """1, 0 or -1."""
    return 1.0 * (x > 0) - 1.0 * (x < 0)


def update(parameter, gradient, m, v, step, learning_rate, weight_decay=0.0, beta1=0.9, beta2=0.99):
    """The new parameter, and the mean gradient as m."""
    direction = sign(beta1 * m + (1 - beta1) * gradient)
    m = beta2 * m + (1 - beta2) * gradient
    return parameter - learning_rate * (direction + weight_decay * parameter), m, v
