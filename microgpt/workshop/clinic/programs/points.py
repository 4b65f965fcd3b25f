"""A small network that tells two moons apart, in one file: a number with a gradient, the network, and its training."""

import math
import random

HIDDEN, POINTS = 8, 40
STEPS, RATE = 80, 0.5
INITIAL_SCALE = 0.7


class Value:
    def __init__(self, data, inputs=(), derivatives=()):
        self.data, self.grad = data, 0.0
        self.inputs, self.derivatives = inputs, derivatives

    def __add__(self, other):
        other = lift(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        other = lift(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, k):
        return Value(self.data**k, (self,), (k * self.data ** (k - 1),))

    def exp(self):
        power = math.exp(self.data)
        return Value(power, (self,), (power,))

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -lift(other)

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        order, seen = [], set()

        def visit(value):
            if value not in seen:
                seen.add(value)
                for one in value.inputs:
                    visit(one)
                order.append(value)

        visit(self)
        self.grad = 1.0
        for value in reversed(order):
            for one, derivative in zip(value.inputs, value.derivatives):
                one.grad += derivative * value.grad


def lift(x):
    return x if isinstance(x, Value) else Value(x)


# The network


def relu(x):
    return x if x.data > 0 else x * 0.0


def dot(a, b):
    return sum([a_i * b_i for a_i, b_i in zip(a, b)], Value(0.0))


def layer(x, weights, biases):
    return [dot(x, row) + b for row, b in zip(weights, biases)]


def score(p, point):  # above 0: the upper moon
    hidden = [relu(h) for h in layer(point, p["first.weight"], p["first.bias"])]
    hidden = [relu(h) for h in layer(hidden, p["second.weight"], p["second.bias"])]
    return layer(hidden, p["last.weight"], p["last.bias"])[0]


def cross_entropy(x, upper):  # -log of the chance of what is true, which is 1 / (1 + exp(-x)) for the upper moon
    return ((-x if upper else x).exp() + 1.0).log()


def initial_parameters(rng):
    def weights(n, m):
        return [[Value(rng.gauss(0, INITIAL_SCALE)) for _ in range(m)] for _ in range(n)]

    p = {}
    for name, n, m in (("first", HIDDEN, 2), ("second", HIDDEN, HIDDEN), ("last", 1, HIDDEN)):
        p |= {f"{name}.weight": weights(n, m), f"{name}.bias": [Value(0.0) for _ in range(n)]}
    return p


# Learning


def moons(rng):
    points = []
    for i in range(POINTS):
        angle, upper = math.pi * rng.random(), i % 2 == 0
        x, y = (math.cos(angle), math.sin(angle)) if upper else (1 - math.cos(angle), 0.5 - math.sin(angle))
        points.append(([x + rng.gauss(0, 0.08), y + rng.gauss(0, 0.08)], upper))
    return points


def numbers(table):
    return [one for row in table for one in (row if isinstance(row, list) else [row])]


def train(watch):
    rng = random.Random(3)
    points, p = moons(rng), initial_parameters(rng)
    for step in range(1, STEPS + 1):
        for table in p.values():
            for one in numbers(table):
                one.grad = 0.0
        loss = sum([cross_entropy(score(p, point), upper) for point, upper in points]) * (1 / len(points))
        loss.backward()
        watch(step, loss.data, p)
        for table in p.values():
            for one in numbers(table):
                one.data -= RATE * one.grad
    right = sum([(score(p, point).data > 0) == upper for point, upper in points])
    return [f"{right} of {len(points)} points on the right side"]


if __name__ == "__main__":

    def watch(step, loss, p):
        if step == 1 or step % 10 == 0:
            print(f"step {step:3}   loss {loss:.3f}")

    print(*train(watch))
