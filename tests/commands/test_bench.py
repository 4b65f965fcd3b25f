"""bench.py compares the same: all contenders learn the same, and the limit counts the work of the model."""

import json
import math
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from running import call

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from bench import models, outgrow, table  # noqa: E402
from bench.contenders import peak, writing  # noqa: E402
from bench.contenders.c import c_compiler  # noqa: E402
from bench.measure import Contender, measure  # noqa: E402
from microgpt.functions import dot  # noqa: E402
from microgpt.gpt import loss  # noqa: E402
from microgpt.learning.parameters import initial_parameters  # noqa: E402

pytestmark = pytest.mark.slow

MODEL, BATCH = "4x2x5", 3


@pytest.fixture
def tiny(monkeypatch):
    """A tiny model, weights so large that every function bends, and a learning rate at which the loss changes."""
    monkeypatch.setattr(models, "initial_parameters", lambda config, seed: large(initial_parameters(config, seed)))
    monkeypatch.setitem(models.MODELS, MODEL, (4, 2, 5))
    monkeypatch.setattr(models, "LEARNING_RATE", 0.01)
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)  # which the textbook raises


def large(parameters):
    return {name: 8 * array if array.ndim > 1 else array for name, array in parameters.items()}


def losses(file, *arguments):
    step = resolve_name(f"bench.contenders.{file}:step")(*arguments)
    return [float(step()) for _ in range(6)]


CONTENDERS = {
    "scalar": ("engines", MODEL, BATCH, "scalar", 1),
    "torch": ("engines", MODEL, BATCH, "torch", 1),
    "torch_gpt": ("torch_gpt", MODEL, BATCH, 1, False),
    "torch_modules": ("torch_modules", MODEL, BATCH, 1),
    "jax": ("jax_gpt", MODEL, BATCH),
    "textbook": ("textbook_value", MODEL),
    "c": ("c", MODEL, BATCH),
    "c, all widths, more than one chunk": ("c", "16x1x8", 17),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor")  # the loss is printed, not learned from
@pytest.mark.parametrize("name", CONTENDERS)
def test_all_contenders_learn_the_same(tiny, name):
    file, model, *others = CONTENDERS[name]
    needed = {"torch": "torch", "torch_gpt": "torch", "torch_modules": "torch", "jax": "jax"}.get(name)
    if (needed and not find_spec(needed)) or (file == "c" and not c_compiler()):
        pytest.skip("this contender is not installed")
    ours = losses("engines", model, others[0] if others else 1, "compiled", 1)
    assert losses(file, model, *others) == pytest.approx(ours, abs=1e-4)
    assert ours[-1] < ours[0] - 0.01


@pytest.mark.parametrize(("kind", "count"), [("names", 40), ("prose", 2)])
def test_contenders_that_write_write_the_same(kind, count, monkeypatch):
    monkeypatch.setattr(writing, "LENGTH", 70)  # beyond the context
    texts = writing.by_numpy(kind, count)()
    assert texts == writing.microgpt(kind, count, 1)()
    assert len(set(texts)) > count / 2


def test_the_c_compiler_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("CC", sys.executable)
    assert c_compiler() == sys.executable
    monkeypatch.setenv("CC", "no-such-compiler")
    assert c_compiler() is None


def test_the_limit_counts_the_products_of_the_model(monkeypatch):
    """Each sum of products counts its terms, but those of the variances in layer norm, which are none of matrices."""
    counted = []

    def counting_dot(a, b):
        counted.append(len(a) if a is not b else 0)
        return dot(a, b)

    monkeypatch.setattr("microgpt.functions.dot", counting_dot)
    monkeypatch.setattr("microgpt.gpt.dot", counting_dot)
    config, parameters, (tokens, weights) = models.task("32x1x8", 1)
    loss({n: array.tolist() for n, array in parameters.items()}, tokens[0].tolist(), weights[0].tolist(), config)
    assert sum(counted) == models.multiply_adds("32x1x8")


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_the_peak_is_measured_by_multiply_adds(lanes, monkeypatch):
    turns = 3
    monkeypatch.setattr(peak, "TOGETHER", turns * peak.CHAINS * lanes)
    monkeypatch.setattr(peak.np, "ones", lambda size, dtype: given.setdefault("sums", np.full(size, 2, dtype)))
    given = {}
    peak.multiply_adds_step(lanes, 1)()
    sums = given["sums"].reshape(peak.CHAINS + 1, lanes)
    assert (sums[:-1] == ((2 * 2 + 2) * 2 + 2) * 2 + 2).all()
    assert (sums[-1] == 2).all()


def test_contenders_take_turns():
    contenders = {
        name: Contender("functools:partial", time.sleep, s) for name, s in (("short", 0.002), ("long", 0.004))
    }
    measured = measure(contenders, repeats=3, shortest=0.001)
    assert [len(seconds) for seconds in measured.values()] == [3, 3]
    assert min(measured["short"]) >= 0.002
    assert min(measured["long"]) >= 0.004
    assert not any(contender.process.is_alive() for contender in contenders.values())


@pytest.mark.parametrize(
    ("make", "reason"), [("operator:truediv", "ZeroDivisionError: division by zero"), ("os:_exit", "ended with 1")]
)
def test_a_contender_that_fails_is_named(make, reason):
    arguments = (1, 0) if make == "operator:truediv" else (1,)
    with pytest.raises(ChildProcessError, match=f"the slow one: {reason}"):
        measure({"the slow one": Contender(make, *arguments)}, repeats=1)


def test_a_row_is_printed_and_kept(tmp_path):
    options = ("--sections", "table", "--models", "16x1x8", "--repeats", 1, "--torch", "no", "--jax", "no")
    ran = call("bench.py", *options, "--json", "found.json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found) == ["machine", "table"]
    rows = [row for row in table.ROWS if row.model == "16x1x8"]
    assert list(found["table"]) == [str(row) for row in rows]
    for row in rows:
        assert str(row) in ran.stdout
        c = {"C by hand"} if row.threads == 1 and c_compiler() else set()
        assert set(found["table"][str(row)]["seconds_a_step"]) == {"microgpt", "the limit"} | c


def test_outgrow_has_a_row_for_every_engine(tmp_path):
    pytest.importorskip("torch")
    options = ("--sections", "outgrow", "--sizes", "8x1x4", "--engines", "compiled,torch,scalar", "--repeats", 2)
    ran = call("bench.py", *options, "--device", "cpu", "--json", "found.json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in ran.stdout.splitlines()]
    rows = [row for row in rows if row[0] == "8x1x4"]
    assert [row[2] for row in rows] == ["compiled", "torch", "scalar"]
    for _, _, _, step, memory, first in rows:
        assert step.endswith(" ms")
        assert memory.endswith(" MB")
        assert first.endswith(" s")
    found = json.loads((tmp_path / "found.json").read_text())["outgrow"]
    assert all(len(took["seconds_a_step"]) == 2 and not math.isnan(took["peak_bytes"]) for took in found.values())


def test_outgrow_says_what_cannot_be_measured(monkeypatch, capsys):
    monkeypatch.setattr(outgrow, "Contender", lambda *_, **options: Contender("os:_exit", 3, **options))
    settings = type("Settings", (), {"sizes": "8x1x4,16x1x4", "engines": "torch", "device": "cuda", "repeats": 1})
    assert outgrow.outgrow(settings) == {}
    rows = capsys.readouterr().out.splitlines()[-2:]
    assert [row.split()[1] for row in rows] == ["8x1x4", "16x1x4"]
    assert all(row.endswith("| ended with 3 |") for row in rows)
