"""Stochastic gradient descent (Robbins and Monro 1951): against the gradient, by the learning rate.

python train.py --optimizer sgd
"""

LEARNING_RATE = 0.5
WEIGHT_DECAY = 0.0


def update(parameter, gradient, m, v, step, learning_rate, weight_decay=0.0):
    """The new parameter; there is nothing to remember, so m and v stay."""
    return parameter - learning_rate * (gradient + weight_decay * parameter), m, v
