"""A file defines a model, or is told in a line what it lacks."""

import re
from functools import partial

import numpy as np
import pytest
from helpers import assert_equal_engines
from tiny_model import TINY_MODEL

from microgpt import gpt
from microgpt.errors import InputError
from microgpt.learning.architecture import GPT, options_of
from microgpt.learning.batches import padded
from microgpt.learning.model_file import model_file
from microgpt.learning.parameters import shapes_of

OWN_LOSS = "\n\ndef loss(params, tokens, weights, config):\n    return 7 * weights[0]\n"
BATCH = padded([[0, 1, 2, 0], [0, 3, 0]], np.float64)


def exact(parameters):
    return {name: array.astype(np.float64) for name, array in parameters.items()}


@pytest.fixture
def changed(tmp_path):
    """A function that loads the tiny model with some texts replaced, and computes its first logits."""

    def load(*changes, more=""):
        text = TINY_MODEL
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (tmp_path / "tiny.py").write_text(text + more)
        model = model_file(tmp_path / "tiny.py")
        config = model.config(4, 6, {})
        parameters = model.initial_parameters(config, 0)
        model.check(config, parameters)
        return model, config, parameters

    return load


def test_the_book_is_such_a_model():
    config = GPT.config(5, 4, {"n_embd": 4, "n_layer": 1, "n_head": 2})
    assert config == gpt.GPTConfig(5, 4, 4, 1, 2)
    parameters = GPT.initial_parameters(config, 0)
    assert GPT.count(config) == sum(array.size for array in parameters.values())
    assert GPT.loss is gpt.loss


def test_engines_agree_on_its_loss(changed):
    model, config, parameters = changed()
    assert_equal_engines(partial(model.loss, config=config), exact(parameters), *BATCH)


def test_its_own_loss_is_trained_and_surprise_is_validated(changed):
    model, config, parameters = changed(
        more="\n\ndef loss(params, tokens, weights, config):\n    return 7 * weights[0]\n"
    )
    tokens, weights = (part[0].tolist() for part in BATCH)
    params = {name: array.tolist() for name, array in parameters.items()}
    assert model.loss(params, tokens, weights, config) == 7 * weights[0]
    plain, _, _ = changed()
    assert model.surprise(params, tokens, weights, config) == plain.loss(params, tokens, weights, config)
    assert plain.surprise is None


def test_a_file_that_changes_meanwhile_is_recorded_as_it_was(changed):
    model, config, parameters = changed()
    text = model.path.read_text()
    model.path.write_text("\n" * 50 + text.replace("0.5 * (m", "0.9 * (m"))
    assert_equal_engines(partial(model.loss, config=config), exact(parameters), *BATCH)


def test_comments_are_the_help(changed):
    model, _, _ = changed()
    assert [(s.name, s.kind, s.default) for s in model.settings] == [("width", int, 3), ("blend", bool, True)]
    assert model.settings[0].meaning == "numbers that are remembered"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("def logits", "def logit"), "has no function logits"),
        (("def empty_state", "def state"), "has no function empty_state"),
        (("class Config", "class Settings"), "has no dataclass Config"),
        (("@dataclass(frozen=True)\n", ""), "has no dataclass Config"),
        (("    n_positions: int  # from --block-size\n", ""), "has no field n_positions: expected n_positions: int"),
        (("int = 3", "int"), "the field width of Config has no default: give it one, such as width: int = 32"),
        (("int = 3", "list = ()"), "the field width of Config is of type list: expected int, float, bool or str"),
        (("return {name: random", "return [] and {name: random"), "returned a list: expected a dict of arrays by name"),
        (("random.normal(0, 0.3, shape)", "'x'"), "initial_parameters has 'in' of dtype <U1 and shape ()"),
        (("random.normal(0, 0.3, shape)", "float('nan')"), "has numbers in 'in' that are not finite"),
        (("in params[\"out\"]]", "in params[\"out\"][1:]]"), "logits returned 3 numbers: expected a list of 4"),
        (("    return [dot(state", "    [dot(state"), "logits returned None: expected a list of 4"),
        (("dot(state[\"memory\"], row) for", "1e999 for"), "logits has inf: expected finite numbers"),
        (("    return [dot(state", "    raise SystemExit\n    [dot(state"), "ends the program: its functions"),
        (("    return [dot(state", "    return range(4) or [dot(state"), "logits returned a range: expected a list"),
        (("random.normal(0", "__import__('numpy').random.normal(0"), "gives other numbers for the same seed"),
        (("(width, width)", "(width, 2)"), "fails in line 29: ValueError: zip()"),
        (("params[\"back\"]", "params[\"past\"]"), "fails in line 29: KeyError: 'past'"),
        (("config, token, position, state", "config, token"), "TypeError: logits() takes 3 positional arguments"),
        (("return {\"memory\": [0.0] * config.width}", "return KEPT"), "fails in line 24: NameError"),
        (("def logits(", "def logits(:"), "is not Python"),
        (("def logits(", "raise SystemExit\n\n\ndef logits("), "ends the program"),
    ],
)  # fmt: skip
def test_what_it_lacks_is_told(changed, change, said):
    with pytest.raises(InputError, match=re.escape(said)) as error:
        changed(change)
    assert "tiny.py" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("returned", "said"),
    [("[1.0]", "tiny.py: loss returned a list: expected a single number"), ("None", "tiny.py: loss returned None")],
)
def test_a_loss_that_is_no_number_is_refused(changed, returned, said):
    with pytest.raises(InputError, match=said):
        changed(more=OWN_LOSS.replace("7 * weights[0]", returned))


def test_what_a_config_computes_is_no_option(changed):
    derived = "    half: int = field(init=False, default=1)\n"
    _, config, _ = changed(
        ("import dataclass", "import dataclass, field"), ("    width: int", derived + "    width: int")
    )
    assert options_of(config) == {"width": 3, "blend": True}


def test_memory_beside_the_state_is_found(changed):
    with pytest.raises(InputError, match="differ when they are computed again: keep what is remembered in the state"):
        changed(('return {"memory": [0.0] * config.width}', "return KEPT"), more="\n\nKEPT = {'memory': [0.0] * 3}\n")


@pytest.mark.parametrize("wrong", ["[]", "{}", "{'model_type': 3}", "{'model_type': config}"])
def test_a_format_without_a_name_is_refused(changed, wrong):
    model, config, parameters = changed(more=f"\n\ndef hugging_face(config):\n    return {wrong}\n")
    with pytest.raises(InputError, match=r"tiny.py: (hugging_face returned|TypeError: .* JSON)"):
        model.facts(config, shapes_of(parameters))
