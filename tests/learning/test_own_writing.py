"""A model of one's own writes the same in compiled code as on plain floats, whatever its state is."""

import pytest
from tiny_model import TINY_MODEL

from microgpt.learning import sampling
from microgpt.learning.choosing import Choice
from microgpt.learning.model_file import model_file
from microgpt.learning.sampling import Model, sample, sample_many

BEGINS_AT_ONE = ("[0.0]", "[1.0]")
ALL_SEEN = (
    ('{"memory": [0.0] * config.width}', "[]"),
    ('state["memory"]\n', "[sum(column) for column in zip([0.0] * config.width, *state)]\n"),
    ('state["memory"] = [', "state.append(["),
    ("new, strict=True)]", "new, strict=True)])"),
    ('dot(state["memory"]', "dot(state[-1]"),
)
COUNTS = (("0.5 * (m + n)", "0.5 * (m + n * (position % 2))"),)
ENDLESS = (("[0.0] * config.width}", '[0.0] * config.width, "least": float("inf")}'),)
FORMS = {"kept": (), "endless": ENDLESS, "begins at one": (BEGINS_AT_ONE,), "grows": ALL_SEEN, "counts": COUNTS}


@pytest.fixture(params=FORMS)
def model(request, tmp_path):
    """A model of prose, with states of several forms."""
    text = TINY_MODEL
    for before, after in FORMS[request.param]:
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "tiny.py").write_text(text)
    architecture = model_file(tmp_path / "tiny.py")
    config = architecture.config(4, 4, {"blend": request.param != "grows"})
    return Model(config, "\nab\x03", "stream", architecture.initial_parameters(config, 1), architecture=architecture)


def test_compiled_code_writes_the_same(model, monkeypatch):
    monkeypatch.setattr(sampling, "PIECE", 5)  # so that it goes on from what it wrote
    plain = [sample(model, "ab", index=i, max_new_tokens=12) for i in range(4)]
    assert len(set(plain)) > 1
    assert max(map(len, plain)) > 6  # past the context
    assert [text for text, _ in sample_many(model, 4, "ab", max_new_tokens=12)] == plain
    assert [sample(model, "ab", index=i, max_new_tokens=12, compiled=True) for i in range(4)] == plain
    (kept,) = model.architecture.writing.values()
    rereads = any(part in model.architecture.text for part in ("append", "% 2", '"inf"'))
    assert (kept.with_state is None) == rereads


def test_what_cannot_be_compiled_writes_all_the_same(tmp_path):
    text = TINY_MODEL.replace("    read, memory", "    float(params['in'][0][0])\n    read, memory")
    (tmp_path / "tiny.py").write_text(text)
    architecture = model_file(tmp_path / "tiny.py")
    config = architecture.config(3, 4, {})
    model = Model(config, "\nab", "lines", architecture.initial_parameters(config, 1), architecture=architecture)
    plain = sample(model, choice=Choice(0))
    assert sample_many(model, 1, choice=Choice(0))[0][0] == sample(model, choice=Choice(0), compiled=True) == plain
