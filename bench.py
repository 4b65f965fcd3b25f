"""How fast it is, each way beside the others in one process: python bench.py --help

All speeds of a model are measured in turn, again and again, because machines and their moods differ: what counts are
the ratios. PyTorch takes part if it is installed.
"""

import gc
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from microgpt import value_and_grad
from microgpt.command_line import option, parse, require, run_script
from microgpt.engine import adam_update
from microgpt.gpt import GPTConfig, loss
from microgpt.parameters import Arrays, initial_parameters
from microgpt.training import Schedule, train

try:
    import torch
    import torch.nn.functional as F  # noqa: N812
except ImportError:
    torch = None

MODELS = {"16x1x8": (16, 1, 8), "32x1x8": (32, 1, 8), "64x1x8": (64, 1, 8), "64x4x16": (64, 4, 16)}
LEARNING_RATE = 1e-7  # so small that thousands of steps on one batch do not change what a step has to do


@dataclass
class Settings:
    models: str = option(",".join(MODELS), "what to measure: n_embd x layers x positions, with commas between")
    batch_size: int = option(64, "samples a step")
    repeats: int = option(11, "measurements of each way, in turn; the median counts")
    slow: str = option(
        "yes", "also measure the scalar engine and the textbook form, for n_embd up to 16", ("yes", "no")
    )
    torch_compile: str = option("no", "also measure torch.compile, which takes a minute a model", ("yes", "no"))
    startup: str = option("yes", "also measure compiling, memory and the time to the first step", ("yes", "no"))
    json: str | None = option(None, "a file to write all measurements to")


class TextbookValue:
    """The engine as it is usually written, to be measured against: a closure and a set for each node, recursion."""

    def __init__(self, data, children=()):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(children)

    def __add__(self, other):
        other = other if isinstance(other, TextbookValue) else TextbookValue(other)
        out = TextbookValue(self.data + other.data, (self, other))

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, TextbookValue) else TextbookValue(other)
        out = TextbookValue(self.data * other.data, (self, other))

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def unary(self, data, derivative):
        out = TextbookValue(data, (self,))

        def _backward():
            self.grad += derivative * out.grad

        out._backward = _backward
        return out

    def __pow__(self, k):
        return self.unary(self.data**k, k * self.data ** (k - 1))

    def log(self):
        return self.unary(math.log(self.data), 1 / self.data)

    def exp(self):
        return self.unary(math.exp(self.data), math.exp(self.data))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        order, visited = [], set()

        def visit(node):
            if node not in visited:
                visited.add(node)
                for child in node._prev:
                    visit(child)
                order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            node._backward()


def textbook_value_and_grad(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `value_and_grad` does, for one example, with the textbook's engine."""

    def textbook_largest(items):
        return max(item.data for item in items)

    def step(params, tokens, weights):
        leaves = {
            name: [[TextbookValue(x) for x in row] for row in array.tolist()]
            if array.ndim == 2
            else [TextbookValue(x) for x in array.tolist()]
            for name, array in params.items()
        }
        with patch("microgpt.functions.largest", textbook_largest):
            result = function(leaves, tokens[0].tolist(), weights[0].tolist())
        result.backward()
        gradients = {
            name: np.array([[v.grad for v in row] if isinstance(row, list) else row.grad for row in rows])
            for name, rows in leaves.items()
        }
        return result.data, gradients

    return step


class TorchGPT:
    """The same GPT-2 as PyTorch's users write it, with the same parameters."""

    def __init__(self, config: GPTConfig, parameters: Arrays):
        self.config = config
        self.p = {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}
        self.optimizer = torch.optim.Adam(self.p.values(), lr=LEARNING_RATE, fused=True)

    def linear(self, name, x):
        return torch.addmm(self.p[f"{name}.bias"], x.flatten(0, -2), self.p[f"{name}.weight"]).unflatten(
            0, x.shape[:-1]
        )

    def norm(self, name, x):
        return F.layer_norm(x, (self.config.n_embd,), self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def loss(self, tokens, weights):
        c, p = self.config, self.p
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        x = p["wte.weight"][inputs] + p["wpe.weight"][: inputs.shape[1]]
        for layer in range(c.n_layer):
            h = f"h.{layer}"
            qkv = self.linear(f"{h}.attn.c_attn", self.norm(f"{h}.ln_1", x))
            q, k, v = (part.unflatten(2, (c.n_head, -1)).transpose(1, 2) for part in qkv.split(c.n_embd, 2))
            heads = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + self.linear(f"{h}.attn.c_proj", heads)
            hidden = F.gelu(self.linear(f"{h}.mlp.c_fc", self.norm(f"{h}.ln_2", x)), approximate="tanh")
            x = x + self.linear(f"{h}.mlp.c_proj", hidden)
        logits = self.norm("ln_f", x) @ p["wte.weight"].T
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return (losses * weights.flatten()).sum() / len(tokens)

    def stepper(self, tokens, weights, compiled):
        loss = torch.compile(self.loss) if compiled else self.loss
        tokens, weights = torch.tensor(tokens), torch.tensor(weights)

        def step():
            self.optimizer.zero_grad()
            value = loss(tokens, weights)
            value.backward()
            self.optimizer.step()
            return value

        return step


def our_stepper(config: GPTConfig, parameters: Arrays, batch: Any, engine: str, threads: int) -> Callable[[], Any]:
    """One step of `train` after another on the same batch, without clipping, as PyTorch does it here."""
    step = value_and_grad(partial(loss, config=config), engine, threads)
    updates = train(
        step, dict(parameters), repeat(batch), Schedule(10**9, LEARNING_RATE, 0, grad_clip=0), adam_update(engine)
    )
    return lambda: next(updates)


def measure(ways: dict[str, Callable[[], Any]], repeats: int, shortest: float = 0.02) -> dict[str, list[float]]:
    """Seconds a call of each way, measured in turn so that all meet the same machine, each for a while."""
    calls, seconds = {}, {name: [] for name in ways}
    for name, way in ways.items():
        way()  # to warm up
        start = time.perf_counter()
        way()
        calls[name] = max(1, round(shortest / (time.perf_counter() - start)))
    for _ in range(repeats):
        for name, way in ways.items():
            gc.collect()
            start = time.perf_counter()
            for _ in range(calls[name]):
                way()
            seconds[name].append((time.perf_counter() - start) / calls[name])
    return seconds


def names(config: GPTConfig, positions: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch of made-up names that fill all positions, and their weights."""
    tokens = np.zeros((batch_size, positions + 1), np.int64)
    tokens[:, 1:-1] = np.random.default_rng(0).integers(1, config.vocab_size, (batch_size, positions - 1))
    return tokens, np.full((batch_size, positions), 1 / positions, np.float32)


def speeds(model: str, settings: Settings) -> dict[str, list[float]]:
    """Microseconds a sample of a whole training step, forward, backward and Adam, for every engine."""
    n_embd, n_layer, positions = MODELS[model]
    config = GPTConfig(27, 16, n_embd, n_layer, 4)
    parameters = initial_parameters(config, 0)
    batch = names(config, positions, settings.batch_size)
    one = tuple(array[:1] for array in batch)
    cores = os.cpu_count() or 1
    ways: dict[str, Callable[[], Any]] = {}
    for threads in dict.fromkeys((1, cores)):
        ways[f"microgpt compiled, {threads} thread(s)"] = our_stepper(config, parameters, batch, "compiled", threads)
    if torch is not None:
        for threads in dict.fromkeys((1, cores)):
            for compiled in (False, True) if settings.torch_compile == "yes" else (False,):
                step = TorchGPT(config, parameters).stepper(*batch, compiled)
                ways[f"torch {'compile' if compiled else 'eager'}, {threads} thread(s)"] = with_threads(step, threads)
    samples = dict.fromkeys(ways, settings.batch_size)
    if settings.slow == "yes" and n_embd <= 16:
        sys.setrecursionlimit(1_000_000)  # the textbook's backward needs it
        ways["microgpt scalar"] = our_stepper(config, parameters, one, "scalar", 1)
        ways["the textbook's form of it"] = textbook_stepper(config, parameters, one)
    seconds = measure(ways, settings.repeats)
    return {name: [1e6 * s / samples.get(name, 1) for s in measured] for name, measured in seconds.items()}


def with_threads(step: Callable[[], Any], threads: int) -> Callable[[], Any]:
    def limited():
        torch.set_num_threads(threads)
        step()

    return limited


def textbook_stepper(config: GPTConfig, parameters: Arrays, example: Any) -> Callable[[], Any]:
    step = textbook_value_and_grad(partial(loss, config=config))
    updates = train(step, dict(parameters), repeat(example), Schedule(10**9, LEARNING_RATE, 0, grad_clip=0))
    return lambda: next(updates)


COMPILE = """
import sys, time
from functools import partial
import numpy as np
from microgpt import value_and_grad
from microgpt.compiler.program import Program
from microgpt.gpt import GPTConfig, loss
from microgpt.parameters import initial_parameters, parameter_shapes

def compiled(config, t):
    arguments = [("tokens", "int", (t + 1,)), ("weights", "float", (t,))]
    return Program(partial(loss, config=config), parameter_shapes(config), arguments)

n_embd, n_layer, positions, batch_size = map(int, sys.argv[1:])
config = GPTConfig(27, 16, n_embd, n_layer, 4)
compiled(GPTConfig(2, 2, 2, 1, 1), 1)  # so that what is loaded once does not count
start = time.perf_counter()
operations = compiled(config, positions).operations
seconds = time.perf_counter() - start
batch = np.zeros((batch_size, positions + 1), np.int64), np.ones((batch_size, positions), np.float32)
value_and_grad(partial(loss, config=config))(initial_parameters(config, 0), *batch)
try:  # of this program alone; getrusage also counts the one that started it
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seconds, operations, int(peak) * 1024)
"""


def startup(model: str, settings: Settings) -> dict[str, float]:
    """Of a new process: seconds to record and compile a model, and bytes of memory at most, with a training step."""
    sizes = [str(size) for size in (*MODELS[model], settings.batch_size)]
    here = Path(__file__).parent
    output = subprocess.run(
        [sys.executable, "-c", COMPILE, *sizes], cwd=here, check=True, capture_output=True, text=True
    ).stdout.split()
    seconds, operations, peak = map(float, output)
    return {"compile_seconds": seconds, "operations": operations, "peak_bytes": peak}


def first_step() -> float:
    """Seconds from `python train.py` to the end of its first step: until it takes one and Python ends."""
    with tempfile.TemporaryDirectory() as directory:
        command = [
            sys.executable,
            str(Path(__file__).with_name("train.py")),
            "--steps",
            "1",
            "--out",
            f"{directory}/run",
        ]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = Path(directory) / "run" / "metrics.csv"
        while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 2):
            time.sleep(0.005)
        seconds = time.perf_counter() - start
        process.wait()
    return seconds


def main() -> int:
    settings = parse(Settings, "Measure the engines and PyTorch side by side.")
    require("repeats", settings.repeats, settings.repeats >= 1, "a positive integer")
    require("batch_size", settings.batch_size, settings.batch_size >= 1, "a positive integer")
    chosen = settings.models.split(",")
    require("models", settings.models, all(m in MODELS for m in chosen), f"some of {','.join(MODELS)}")
    found: dict[str, Any] = {}
    for model in chosen:
        measured = speeds(model, settings)
        reference = measured["microgpt compiled, 1 thread(s)"]
        print(f"\n{model}: n_embd x layers x positions, batch {settings.batch_size}, float32, microseconds a sample")
        for name, values in measured.items():
            median = statistics.median(values)
            ratio = median / statistics.median(reference)
            print(f"  {name:32}{median:12,.2f}  ({min(values):,.2f} to {max(values):,.2f})   x {ratio:,.2f}")
        found[model] = {name: values for name, values in measured.items()}
        if settings.startup == "yes":
            found[model] |= startup(model, settings)
            print(
                f"  {found[model]['operations']:,.0f} operations recorded and compiled in "
                f"{found[model]['compile_seconds']:.2f} s, "
                f"{1e6 * found[model]['compile_seconds'] / found[model]['operations']:.2f} us each; "
                f"peak memory with a training step {found[model]['peak_bytes'] / 1e6:.0f} MB"
            )
    if settings.startup == "yes":
        found["first_step_seconds"] = first_step()
        print(f"\nfrom `python train.py` to its first step: {found['first_step_seconds']:.2f} s, kernels cached")
    if settings.json:
        Path(settings.json).write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    run_script(main)
