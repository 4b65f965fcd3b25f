"""C written by hand, for one thread."""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bench import models
from bench.measure import Step
from microgpt.learning.parameters import flatten

THIS_PROCESSOR = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"  # as Apple's clang
C_OPTIONS = ("-O3", THIS_PROCESSOR, "-ffast-math")


def c_compiler() -> str | None:
    """Return the C compiler: the one in the environment, or a usual one, or None."""
    named = os.environ.get("CC")
    return next(filter(None, map(shutil.which, [named] if named else ["cc", "gcc", "clang"])), None)


def compiled_c(source: Path) -> ctypes.CDLL:
    """Return the functions of a C file, compiled for this processor with all optimisations.

    The option for fast mathematics is only used to compile. When linking, it would change how this whole process treats
    the smallest numbers.
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


def step(model: str, batch_size: int) -> Step:
    """Return a training step."""
    config, parameters, (tokens, weights) = models.task(model, batch_size)
    functions = compiled_c(Path(__file__).with_name("by_hand.c"))
    functions.gpt_new.restype, functions.gpt_step.restype = ctypes.c_void_p, ctypes.c_float
    vector = flatten(parameters)
    sizes = (config.vocab_size, config.n_positions, config.n_embd, config.n_layer, config.n_head)
    gpt = ctypes.c_void_p(functions.gpt_new(address(vector), *sizes, *weights.shape))

    def take(vector: np.ndarray = vector) -> float:  # which must live as long as the step
        return functions.gpt_step(gpt, address(tokens), address(weights), ctypes.c_float(models.LEARNING_RATE))

    return take


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
