"""How fast it is, each way beside the others: python bench.py --help

Machines and their moods differ, so what counts are ratios. Each way to take a step runs in a process of its own, and
the processes take turns, again and again: while one works, the others sleep. So all meet the same machine, and none
is disturbed by the threads of another. PyTorch and JAX take part if they are installed, C written by hand
(examples/by_hand.c) if there is a compiler for it.

    table      a training step of many shapes: microgpt, its engine torch, PyTorch, JAX, C, and this processor's limit
    scalar     the compiled engine beside the scalar one and the form that textbooks give it
    loop       what train.py's loop adds to its steps
    first-run  train.py with no kernels on the disk, and with them
    scale      a model of 109 million scalar operations: time to the first step, and memory
    busy       one thread and all of them, alone and while another program keeps a core busy
"""

import ctypes
import gc
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import cycle, islice, repeat
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
from llvmlite import ir

from microgpt import value_and_grad
from microgpt.commands.options import option, parse, require
from microgpt.commands.script import run_script
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.engine import adam_update
from microgpt.errors import counted
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.batches import batches, make_corpus
from microgpt.learning.parameters import Arrays, flatten, initial_parameters
from microgpt.learning.text import read_text
from microgpt.learning.training import OptimizerState, Schedule, train
from microgpt.runs.files import check_place

HERE = Path(__file__).resolve().parent
CORES = os.cpu_count() or 1
LEARNING_RATE = 1e-7  # so small that thousands of steps on one batch do not change what a step has to do
MODELS = {
    "16x1x8": (16, 1, 8),  # n_embd, n_layer, positions
    "32x1x8": (32, 1, 8),
    "64x1x8": (64, 1, 8),
    "64x4x16": (64, 4, 16),
    "64x4x64": (64, 4, 64),
    "128x4x64": (128, 4, 64),
}
C_OPTIONS = ("-O3", "-march=native", "-ffast-math")
REST = 0.05  # seconds after which the threads of a library that is done have stopped looking for more
BATCH = 64  # samples a step, where nothing else is said
TINY, PROSE, LARGE = "16x1x8", "64x4x64", "128x4x64"


@dataclass(frozen=True)
class Row:
    """A row of the table: what is measured, on how many threads, and whether a sample or a whole step is shown."""

    model: str
    batch_size: int
    threads: int
    unit: str = "us/sample"

    def __str__(self) -> str:
        return f"{self.model}, batch {self.batch_size}, {counted(self.threads, 'thread')}"

    def shown(self, seconds: float) -> float:
        """The seconds of a step in the row's unit."""
        return 1e3 * seconds if self.unit == "ms/step" else 1e6 * seconds / self.batch_size


ROWS = [
    *(
        Row(model, BATCH, threads)
        for model in MODELS
        if model not in (PROSE, LARGE)
        for threads in dict.fromkeys((1, CORES))
    ),
    Row(PROSE, 32, CORES, "ms/step"),
    Row(LARGE, 12, 1, "ms/step"),
    Row(TINY, 1, 1),
]


@dataclass
class Settings:
    sections: str = option("table,scalar,loop,first-run,scale,busy", "what to measure, with commas between")
    models: str = option(",".join(MODELS), "the table's models: n_embd x layers x positions, with commas between")
    repeats: int = option(11, "measurements of each way, in turn; the median counts")
    torch: str = option("yes", "also measure PyTorch, if it is installed", ("yes", "no"))
    torch_compile: str = option("no", "also measure torch.compile, which takes a minute a model", ("yes", "no"))
    jax: str = option("yes", "also measure JAX, if it is installed", ("yes", "no"))
    c: str = option("yes", "also measure C written by hand, if there is a compiler: CC, cc, gcc, clang", ("yes", "no"))
    json: str | None = option(None, "a file to write all measurements to")


# How to measure: a process for each way, which takes its steps when it is told to.

Step = Callable[[], Any]  # takes one step
Maker = Callable[..., Step]  # makes everything ready for it


class Way:
    """A process that makes a step and then takes it as often as it is asked to."""

    def __init__(self, make: Maker, *arguments: Any, threads: int = 1):
        self.make, self.arguments, self.threads = make, arguments, threads

    def __enter__(self) -> "Way":
        spawning = get_context("spawn")
        self.connection, theirs = spawning.Pipe()
        self.process = spawning.Process(target=serve, args=(theirs, self.make, self.arguments), daemon=True)
        with patch.dict(os.environ, thread_limits(self.threads)):
            self.process.start()
        theirs.close()
        return self

    def __exit__(self, error: Any, *_: Any) -> None:
        if error is None:
            self.connection.send(0)
            self.process.join(timeout=10)
        self.process.kill()
        self.process.join()

    def seconds(self, calls: int) -> float:
        """Let it take some steps: the seconds that each took."""
        try:
            self.connection.send(calls)
            found = self.connection.recv()
        except (EOFError, ConnectionError):
            raise ChildProcessError(
                f"{self.make.__name__} ended with the error above: see --help to leave it out"
            ) from None
        if self.threads > 1:
            time.sleep(REST)
        return found


def serve(connection: Connection, make: Maker, arguments: tuple[Any, ...]) -> None:
    """The life of such a process: it is sent how many steps to take, and sends the seconds; 0 ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked for it ends it
    step = make(*arguments)
    while calls := connection.recv():
        gc.collect()
        start = time.perf_counter()
        for _ in range(calls):
            step()
        connection.send((time.perf_counter() - start) / calls)


def thread_limits(threads: int) -> dict[str, str]:
    """The environment in which libraries take so many threads; those that are told in other ways are told there."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC")
    xla = "--xla_cpu_multi_thread_eigen=false" if threads == 1 else ""
    return dict.fromkeys(names, str(threads)) | {"XLA_FLAGS": xla, "JAX_PLATFORMS": "cpu"}


def measure(ways: dict[str, Way], repeats: int, shortest: float = 0.02) -> dict[str, list[float]]:
    """Seconds a step of each way, measured in turn, each for a while; the ways end with it."""
    calls, seconds = {}, {name: [] for name in ways}
    with ExitStack() as running:
        for way in ways.values():
            running.enter_context(way)
        for way in ways.values():
            way.seconds(3)  # until all are ready, and warm
        for name, way in ways.items():
            calls[name] = max(1, round(shortest / way.seconds(1)))
        for _ in range(repeats):
            for name, way in ways.items():
                seconds[name].append(way.seconds(calls[name]))
    return seconds


def speed_ratio(measured: dict[str, list[float]], name: str, reference: str) -> float:
    """How many times as fast as the reference: the median over the rounds, in each of which both were measured."""
    return median(theirs / ours for ours, theirs in zip(measured[name], measured[reference], strict=True))


# The model and the batch that all programs get.


def model_config(model: str) -> GPTConfig:
    n_embd, n_layer, positions = MODELS[model]
    return GPTConfig(27, max(16, positions), n_embd, n_layer, 4)


def made_up_names(model: str, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch of names that fill all positions, and their weights."""
    positions = MODELS[model][2]
    tokens = np.zeros((batch_size, positions + 1), np.int64)
    tokens[:, 1:-1] = np.random.default_rng(0).integers(1, 27, (batch_size, positions - 1))
    return tokens, np.full((batch_size, positions), 1 / positions, np.float32)


# microgpt.


def microgpt_step(model: str, batch_size: int, engine: str, threads: int) -> Step:
    """One step of `train` after another on the same batch, without clipping, as the others do it here."""
    config = model_config(model)
    step = value_and_grad(partial(loss, config=config), engine, threads)
    return same_batch(step, initial_parameters(config, 0), made_up_names(model, batch_size), adam_update(engine))


def on_torch_step(model: str, batch_size: int, threads: int, compiled: bool) -> Step:
    """The same with the engine torch, on the CPU."""
    import torch

    from microgpt.learning.on_device import DeviceTraining, Processes

    torch.set_num_threads(threads)
    config = model_config(model)
    parameters = initial_parameters(config, 0)
    state = OptimizerState(0, *(np.zeros_like(flatten(parameters)) for _ in range(2)))
    drawn, schedule = repeat(made_up_names(model, batch_size)), Schedule(10**9, LEARNING_RATE, 0, grad_clip=0)
    step = value_and_grad(partial(loss, config=config), "torch", device="cpu", torch_compile=compiled)
    updates = iter(DeviceTraining(step, parameters, drawn, schedule, state, Processes(device="cpu")))
    return lambda: next(updates).loss


def same_batch(step: Callable[..., Any], parameters: Arrays, batch: Any, *update: Callable[..., None]) -> Step:
    """The steps of `train` on one batch again and again: each call takes one and returns its loss."""
    updates = train(step, parameters, repeat(batch), Schedule(10**9, LEARNING_RATE, 0, grad_clip=0), *update)
    return lambda: next(updates).loss


# The limit: three times the multiply-adds of the forward pass, at the greatest rate that this processor has.


def multiply_adds(config: GPTConfig, positions: int) -> int:
    """Of one sample's forward pass: those of the linear maps, of attention and of the head."""
    n = config.n_embd
    linear_maps = positions * 12 * n * n
    attention = positions * (positions + 1) * n  # a query with each key so far, and as many weights with values
    return config.n_layer * (linear_maps + attention) + positions * n * config.vocab_size


CHAINS = 12  # sums that grow side by side, so that none waits for another
TOGETHER = 196_608_000  # multiply-adds of a thread in one call


def peak_step(threads: int) -> Step:
    """On each thread multiply-adds alone, in registers, in the vectors that are fastest here."""
    return min((multiply_adds_step(lanes, threads) for lanes in (4, 8, 16)), key=seconds_of)


def seconds_of(step: Step) -> float:
    return min(timeit.repeat(step, number=1, repeat=5))


def multiply_adds_step(lanes: int, threads: int) -> Step:
    (address,) = machine().prepare([MultiplyAdds(CHAINS, lanes)])
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(address)
    pool = ThreadPoolExecutor(threads)
    sums = [np.ones((CHAINS + 1) * lanes, np.float32) for _ in range(threads)]
    turns = TOGETHER // (CHAINS * lanes)
    return lambda: list(pool.map(lambda own: run(own.ctypes.data, turns), sums))


@dataclass(frozen=True)
class MultiplyAdds:
    """The kernel of multiply-adds alone."""

    chains: int
    lanes: int

    def emit(self, module: ir.Module, name: str) -> None:
        """For each turn: for each chain: sums[chain] = sums[chain] * factor + factor, in vectors"""
        vector, count = ir.VectorType(ir.FloatType(), self.lanes), ir.IntType(64)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [vector.as_pointer(), count]), name)
        multiply_add = ir.Function(module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{self.lanes}f32")
        first, turn, last = (function.append_basic_block() for _ in range(3))
        b = ir.IRBuilder(first)
        places = [b.gep(function.args[0], [count(i)]) for i in range(self.chains + 1)]
        *starts, factor = (b.load(place, align=4) for place in places)
        b.branch(turn)
        b.position_at_end(turn)
        i, *sums = (b.phi(kind) for kind in (count, *[vector] * self.chains))
        grown = [b.call(multiply_add, [s, factor, factor]) for s in sums]
        following = b.add(i, count(1))
        for phi, start, later in zip((i, *sums), (count(0), *starts), (following, *grown), strict=True):
            phi.add_incoming(start, first)
            phi.add_incoming(later, turn)
        b.cbranch(b.icmp_signed("<", following, function.args[1]), turn, last)
        b.position_at_end(last)
        for place, s in zip(places, grown, strict=False):
            b.store(s, place, align=4)
        b.ret_void()


# PyTorch.


class TorchGPT:
    """The same GPT-2 as PyTorch's users write it, with the same parameters."""

    def __init__(self, config: GPTConfig, parameters: Arrays):
        global torch, F  # loaded only where they are used: they take memory and seconds
        import torch
        import torch.nn.functional as F  # noqa: N812

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


def torch_step(model: str, batch_size: int, threads: int, compiled: bool) -> Step:
    config = model_config(model)
    gpt = TorchGPT(config, initial_parameters(config, 0))
    torch.set_num_threads(threads)
    gpt_loss = torch.compile(gpt.loss) if compiled else gpt.loss
    tokens, weights = (torch.tensor(array) for array in made_up_names(model, batch_size))

    def step() -> Any:
        gpt.optimizer.zero_grad()
        value = gpt_loss(tokens, weights)
        value.backward()
        gpt.optimizer.step()
        return value

    return step


# JAX.


class JaxGPT:
    """The same GPT-2 as pure functions of its parameters, which is how JAX wants them."""

    def __init__(self, config: GPTConfig):
        global jax, jnp
        import jax
        import jax.numpy as jnp

        self.config = config

    def linear(self, p, name, x):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def norm(self, p, name, x):
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def attention(self, p, name, x):
        causal = jnp.tri(x.shape[1], dtype=bool)
        qkv = self.linear(p, f"{name}.c_attn", x).reshape(*x.shape[:2], 3, self.config.n_head, -1)
        query, key, value = jnp.moveaxis(qkv, 2, 0)  # [batch, t, n_head, head size] each
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
        chances = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
        return self.linear(p, f"{name}.c_proj", jnp.einsum("bhqk,bkhd->bqhd", chances, value).reshape(x.shape))

    def loss(self, p, tokens, weights):
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        x = p["wte.weight"][inputs] + p["wpe.weight"][: inputs.shape[1]]
        for h in (f"h.{layer}" for layer in range(self.config.n_layer)):
            x = x + self.attention(p, f"{h}.attn", self.norm(p, f"{h}.ln_1", x))
            hidden = jax.nn.gelu(self.linear(p, f"{h}.mlp.c_fc", self.norm(p, f"{h}.ln_2", x)), approximate=True)
            x = x + self.linear(p, f"{h}.mlp.c_proj", hidden)
        chances = jax.nn.log_softmax(self.norm(p, "ln_f", x) @ p["wte.weight"].T)
        chosen = jnp.take_along_axis(chances, targets[..., None], -1)[..., 0]
        return -(chosen * weights).sum() / len(tokens)

    def update(self, state, tokens, weights):
        """A step of Adam: from the parameters, the moments and how many steps there were to the same after it."""
        p, m, v, steps = state
        value, gradients = jax.value_and_grad(self.loss)(p, tokens, weights)
        steps = steps + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
        c_m, c_v = 1 - 0.9**steps, 1 - 0.999**steps
        p = jax.tree.map(lambda p, m, v: p - LEARNING_RATE * (m / c_m) / (jnp.sqrt(v / c_v) + 1e-8), p, m, v)
        return (p, m, v, steps), value


def jax_step(model: str, batch_size: int) -> Step:
    config = model_config(model)
    gpt = JaxGPT(config)
    update = jax.jit(gpt.update, donate_argnums=0)  # all of it one program, in the memory of the state before
    p, m, v = (jax.tree.map(jnp.array, initial_parameters(config, 0)) for _ in range(3))
    state = p, jax.tree.map(jnp.zeros_like, m), jax.tree.map(jnp.zeros_like, v), jnp.float32(0)
    tokens, weights = (jnp.array(array) for array in made_up_names(model, batch_size))

    def step() -> Any:
        nonlocal state
        state, value = update(state, tokens, weights)
        return value.block_until_ready()  # it computes in the background

    return step


# C.


def c_compiler() -> str | None:
    """The program that compiles C here, if there is one: the one that the environment names, or a usual one."""
    named = os.environ.get("CC")
    return next(filter(None, map(shutil.which, [named] if named else ["cc", "gcc", "clang"])), None)


def compiled_c(source: Path) -> ctypes.CDLL:
    """The functions of a file of C, compiled for this processor with all that a compiler can do for it.

    The option for fast mathematics stands only where it compiles: where it links, it would change what this whole
    process does with the smallest numbers.
    """
    compiler = c_compiler()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        code, library = Path(directory, "code.o"), Path(directory, "library.so")
        for options in (
            ["-std=c11", *C_OPTIONS, "-fPIC", "-c", str(source), "-o", str(code)],
            ["-shared", str(code), "-o", str(library), "-lm"],
        ):
            subprocess.run([compiler, *options], check=True)
        return ctypes.CDLL(str(library))


def c_step(model: str, batch_size: int) -> Step:
    config = model_config(model)
    functions = compiled_c(HERE / "examples" / "by_hand.c")
    functions.gpt_new.restype, functions.gpt_step.restype = ctypes.c_void_p, ctypes.c_float
    parameters = flatten(initial_parameters(config, 0))
    tokens, weights = made_up_names(model, batch_size)
    sizes = (config.vocab_size, config.n_positions, config.n_embd, config.n_layer, config.n_head)
    gpt = ctypes.c_void_p(functions.gpt_new(address(parameters), *sizes, *weights.shape))

    def step(parameters: np.ndarray = parameters) -> float:  # which must live as long as the step
        return functions.gpt_step(gpt, address(tokens), address(weights), ctypes.c_float(LEARNING_RATE))

    return step


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


# The engine as it is usually written.


class TextbookValue:
    """To be measured against: a closure and a set for each node, recursion."""

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


def textbook_step(model: str) -> Step:
    sys.setrecursionlimit(1_000_000)  # its backward needs it
    config = model_config(model)
    step = textbook_value_and_grad(partial(loss, config=config))
    return same_batch(step, initial_parameters(config, 0), made_up_names(model, 1))


# The sections. Each prints what it finds and returns all that was measured, in seconds.


def table(settings: Settings) -> dict[str, Any]:
    """A training step, forward, backward and Adam, float32, of all programs in turn, row by row; C on one thread."""
    rows = [row for row in ROWS if row.model in settings.models.split(",")]
    programs = [*dict.fromkeys(name for row in rows for name in programs_of(row, settings)), "the limit"]
    print("(in brackets: times as fast as PyTorch eager)")
    print(f"{'':30}{'':12}" + "".join(f"{name:>20}" for name in programs))
    found = {}
    for row in rows:
        peak = Way(peak_step, row.threads, threads=row.threads)
        measured = measure(programs_of(row, settings) | {"peak": peak}, settings.repeats)
        peak_seconds = measured.pop("peak")
        rate = TOGETHER * row.threads / min(peak_seconds)
        work = 3 * multiply_adds(model_config(row.model), MODELS[row.model][2]) * row.batch_size
        measured["the limit"] = [work / rate] * settings.repeats
        print(f"{row!s:30}{row.unit:>12}" + "".join(f"{cell(row, measured, name):>20}" for name in programs))
        found[str(row)] = {
            "seconds_a_step": measured,
            "multiply_adds_a_second": rate,
            "seconds_of_the_peak": peak_seconds,
        }
    for threads in dict.fromkeys(row.threads for row in rows):
        rates = [found[str(row)]["multiply_adds_a_second"] / 1e9 for row in rows if row.threads == threads]
        print(
            f"the limit is three times the multiply-adds of the forward pass, at what {counted(threads, 'thread')} "
            f"did of them in registers, measured in turn with the rest: {min(rates):.1f} to {max(rates):.1f} "
            "a nanosecond"
        )
    return found


def programs_of(row: Row, settings: Settings) -> dict[str, Way]:
    """A process for each program that takes part."""
    shape, threads = (row.model, row.batch_size), row.threads
    ways = {"microgpt": Way(microgpt_step, *shape, "compiled", threads, threads=threads)}
    if has_torch(settings):
        ways["its engine torch"] = Way(on_torch_step, *shape, threads, False, threads=threads)
        ways["PyTorch eager"] = Way(torch_step, *shape, threads, False, threads=threads)
        if settings.torch_compile == "yes":
            ways["that, compiled"] = Way(on_torch_step, *shape, threads, True, threads=threads)
            ways["torch.compile"] = Way(torch_step, *shape, threads, True, threads=threads)
    if settings.jax == "yes" and find_spec("jax"):
        ways["JAX"] = Way(jax_step, *shape, threads=threads)
    if settings.c == "yes" and c_compiler() and threads == 1:  # it is written for one thread
        ways["C by hand"] = Way(c_step, *shape)
    return ways


def has_torch(settings: Settings) -> bool:
    return settings.torch == "yes" and find_spec("torch") is not None


def cell(row: Row, measured: dict[str, list[float]], name: str) -> str:
    if name not in measured:
        return "-"
    value = three_digits(row.shown(median(measured[name])))
    if "PyTorch eager" not in measured:
        return value
    return f"{value} ({speed_ratio(measured, name, 'PyTorch eager'):.2f} x)"


def three_digits(value: float) -> str:
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"


def scalar(settings: Settings) -> dict[str, Any]:
    """A training step of 16x1x8 for one sample, with each engine and with the textbook's."""
    measured = measure(
        {
            f"compiled, batch {BATCH}": Way(microgpt_step, TINY, BATCH, "compiled", 1),
            "scalar": Way(microgpt_step, TINY, 1, "scalar", 1),
            "the textbook's form of it": Way(textbook_step, TINY),
        },
        settings.repeats,
    )
    compiled = next(iter(measured))
    measured[compiled] = [seconds / BATCH for seconds in measured[compiled]]
    tell(measured, compiled, f"{TINY}: microseconds a sample")
    return measured


def tell(measured: dict[str, list[float]], reference: str, unit: str) -> None:
    """Print the median of each way, its range, and how many times as long as the reference it takes."""
    print(unit)
    for name, seconds in measured.items():
        middle, least, most = (three_digits(1e6 * s) for s in (median(seconds), min(seconds), max(seconds)))
        ratio = three_digits(speed_ratio(measured, reference, name))
        print(f"  {name:48}{middle:>10}   {f'({least} to {most})':24}  x {ratio}")


def loop(settings: Settings) -> dict[str, Any]:
    """What surrounds the steps in train.py: batches that are drawn, clipping, a new length now and then."""
    ways = {
        "the bench's own step": Way(microgpt_step, TINY, BATCH, "compiled", 1),
        "train.py's loop, names that fill all positions": Way(names_step, True, False),
        "train.py's loop, all names": Way(names_step, False, False),
        "the same, its batches made before": Way(names_step, False, True),
        "text.batches alone": Way(batches_step, 1),
        "text.batches alone, a million lines": Way(batches_step, 10**6),
    }
    measured = measure(ways, settings.repeats)
    tell(measured, "the bench's own step", f"{TINY}, batch {BATCH}, 1 thread: microseconds a step")
    return measured


def names_step(only_full: bool, made_before: bool) -> Step:
    """A step of train.py's loop, if wanted only on names that fill all positions, as those of the bench do."""
    config, positions = model_config(TINY), MODELS[TINY][2]
    sequences = [s for s in training_names() if not only_full or len(s) == positions + 1]
    drawn: Iterator[Any] = batches(sequences, BATCH, seed=0)
    epoch = len(sequences) // BATCH
    if made_before:
        drawn = cycle(list(islice(drawn, epoch)))
    step = value_and_grad(partial(loss, config=config), "compiled", 1)
    schedule = Schedule(10**9, LEARNING_RATE, warmup=100, weight_decay=0.3, grad_clip=1.0)
    updates = train(step, initial_parameters(config, 0), drawn, schedule, adam_update("compiled"))
    for _ in islice(updates, epoch):  # so that all lengths have been met
        pass
    return lambda: next(updates)


def batches_step(lines: int) -> Step:
    """Draw a batch of names, from a text that has at least so many."""
    sequences = training_names()
    drawn = batches(sequences * -(-lines // len(sequences)), BATCH, seed=0)
    return lambda: next(drawn)


def training_names() -> list[list[int]]:
    return make_corpus(read_text(HERE / "data" / "names.txt"), n_positions=16, seed=0).training


def first_run(settings: Settings) -> dict[str, Any]:
    """train.py from its start to its end, on a machine that has never run it, and then once more."""
    found: dict[str, list[float]] = {"no cache anywhere": [], "kernels cached": []}
    for _ in range(min(settings.repeats, 3)):
        with tempfile.TemporaryDirectory() as directory:
            for i, seconds in enumerate(found.values()):
                command = [sys.executable, str(HERE / "train.py"), "--steps", "5", "--out", f"{directory}/run{i}"]
                seconds.append(lasting(command, directory)[0])
    print("python train.py --steps 5: seconds from start to end")
    for name, seconds in found.items():
        print(f"  {name:20}{median(seconds):8.2f}   ({min(seconds):.2f} to {max(seconds):.2f})")
    return found


def lasting(command: list[str], home: str) -> tuple[float, str]:
    """Run a command that has only the caches that are in this home: its seconds, and what it prints."""
    environment = os.environ | {"HOME": home, "USERPROFILE": home, "MICROGPT_CACHE": f"{home}/kernels"}
    environment.pop("XDG_CACHE_HOME", None)
    start = time.perf_counter()
    ended = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, encoding="utf-8", check=False)
    if ended.returncode != 0:
        raise ChildProcessError(f"{' '.join(command)} failed: {ended.stderr}")
    return time.perf_counter() - start, ended.stdout


def scale(settings: Settings) -> dict[str, Any]:
    """From nothing to the first step of 128x4x64 taken, and the memory for it."""
    found = {}
    print(f"{LARGE}, batch 12: a process that takes one step")
    with tempfile.TemporaryDirectory() as directory:
        for name in ("no cache anywhere", "kernels cached"):
            seconds, printed = lasting([sys.executable, "-c", "import bench; bench.first_step()"], directory)
            found[name] = json.loads(printed) | {"seconds": seconds}
            print(f"  {name:20}{seconds:8.2f} s{found[name]['peak_bytes'] / 1e6:10,.0f} MB at most")
    print(f"  {found['kernels cached']['operations']:,} scalar operations a sample, found in its loops")
    return found


def first_step() -> None:
    """Take a step of the large model; print how many operations it has, and the most memory that it took."""
    config = model_config(LARGE)
    loss_and_gradients: Any = value_and_grad(partial(loss, config=config))
    same_batch(loss_and_gradients, initial_parameters(config, 0), made_up_names(LARGE, 12), adam_update())()
    (program,) = loss_and_gradients.made.programs.values()
    print(json.dumps({"operations": program.operations, "peak_bytes": peak_memory()}))


def peak_memory() -> float:
    """The most bytes of memory that this process has had."""
    try:  # of this program alone; getrusage also counts the one that started it
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except OSError:
        try:
            import resource
        except ImportError:  # on Windows
            return math.nan
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def busy(settings: Settings) -> dict[str, Any]:
    """What becomes of a step, and of the tiny ones of examples/moons.py, beside a program that needs a core."""
    quiet = measure(ways_by_threads(settings), settings.repeats, shortest=0.1)
    with another_program():
        disturbed = measure(ways_by_threads(settings), settings.repeats, shortest=0.1)
    print(f"microseconds a step of {TINY}, batch {BATCH}, and of examples/moons.py, batch 32")
    print(f"{'':36}{'alone':>10}{'beside another program at 100 %':>36}")
    for name, seconds in disturbed.items():
        middle, least, most = (three_digits(1e6 * s) for s in (median(seconds), min(seconds), max(seconds)))
        alone = three_digits(1e6 * median(quiet[name]))
        one_thread = name.split(",")[0] + ", 1 thread"
        ratio = speed_ratio(disturbed, one_thread, name)
        print(f"  {name:34}{alone:>10}{middle:>12} {f'({least} to {most})':24} x {ratio:.2f} of one thread")
    return {"alone": quiet, "beside another program": disturbed}


def ways_by_threads(settings: Settings) -> dict[str, Way]:
    """One thread first, then all."""
    ways = {}
    for threads in dict.fromkeys((1, CORES)):
        many = counted(threads, "thread")
        ways[f"microgpt, {many}"] = Way(microgpt_step, TINY, BATCH, "compiled", threads, threads=threads)
        ways[f"moons, {many}"] = Way(moons_step, threads, threads=threads)
        if has_torch(settings):
            ways[f"PyTorch eager, {many}"] = Way(torch_step, TINY, BATCH, threads, False, threads=threads)
    return ways


def moons_step(threads: int) -> Step:
    sys.path.insert(0, str(HERE / "examples"))
    import moons

    step = value_and_grad(moons.loss, "compiled", threads)
    return same_batch(step, moons.start(0), moons.moons(32, np.random.default_rng(0)))


@contextmanager
def another_program() -> Iterator[None]:
    """Something else that wants all of a core."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()
        program.wait()


SECTIONS: dict[str, Callable[[Settings], dict[str, Any]]] = {
    "table": table,
    "scalar": scalar,
    "loop": loop,
    "first-run": first_run,
    "scale": scale,
    "busy": busy,
}


def this_machine() -> dict[str, Any]:
    """What the numbers depend on."""
    packages = [name for name in ("numpy", "llvmlite", "torch", "jax") if find_spec(name)]
    compiler = c_compiler()
    return {
        "processor": processor(),
        "cores": CORES,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        **({"C": first_line([compiler, "--version"])} if compiler else {}),
    }


def first_line(command: list[str]) -> str:
    """The first of the lines that a command prints."""
    printed = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout
    return next(iter(printed.splitlines()), "unknown")


def processor() -> str:
    """Its name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> int:
    settings = parse(Settings, "Measure microgpt, PyTorch, JAX and C side by side.")
    require("repeats", settings.repeats, settings.repeats >= 1, "a positive integer")
    for name, known in (("sections", SECTIONS), ("models", MODELS)):
        chosen = getattr(settings, name)
        require(name, chosen, all(c in known for c in chosen.split(",")), f"some of {','.join(known)}")
    if settings.json is not None:
        check_place("json", settings.json, "bench.json")
    found: dict[str, Any] = {"machine": this_machine()}
    print(", ".join(f"{name} {value}" for name, value in found["machine"].items()))
    for name in settings.sections.split(","):
        print(f"\n{name}: {SECTIONS[name].__doc__}")
        found[name] = SECTIONS[name](settings)
        if settings.json is not None:  # after each, so that little is lost
            Path(settings.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_script(main)
