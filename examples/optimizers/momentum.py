"""Gradient descent with momentum (Polyak 1964, in the form of Sutskever et al. 2013): a ball that rolls downhill.

    python train.py --optimizer momentum

The velocity m adds up the gradients and forgets a tenth of itself in each step. So what all gradients share grows
tenfold, and what changes its sign cancels.
"""

LEARNING_RATE = 0.1
WEIGHT_DECAY = 0.01


def update(parameter, gradient, m, v, step, learning_rate, weight_decay=0.0, friction=0.1):
    """The new parameter, and its velocity as m."""
    m = (1 - friction) * m + gradient
    return parameter - learning_rate * (m + weight_decay * parameter), m, v
