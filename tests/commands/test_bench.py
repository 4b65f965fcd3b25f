"""What bench.py compares is the same: all programs learn the same, and the limit counts what the model does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
import bench  # noqa: E402
from microgpt.functions import dot  # noqa: E402
from microgpt.gpt import GPTConfig, loss  # noqa: E402
from microgpt.learning.parameters import initial_parameters  # noqa: E402

pytestmark = pytest.mark.slow

MODEL, BATCH = "4x2x5", 3


@pytest.fixture
def tiny(monkeypatch):
    """A tiny model, weights so large that every function bends, and a learning rate at which the loss changes."""
    monkeypatch.setattr(bench, "initial_parameters", lambda config, seed: large(initial_parameters(config, seed)))
    monkeypatch.setitem(bench.MODELS, MODEL, (4, 2, 5))
    monkeypatch.setattr(bench, "LEARNING_RATE", 0.01)


def large(parameters):
    return {name: 8 * array if array.ndim > 1 else array for name, array in parameters.items()}


def losses(step):
    return [float(step()) for _ in range(6)]


def test_the_engines_learn_the_same(tiny):
    compiled = losses(bench.microgpt_step(MODEL, BATCH, "compiled", 1))
    assert compiled == pytest.approx(losses(bench.microgpt_step(MODEL, BATCH, "scalar", 1)), abs=1e-4)
    assert compiled[-1] < compiled[0] - 0.05


@pytest.fixture
def recursion_limit():
    """Put it back: a test elsewhere that recurses without end would go too deep for the stack."""
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("recursion_limit")
def test_the_textbook_learns_the_same(tiny):
    ours = losses(bench.microgpt_step(MODEL, 1, "compiled", 1))
    assert losses(bench.textbook_step(MODEL)) == pytest.approx(ours, abs=1e-4)


@pytest.mark.filterwarnings("ignore:Converting a tensor")  # the loss is printed, not learned from
def test_pytorch_learns_the_same(tiny):
    pytest.importorskip("torch")
    ours = losses(bench.microgpt_step(MODEL, BATCH, "compiled", 1))
    assert losses(bench.torch_step(MODEL, BATCH, 1, compiled=False)) == pytest.approx(ours, abs=1e-4)


def test_the_engine_on_pytorch_learns_the_same(tiny):
    pytest.importorskip("torch")
    ours = losses(bench.microgpt_step(MODEL, BATCH, "compiled", 1))
    assert losses(bench.on_torch_step(MODEL, BATCH, 1, compiled=False)) == pytest.approx(ours, abs=1e-4)


def test_jax_learns_the_same(tiny):
    pytest.importorskip("jax")
    ours = losses(bench.microgpt_step(MODEL, BATCH, "compiled", 1))
    assert losses(bench.jax_step(MODEL, BATCH)) == pytest.approx(ours, abs=1e-4)


@pytest.mark.skipif(bench.c_compiler() is None, reason="there is no C compiler")
@pytest.mark.parametrize(("model", "batch_size"), [(MODEL, BATCH), ("16x1x8", 17)])  # all widths, more than one chunk
def test_c_by_hand_learns_the_same(tiny, model, batch_size):
    ours = losses(bench.microgpt_step(model, batch_size, "compiled", 1))
    assert losses(bench.c_step(model, batch_size)) == pytest.approx(ours, abs=1e-4)


def test_a_compiler_that_the_environment_names_is_the_one(monkeypatch):
    monkeypatch.setenv("CC", sys.executable)
    assert bench.c_compiler() == sys.executable
    monkeypatch.setenv("CC", "no-such-compiler")
    assert bench.c_compiler() is None


def test_the_limit_counts_the_products_of_the_model(monkeypatch):
    """Each sum of products counts its terms, but those of the variances in layer norm, which are none of matrices."""
    counted = []

    def counting_dot(a, b):
        counted.append(len(a) if a is not b else 0)
        return dot(a, b)

    monkeypatch.setattr("microgpt.functions.dot", counting_dot)
    monkeypatch.setattr("microgpt.gpt.dot", counting_dot)
    config, positions = GPTConfig(5, 7, 8, 2, 4), 6
    parameters = {name: array.tolist() for name, array in initial_parameters(config, 0).items()}
    loss(parameters, [1] * (positions + 1), [1.0] * positions, config)
    assert sum(counted) == bench.multiply_adds(config, positions)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_the_peak_is_measured_by_multiply_adds(lanes, monkeypatch):
    turns = 3
    monkeypatch.setattr(bench, "TOGETHER", turns * bench.CHAINS * lanes)
    monkeypatch.setattr(bench.np, "ones", lambda size, dtype: given.setdefault("sums", np.full(size, 2, dtype)))
    given = {}
    bench.multiply_adds_step(lanes, 1)()
    sums = given["sums"].reshape(bench.CHAINS + 1, lanes)
    assert (sums[:-1] == ((2 * 2 + 2) * 2 + 2) * 2 + 2).all()
    assert (sums[-1] == 2).all()


def test_ways_take_turns_and_are_measured_alike():
    ways = {name: bench.Way(sleeper, seconds) for name, seconds in (("short", 0.002), ("long", 0.004))}
    measured = bench.measure(ways, repeats=3, shortest=0.001)
    assert [len(seconds) for seconds in measured.values()] == [3, 3]
    assert min(measured["short"]) >= 0.002
    assert min(measured["long"]) >= 0.004
    assert not any(way.process.is_alive() for way in ways.values())


def sleeper(seconds):
    return lambda: bench.time.sleep(seconds)


def test_a_way_that_fails_is_named():
    with pytest.raises(ChildProcessError, match="failing"), bench.Way(failing) as way:
        way.seconds(1)


def failing():
    raise RuntimeError("as it should")


def call(*options):
    return subprocess.run(
        [sys.executable, ROOT / "bench.py", *options], capture_output=True, encoding="utf-8", timeout=300, check=False
    )


def test_a_row_of_the_table_is_printed_and_kept(tmp_path):
    kept = tmp_path / "found.json"
    ran = call(
        "--sections", "table", "--models", "16x1x8", "--repeats", "1", "--torch", "no", "--jax", "no", "--json", kept
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(kept.read_text())
    assert list(found) == ["machine", "table"]
    rows = [row for row in bench.ROWS if row.model == "16x1x8"]
    assert list(found["table"]) == [str(row) for row in rows]
    for row in rows:
        assert str(row) in ran.stdout
        c = {"C by hand"} if row.threads == 1 and bench.c_compiler() else set()
        assert set(found["table"][str(row)]["seconds_a_step"]) == {"microgpt", "the limit"} | c


@pytest.mark.parametrize(
    ("option", "known"), [("--sections", "table,scalar,loop,first-run,scale,busy"), ("--models", "16x1x8,32x1x8")]
)
def test_what_there_is_not_is_refused(option, known):
    ran = call(option, "speed")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert f"{option} is speed" in ran.stderr
    assert known in ran.stderr
