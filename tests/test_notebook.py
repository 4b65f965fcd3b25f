"""In a notebook results draw themselves, and what takes long shows a bar."""

import html
import re
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from running import TINY
from running import train as learn

from microgpt import Schedule, check, explain, load_run, train, value_and_grad
from microgpt.explain.program_content import named
from microgpt.surroundings import in_notebook, notebook_bar


def loss(params, x, y):
    return (params["w"] * x - y) ** 2


PARAMS, BATCH = {"w": np.array(0.5)}, ([1.0, 2.0], [3.0, 5.0])


@pytest.fixture
def notebook(monkeypatch):
    """Python as a kernel has it."""
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, version_info=(9,)))


def test_listing_is_drawn_as_it_stands():
    listing = value_and_grad(loss).listing(PARAMS, *BATCH)
    assert ElementTree.fromstring(listing._repr_html_()).text == listing  # it escapes: x < 3


@pytest.mark.parametrize("right", [True, False])
def test_gradient_check_draws_its_verdict(right):
    def edge(params, x, y):
        return max(params["w"] - 0.5, 0) * x + y

    found = check(loss if right else edge, PARAMS, *BATCH)
    drawn = "".join(ElementTree.fromstring(found._repr_html_()).itertext())
    assert bool(found) is right
    assert ("all is right" in drawn) is right
    assert found.parameter in drawn


def test_page_is_drawn_in_a_frame(tmp_path):
    explained = explain(loss, PARAMS, *BATCH, out=tmp_path / "page.html")
    shown = re.search(r'srcdoc="([^"]*)"', explained._repr_html_())[1]
    assert html.unescape(shown) == (tmp_path / "page.html").read_text(encoding="utf-8")


def test_page_of_a_cell_says_so():
    assert named("/tmp/ipykernel_5823/1031636603.py") == "a cell"
    assert named("/tmp/mine/loss.py") == "loss.py"


def test_run_draws_its_facts_and_losses(tmp_path):
    learn(tmp_path, *TINY, "--skip-check", "--out", "a&b")
    run = load_run(tmp_path / "a&b")
    drawn = run._repr_html_()
    assert "a&amp;b" in drawn
    assert f"{run.checkpoint.model.loss:.4f}" in drawn
    assert "data:image/svg+xml;base64," in drawn


def test_training_shows_a_bar_in_a_notebook(notebook, monkeypatch):
    assert in_notebook()
    shown = []

    def bar(**options):
        shown.append(notebook_bar(**options | {"disable": False, "delay": 0, "file": open_nothing()}))
        return shown[-1]

    monkeypatch.setattr("microgpt.learning.training.notebook_bar", bar)
    drawn = ((np.array([1.0]), np.array([2.0])) for _ in range(7))
    steps = list(train(value_and_grad(loss, "scalar"), {"w": np.array(0.5)}, drawn, Schedule(7, 0.1, 1)))
    assert shown[0].n == len(steps) == 7
    assert shown[0].total == 7


def open_nothing():
    """A file that keeps nothing."""
    return SimpleNamespace(write=lambda text: None, flush=lambda: None)


def test_no_bar_elsewhere():
    assert not in_notebook()
    assert notebook_bar(total=3).disable
