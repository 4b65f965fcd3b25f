"""A loss printed as C computes what the compiled engine computes, and trains by itself."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from programs import PROGRAMS, UNDEFINED, gpt_case

from microgpt.engines.compiled.c_text import as_c
from microgpt.engines.engine import value_and_grad
from microgpt.engines.trees import leaves_of
from microgpt.learning.training import adam_in_chunks

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
PICKY = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")]


def built(text, path, *options):
    """The program or library made of a C program, without a warning."""
    source = path.with_suffix(".c")
    source.write_text(text, encoding="utf-8")
    command = [COMPILER, *PICKY, *options, source, "-o", path, "-lm"]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stderr
    return path


def library(directory, function, params, *arguments):
    loaded = ctypes.CDLL(str(built(as_c(function, params, *arguments), directory / "program", "-shared", "-fPIC")))
    loaded.step.restype = ctypes.c_double
    return loaded


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def flat(params):
    return np.concatenate([np.ravel(array) for array in leaves_of(params)]).astype(np.float64)


def step_in_c(directory, function, params, *arguments):
    """The mean loss and the flat gradient of a batch."""
    batch = len(arguments[0]) if arguments else 1

    def in_rows(kinds, dtype):
        rows = [np.reshape(a, (batch, -1)) for a in arguments if a.dtype.kind in kinds]
        return np.ascontiguousarray(np.concatenate([*rows, np.zeros((batch, 0))], 1), dtype)

    p, integers, floats = flat(params), in_rows("iu", np.intc), in_rows("f", np.float64)
    gradient = np.full_like(p, np.nan)
    step = library(directory, function, params, *arguments).step
    return step(pointer(p), pointer(gradient), batch, pointer(integers), pointer(floats)), gradient


def assert_same_in_c(directory, function, params, *arguments):
    expected, gradients = value_and_grad(function)(params, *arguments)
    loss, gradient = step_in_c(directory, function, params, *arguments)
    assert abs(loss - expected) <= 1e-12 * max(1.0, abs(expected))
    assert np.abs(gradient - flat(gradients)).max(initial=0.0) <= 1e-10 * np.abs(gradient).max(initial=0.0) + 1e-12


@pytest.mark.parametrize("name", PROGRAMS)
def test_c_computes_the_same(name, tmp_path):
    assert_same_in_c(tmp_path, *PROGRAMS[name])


@pytest.mark.parametrize("shape", [{"n_head": 1}, {"n_layer": 2, "n_head": 4}, {"vocab_size": 27, "n_embd": 32}])
def test_a_gpt_computes_the_same_in_c(shape, tmp_path):
    assert_same_in_c(tmp_path, *gpt_case(5, 3, **shape))


def test_a_function_may_have_the_name_of_a_helper(tmp_path):
    def larger(a, b):
        return a * 0.5 + b

    def loss(p, x):
        return larger(p, x) ** 2 + p

    assert_same_in_c(tmp_path, loss, np.array(0.5), np.array([1.0, 2.0]))


def test_words_of_a_comment_are_no_arrays(tmp_path):
    def loss(p, x, token):
        season, basic = [x, p], [p, x]
        return season[0] * basic[0]

    assert_same_in_c(tmp_path, loss, np.array(0.5), np.array([1.0, 2.0]), np.array([1, 0]))


@pytest.mark.parametrize("name", UNDEFINED)
def test_undefined_is_not_finite_in_c(name, tmp_path):
    loss, gradient = step_in_c(tmp_path, UNDEFINED[name], np.array(0.5), np.array([0.0]))
    assert not (np.isfinite(loss) and np.isfinite(gradient))


def test_names_that_c_has_taken_become_others(tmp_path):
    params = {
        "int": np.array(0.5),
        "a b": np.array(1.5),
        "a_b": np.array(-2.0),
        "t1": np.array(3.0),
        "é": np.array(0.1),
    }
    assert_same_in_c(
        tmp_path, lambda p, x, n: p["int"] * x + p["a b"] * p["a_b"] * n + p["t1"] ** 2, params,
        np.array([2.0]), np.array([3.0]),
    )  # fmt: skip


def test_a_comment_tells_the_shape_of_each_array():
    params = {"w": np.zeros((2, 3)), "b": np.array(0.0)}
    text = as_c(lambda p, at, row: p["w"][0][0] * p["b"] * row[at], params, np.array([0]), np.zeros((1, 4)))
    for line in ("w = 0,  // 2 x 3", "b = 6,  // 1", "at = 0,  // 1", "row = 0,  // 4"):
        assert text.count(f"{line}\n") == 1, line


def test_adam_updates_the_same_in_c(tmp_path):
    loaded = library(tmp_path, lambda p, x: p * x, np.array(0.5), np.array([1.0]))
    rng = np.random.default_rng(0)
    ours = [rng.uniform(0.1, 1.0, 7) for _ in range(4)]  # parameters, gradient, m, v
    theirs = [array.copy() for array in ours]
    for step in (1, 2, 3):
        adam_in_chunks(*ours, step, 0.1, np.full(7, 0.3))
        loaded.adam(7, *map(pointer, theirs), step, ctypes.c_double(0.1), ctypes.c_double(0.3))
    np.testing.assert_allclose(theirs, ours, rtol=1e-13)


def test_the_program_trains_by_itself(tmp_path):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    y = x @ [1.5, -2.0] + np.array([0.5, -1.0])[labels]
    params = {"w": np.full(2, 0.1), "b": np.zeros(2)}

    def loss(p, x, label, y):
        return (p["w"][0] * x[0] + p["w"][1] * x[1] + p["b"][label] - y) ** 2

    text = as_c(loss, params, x, labels, y, steps=400, batch_size=20, learning_rate=0.05, warmup=10, grad_clip=1.0)
    rows = "\n".join(f"{label} {a} {b} {c}" for label, (a, b), c in zip(labels, x, y, strict=True))
    program = built(text, tmp_path / "program")

    def run(given):
        return subprocess.run([program, tmp_path / "found"], input=given, capture_output=True, text=True, check=False)

    ran = run(rows)
    assert ran.returncode == 0
    assert float(ran.stdout.split()[-1]) < 0.01 < float(ran.stdout.splitlines()[0].split()[-1])
    np.testing.assert_allclose(np.fromfile(tmp_path / "found"), [1.5, -2.0, 0.5, -1.0], atol=0.05)
    assert run("").returncode == 1
    assert "expected 0 to 1" in run("2 0 0 0").stderr
