"""How the model learns: Adam, and how its learning rate goes up and down.

The functions use the same operations as the model and nothing else. So the same lines serve one float, which is
how to read them, and a numpy array of all parameters at once, which is how `training.py` calls them.
"""

from typing import Any

Number = Any  # a float, or a numpy array of floats


def adam(
    parameter: Number,
    gradient: Number,
    m: Number,
    v: Number,
    step: int,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: Number = 0.0,
) -> tuple[Number, Number, Number]:
    """One step of Adam (Kingma and Ba 2015, algorithm 1): the new parameter, m and v. The first step is number 1.

    Two moments, running means of the gradient and of its square, because they answer two questions: m, which way most
    of the last gradients point, and v, how large they usually are. A parameter moves against m in units of the root of
    v, so every one by about the learning rate. Epsilon keeps the division from 0; a gradient far smaller than it
    hardly moves anything.

    The weight decay pulls a weight a little towards 0 in each step, so that no weight stays large unless the data
    require it. It is decoupled from the gradient: it shrinks the parameter itself and never enters m or v (AdamW:
    Loshchilov and Hutter 2019, algorithm 2).
    """
    m = beta1 * m + (1 - beta1) * gradient  # the running mean of the gradient
    v = beta2 * v + (1 - beta2) * gradient**2  # the running mean of its square
    m_hat = m / (1 - beta1**step)  # both began at 0 and are too small at first: undo it
    v_hat = v / (1 - beta2**step)
    parameter = parameter - learning_rate * (m_hat / (v_hat**0.5 + epsilon) + weight_decay * parameter)
    return parameter, m, v


def scheduled_learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """The learning rate of a step, counted from 1: a straight line up to the peak, then one down towards 0.

    Adam's first estimates rest on few gradients, so it begins with small steps; the last small steps settle.
    """
    if step < warmup:
        return peak * step / warmup
    return peak * (steps + 1 - step) / (steps + 1 - warmup)
