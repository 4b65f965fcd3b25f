"""Trains tiny models as on another processor: python processors.py x86-64-v3 prints the SHA-256 of each."""

import hashlib
import sys
from functools import partial
from itertools import repeat

import llvmlite.binding
import numpy as np

# What a processor lacks: beginnings of names of features, as LLVM calls them. The numbers are levels of x86-64.
LACKS = {
    "this": (),
    "x86-64-v3": ("avx10", "avx512", "evex512", "amx"),
    "x86-64": ("avx", "evex512", "amx", "fma", "f16c", "xop", "vaes", "vpclmulqdq", "gfni"),
}


def become(processor):
    """Let LLVM make code for another processor, whose instructions this one has, too."""
    features = llvmlite.binding.get_host_cpu_features()
    without = {name: has and not name.startswith(LACKS[processor]) for name, has in features.items()}
    llvmlite.binding.get_host_cpu_features = lambda: type(features)(without)
    if processor != "this":
        llvmlite.binding.get_host_cpu_name = lambda: "x86-64"


def trained():
    """The SHA-256 of the parameters that each of some models ends with, by its name."""
    from microgpt import GPTConfig, Schedule, adam_update, exp, initial_parameters, log, loss, train, value_and_grad

    rng = np.random.default_rng(0)
    config = GPTConfig(vocab_size=11, n_positions=9, n_embd=20, n_head=2, n_layer=1)

    def softplus(p, x, wanted):
        hidden = [log(1 + exp(sum(w * a for w, a in zip(row, x, strict=True)))) ** 1.3 for row in p["w"]]
        return (sum(h * v for h, v in zip(hidden, p["v"], strict=True)) - wanted) ** 2

    sequence = rng.integers(0, 11, (1, 10)), np.full((1, 9), 1 / 9, np.float32)
    net = {"w": rng.normal(size=(21, 13)), "v": rng.normal(size=21)}
    tasks = {
        "a GPT": (partial(loss, config=config), initial_parameters(config, 0), sequence),
        "logarithms and powers": (softplus, net, (rng.normal(size=(5, 13)), rng.normal(size=5))),
    }
    found = {}
    for name, (function, parameters, batch) in tasks.items():
        step = value_and_grad(function, threads=1, verify=False)
        for _ in train(step, parameters, repeat(batch), Schedule(20, 0.01, 5), adam_update("compiled"), looks=bool):
            pass
        found[name] = hashlib.sha256(b"".join(array.tobytes() for array in parameters.values())).hexdigest()
    return found


if __name__ == "__main__":
    become(sys.argv[1])
    for name, digest in trained().items():
        print(name, digest)
