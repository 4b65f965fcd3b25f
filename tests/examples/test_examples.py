"""The examples do what they say: the rungs go up, the engines agree on the moons, and the ideas can be compared."""

import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import make_link
from running import assert_refused, call, run_within

from microgpt import evaluate, value_and_grad
from microgpt.adam import adam
from microgpt.commands.script import run_script
from microgpt.functions import layer_norm
from microgpt.gpt import GPTConfig
from microgpt.gpt import loss as loss_of_gpt
from microgpt.learning.batches import batches, make_corpus
from microgpt.learning.bigram import bigram_loss, bigram_probabilities
from microgpt.learning.parameters import initial_parameters
from microgpt.learning.reading import read_text
from microgpt.learning.training import Schedule, mean_loss, train

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import ladder  # noqa: E402
import moons  # noqa: E402
import your_idea  # noqa: E402

pytestmark = pytest.mark.slow


def run(name, *options, cwd):
    result = call(f"examples/{name}", *options, cwd=cwd, pictures=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(read_text(ladder.NAMES), ladder.POSITIONS, 0)


# The ladder


def trained(rung, corpus, steps):
    loss = partial(ladder.loss, logits=rung.logits)
    schedule = Schedule(steps, rung.learning_rate, steps // 10, rung.weight_decay)
    for _ in train(value_and_grad(loss), rung.parameters, batches(corpus.training, 64, 0), schedule):
        pass
    return mean_loss(evaluate(loss), rung.parameters, corpus.validation)


def test_gradient_descent_finds_the_table_that_counting_finds(corpus):
    counted = bigram_loss(bigram_probabilities(corpus.training, 27), corpus.validation)
    table = ladder.rungs(27, 0)[0]
    assert trained(table, corpus, 1000) == pytest.approx(counted, abs=0.02)
    learned = np.exp(table.parameters["table"] - table.parameters["table"].max(axis=1, keepdims=True))
    learned /= learned.sum(axis=1, keepdims=True)
    often = bigram_probabilities(corpus.training, 27)
    assert np.abs(learned - often)[0].max() < 0.03  # how names begin, which there are thousands of examples of


@pytest.mark.parametrize("rung", ladder.rungs(27, 0)[1:], ids=lambda rung: rung.name)
def test_every_other_rung_soon_knows_more_than_pairs(corpus, rung):
    assert trained(rung, corpus, 200) < 2.32


def test_no_rung_sees_what_is_to_come():
    tokens = [0, 3, 1, 20, 9]
    for rung in ladder.rungs(27, 0):
        params = {name: array.tolist() for name, array in rung.parameters.items()}
        whole, cut = rung.logits(params, tokens), rung.logits(params, tokens[:3])
        assert whole[:3] == cut


def test_the_last_rung_is_the_book():
    config = GPTConfig(27, ladder.POSITIONS, ladder.N_EMBD, 2, ladder.HEADS)
    params = {name: array.tolist() for name, array in initial_parameters(config, 0).items()}
    last = ladder.rungs(27, 0)[-1]
    ours = ladder.loss(params, [0, 5, 6, 0], [0.5, 0.25, 0.25], last.logits)
    assert ours == pytest.approx(loss_of_gpt(params, [0, 5, 6, 0], [0.5, 0.25, 0.25], config), rel=1e-14)


def test_the_ladder_prints_and_draws_its_table(tmp_path, monkeypatch):
    first_two = ladder.rungs(27, 0)[:2]
    monkeypatch.setattr(ladder, "rungs", lambda *_: first_two)
    options = ("--steps", 8, "--batch-size", 4)
    result = run_within(lambda: run_script(ladder.main), "ladder.py", *options, cwd=tmp_path, pictures=True)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^(\S.*?)  +(\d\.\d{4}) +([\d,]+) parameters +[\d.]+ s", result.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == ["counts of pairs", *(rung.name for rung in first_two)]
    assert len(result.stdout.splitlines()) == 3 * len(rows) + 1
    assert (tmp_path / "ladder.svg").stat().st_size > 1000


# The moons


def test_both_engines_tell_the_moons_apart():
    settings = moons.Settings(steps=120)
    parameters, compiled, _ = moons.learn("compiled", settings)
    _, scalar, _ = moons.learn("scalar", settings)
    assert compiled == pytest.approx(scalar, rel=1e-9)
    points, labels = moons.moons(1000, np.random.default_rng(99))
    assert np.mean(evaluate(moons.score)(parameters, points) * labels > 0) > 0.98


def test_the_moons_are_two_half_circles():
    points, labels = moons.moons(4000, np.random.default_rng(0))
    upper, lower = points[labels == 1], points[labels == -1]
    assert np.hypot(*upper.T) == pytest.approx(1.0, abs=0.5)
    assert np.hypot(lower[:, 0] - 1, lower[:, 1] - 0.5) == pytest.approx(1.0, abs=0.5)
    assert upper.mean(axis=0) == pytest.approx([0, 2 / np.pi], abs=0.05)


def test_the_moons_print_and_draw(tmp_path):
    printed = run("moons.py", "--steps", 20, cwd=tmp_path)
    assert float(re.search(r"accuracy on 1,000 other points: ([\d.]+) %", printed)[1]) > 70
    assert "times faster" in printed
    assert (tmp_path / "moons.svg").exists()


def test_a_picture_goes_where_it_is_wanted(tmp_path):
    (tmp_path / "served.svg").write_text("earlier")
    make_link(tmp_path / "link.svg", "served.svg")
    printed = run("moons.py", "--steps", 2, "--plot", "link.svg", cwd=tmp_path)
    assert printed.endswith("drawn in link.svg\n")
    assert (tmp_path / "link.svg").is_symlink()
    assert "<svg" in (tmp_path / "served.svg").read_text()
    run("moons.py", "--steps", 2, "--plot", "picture", cwd=tmp_path)  # under no other name
    assert "<svg" in (tmp_path / "picture").read_text()


@pytest.mark.parametrize(("script", "option"), [("examples/moons.py", "--plot"), ("bench.py", "--json")])
def test_a_place_without_files_is_refused_first(tmp_path, script, option):
    result = call(script, option, "nowhere/file", cwd=tmp_path, pictures=True)
    assert_refused(result, f"cannot write {option} nowhere/file")


# Ideas


def test_the_plain_variant_is_that_of_the_book():
    config = GPTConfig(9, your_idea.POSITIONS, your_idea.N_EMBD, 1, your_idea.HEADS)
    book = initial_parameters(config, 0, np.float64)
    ours = {
        "wte": "wte.weight",
        "wpe": "wpe.weight",
        **{f"{a}.{p}": f"h.0.{b}.{p}" for p in ("weight", "bias") for a, b in PARTS.items()},
        "ln_f.weight": "ln_f.weight",
        "ln_f.bias": "ln_f.bias",
    }
    params = {name: book[theirs].tolist() for name, theirs in ours.items()}
    example = ([0, 5, 6, 2, 0], [0.25] * 4)
    expected = loss_of_gpt({name: array.tolist() for name, array in book.items()}, *example, config)
    assert your_idea.gpt_loss(params, *example, your_idea.PLAIN) == pytest.approx(expected, rel=1e-14)


PARTS = {
    "ln_1": "ln_1", "qkv": "attn.c_attn", "proj": "attn.c_proj",
    "ln_2": "ln_2", "up": "mlp.c_fc", "down": "mlp.c_proj",
}  # fmt: skip


@pytest.mark.parametrize("name", your_idea.VARIANTS)
def test_every_variant_learns(name):
    names = "".join(re.findall(r"^\w{6}\n", read_text(your_idea.NAMES), re.MULTILINE))
    losses, parameters = your_idea.learn(your_idea.VARIANTS[name], 80, 1, names)
    assert losses[0] < 2.6
    assert 13_000 < parameters < 14_500


def test_rms_norm_has_a_mean_square_of_one():
    x = [3.0, -1.0, 2.0, 0.5]
    normed = your_idea.rms_norm({"n.weight": [1.0] * 4}, "n", x)
    assert np.sqrt(np.mean(np.square(normed))) == pytest.approx(1.0, abs=1e-5)
    centred = [x_i - sum(x) / 4 for x_i in x]
    same = your_idea.rms_norm({"n.weight": [1.0] * 4}, "n", centred)
    assert same == pytest.approx(layer_norm(x, [1.0] * 4, [0.0] * 4))


def test_rotary_scores_depend_on_the_distance_alone():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=8).tolist(), rng.normal(size=8).tolist()

    def score(i, j):
        return float(np.dot(your_idea.rotated(query, i), your_idea.rotated(key, j)))

    assert score(5, 2) == pytest.approx(score(9, 6))
    assert score(5, 2) != pytest.approx(score(5, 3))
    assert np.linalg.norm(your_idea.rotated(query, 7)) == pytest.approx(np.linalg.norm(query))


def test_lion_moves_every_parameter_by_the_learning_rate():
    x, m = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    your_idea.lion(x, np.array([3.0, -0.001, 0.0]), m, np.zeros(3), 1, 0.1, np.zeros(3))
    assert x == pytest.approx([0.9, -1.9, 0.5])
    assert m == pytest.approx([0.03, -0.00001, 0.0])
    assert adam(1.0, 3.0, 0.0, 0.0, 1, 0.1)[0] == pytest.approx(0.9)  # as Adam's first step does


def test_the_comparison_prints_a_line_a_variant(tmp_path):
    printed = run("your_idea.py", "--steps", 20, "--seeds", 2, "--only", "RMS norm", cwd=tmp_path)
    assert [line.split("  ")[0] for line in printed.splitlines()[1:]] == ["GPT-2", "RMS norm"]
    assert "against GPT-2" in printed.splitlines()[-1]


def test_no_example_touches_the_library():
    for path in EXAMPLES.glob("*.py"):
        assert "monkeypatch" not in path.read_text()
        assert not re.search(r"^\s*microgpt\.\S+ =", path.read_text(), re.MULTILINE)
