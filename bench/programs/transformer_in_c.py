"""A transformer as in C: nested loops, accumulators, while."""

from bench.contenders.torch_transformer import task
from microgpt import exp, largest, log, pick


def matmul(c, a, b):  # c += a b
    for i in range(len(a)):
        for j in range(len(b[0])):
            for k in range(len(b)):
                c[i][j] += a[i][k] * b[k][j]
    return c


def zeros(n, m):
    return [[0.0] * m for _ in range(n)]


def rmsnorm(x):
    y, i = [], 0
    while i < len(x):
        ss = 0.0
        for j in range(len(x[i])):
            ss += x[i][j] * x[i][j]
        y.append([v * (ss / len(x[i]) + 1e-5) ** -0.5 for v in x[i]])
        i += 1
    return y


def attend(out, q, k, v):
    for i in range(len(q)):
        att, total = [0.0] * (i + 1), 0.0
        for t in range(i + 1):
            for j in range(len(q[i])):
                att[t] += q[i][j] * k[t][j] / len(q[i]) ** 0.5
        top = largest(att)
        for t in range(i + 1):
            att[t] = exp(att[t] - top)
            total += att[t]
        for t in range(i + 1):
            for j in range(len(q[i])):
                out[i][j] += att[t] / total * v[t][j]
    return out


def loss(p, tokens):
    n, d, total = len(tokens) - 1, len(p["out"]), 0.0
    x = [[p["positions"][i][j] + pick(p["tokens"], tokens[i])[j] for j in range(d)] for i in range(n)]
    q, k, v = (matmul(zeros(n, d), rmsnorm(x), p[name]) for name in ("query", "key", "value"))
    matmul(x, attend(zeros(n, d), q, k, v), p["out"])
    h = matmul(zeros(n, 4 * d), rmsnorm(x), p["up"])
    matmul(x, [[a * (a > 0) for a in row] for row in h], p["down"])
    z = matmul(zeros(n, len(p["head"][0])), rmsnorm(x), p["head"])
    for i in range(n):
        total += log(sum(exp(a) for a in z[i])) - pick(z[i], tokens[i + 1])
    return total / n


def make(scale):
    return task(loss, scale, heads=1)
