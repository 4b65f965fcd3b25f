"""The models of examples/models compute what PyTorch and transformers do, in all engines, and are short."""

import json
import sys
from functools import partial

import numpy as np
import pytest
from helpers import as_lists, assert_close, assert_equal_engines, gradients_of, to_values
from running import ROOT, call

sys.path.append(str(ROOT))
from docs.model_table import TEXTS, options_of
from microgpt import load_run
from microgpt.engines.compiled.record import CONSTANT
from microgpt.engines.compiled.recording import record_function
from microgpt.learning.model_file import model_file
from microgpt.learning.parameters import Arrays

FOLDER = ROOT / "examples" / "models"
SIZES = {  # small ones, with other defaults than the files have
    "llama": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_kv_head": 2, "n_hidden": 6},
    "gru": {"n_embd": 3, "n_hidden": 4, "n_layer": 2},
    "moe": {"n_embd": 4, "n_layer": 1, "n_head": 2, "n_hidden": 3, "n_expert": 5, "n_chosen": 2},
    "ssm": {"n_embd": 8, "n_layer": 2, "n_state": 3},
    "no_attention": {"n_embd": 3, "n_hidden": 4, "window": 3},
}
TOKENS = [3, 0, 4, 4, 1, 2, 0]  # the last one is only predicted
WEIGHTS = [1.0, 0.5, 2.0, 1.0, 1.0, 0.25]
each = pytest.mark.parametrize("name", SIZES)


def some(name: str, positions: int = len(WEIGHTS)):
    """A model, its settings, and parameters in double precision in which nothing is 0 or 1."""
    model = model_file(FOLDER / f"{name}.py")
    config = model.config(5, positions, SIZES[name])
    rng = np.random.default_rng(0)
    shapes = {part: array.shape for part, array in model.initial_parameters(config, 0).items()}
    return model, config, {part: rng.normal(0.3, 0.5, shape) for part, shape in shapes.items()}


def found(name: str):
    """The logits of a model, its surprise and its gradients."""
    model, config, parameters = some(name)
    state, numbers = model.empty_state(config), as_lists(parameters)
    logits = [model.logits(numbers, config, token, i, state) for i, token in enumerate(TOKENS[:-1])]
    params = {part: to_values(array) for part, array in numbers.items()}
    surprise = (model.surprise or model.loss)(params, TOKENS, WEIGHTS, config)
    surprise.backward()
    return logits, surprise.data, {part: gradients_of(values) for part, values in params.items()}


def assert_like(name: str, theirs, named, assert_close=assert_close):
    """The same logits, surprise, and gradients of the parameters by name."""
    torch = pytest.importorskip("torch")
    logits, surprise, gradients = found(name)
    assert_close(logits, theirs.detach())
    losses = torch.nn.functional.cross_entropy(theirs, torch.tensor(TOKENS[1:]), reduction="none")
    total = losses @ torch.tensor(WEIGHTS, dtype=torch.float64)
    total.backward()
    assert_close(surprise, total.detach())
    for part, tensor in named.items():
        assert_close(gradients[part], tensor.grad)
    assert named.keys() == gradients.keys()


def assert_near(ours, theirs):
    """Equal to 1e-4 of the largest: transformers calculates some parts of these in float32."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def tensors(parameters: Arrays):
    torch = pytest.importorskip("torch")
    return {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}


def opened(name: str, architecture: str):
    """The model of transformers with such a config.json, in double precision, with our parameters."""
    torch, transformers = (pytest.importorskip(one) for one in ("torch", "transformers"))
    model, config, parameters = some(name)
    content = model.module.hugging_face(config)
    theirs = getattr(transformers, architecture)(
        transformers.AutoConfig.for_model(**content, attn_implementation="eager")
    )
    mismatch = theirs.double().load_state_dict(tensors(parameters), strict=False)
    assert not mismatch.unexpected_keys
    assert set(mismatch.missing_keys) <= {"lm_head.weight"}
    return theirs.eval(), torch.tensor([TOKENS[:-1]])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "architecture"), [("llama", "LlamaForCausalLM"), ("ssm", "MambaForCausalLM")])
def test_transformers_computes_the_same(name, architecture):
    theirs, tokens = opened(name, architecture)
    named = {part: tensor for part, tensor in theirs.named_parameters() if part in some(name)[2]}
    assert_like(name, theirs(tokens).logits[0].double(), named, assert_near)


def test_the_gru_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    _, config, parameters = some("gru")
    named = tensors(parameters)
    gru = torch.nn.GRU(config.n_embd, config.n_hidden, config.n_layer).double()
    own = {part.removeprefix("gru."): tensor for part, tensor in named.items() if part.startswith("gru.")}
    states, _ = torch.func.functional_call(gru, own, (named["embedding.weight"][TOKENS[:-1]],))
    assert_like("gru", states @ named["head.weight"].T + named["head.bias"], named)


def test_the_window_is_equation_1():
    torch = pytest.importorskip("torch")
    _, config, parameters = some("no_attention")
    named = tensors(parameters)
    vectors = torch.cat([torch.zeros(config.window - 1, config.n_embd).double(), named["C"][TOKENS[:-1]]])
    x = torch.stack([vectors[i : i + config.window].flatten() for i in range(len(WEIGHTS))])
    hidden = torch.tanh(named["d"] + x @ named["H"])
    assert_like("no_attention", named["b"] + x @ named["W"] + hidden @ named["U"], named)


@pytest.mark.slow
def test_the_experts_are_those_of_mixtral():
    torch, transformers = (pytest.importorskip(one) for one in ("torch", "transformers"))
    from helpers import hugging_face_model
    from transformers.models.mixtral import modeling_mixtral as mixtral

    from microgpt.gpt import GPTConfig

    model, config, parameters = some("moe")
    theirs = hugging_face_model(GPTConfig(5, len(WEIGHTS), config.n_embd, config.n_layer, config.n_head))
    theirs.transformer.h[0].mlp = experts = mixtral.MixtralSparseMoeBlock(
        transformers.MixtralConfig(
            hidden_size=config.n_embd, intermediate_size=config.n_hidden, num_local_experts=config.n_expert
        )
    ).double()  # fmt: skip
    theirs.load_state_dict({f"transformer.{part}": array for part, array in tensors(parameters).items()}, strict=False)
    scores = []
    experts.gate.register_forward_hook(lambda *call: scores.append(call[2][0]))
    logits = theirs(torch.tensor([TOKENS[:-1]])).logits[0]
    named = {part.removeprefix("transformer."): tensor for part, tensor in theirs.named_parameters()}
    assert_like("moe", logits, named, assert_near)
    balance = mixtral.load_balancing_loss_func((scores[0].detach(),), config.n_expert, 2).item()
    ones = [1.0] * len(WEIGHTS)
    more = model.loss(as_lists(parameters), TOKENS, ones, config) - model.surprise(
        as_lists(parameters), TOKENS, ones, config
    )
    assert more == pytest.approx(model.module.BALANCE * len(WEIGHTS) * balance, rel=1e-5)  # theirs is in float32


@each
def test_all_engines_compute_the_same(name):
    model, config, parameters = some(name)
    tokens = np.array([TOKENS, TOKENS[::-1]])
    arguments = parameters, tokens, np.array([WEIGHTS, WEIGHTS[::-1]])
    assert_equal_engines(lambda *example: model.loss(*example, config), *arguments)


@each
def test_a_longer_text_is_recorded_in_as_many_rows(name):
    rows = []
    for n in (12, 24):
        model, config, parameters = some(name, n)
        shapes = {part: array.shape for part, array in parameters.items()}
        arguments = [("tokens", "int", (n + 1,)), ("weights", "float", (n,))]
        record = record_function(partial(model.loss, config=config), shapes, arguments)
        rows.append(sum(kind != CONSTANT for kind in record.kind))
    assert rows[0] == rows[1]


@each
def test_a_model_is_as_short_as_the_book(name):
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 120


@each
@pytest.mark.parametrize("text", TEXTS)
def test_the_table_counts_parameters_as_they_are(name, text):
    """Also, the options with which a model is trained for the table are options of that model."""
    lines = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    (cells,) = [line.split(" | ") for line in lines if line.startswith(f"| [{name}](")]
    model, options = model_file(FOLDER / f"{name}.py"), options_of(name, text)
    given = {option[2:].replace("-", "_"): value for option, value in zip(options[::2], options[1::2], strict=True)}
    settings = {one.name: int(given.pop(one.name, one.default)) for one in model.settings}
    assert given.keys() <= {"model", "data", "steps"}
    config = model.config(*((27, 16) if text == "names" else (66, 64)), settings)
    assert cells[2 if text == "names" else 5] in (f"{model.count(config):,}", "-")


@pytest.mark.parametrize(
    ("name", "setting"), [("llama", {"n_head": 3}), ("llama", {"n_kv_head": 3}), ("moe", {"n_head": 3})]
)
def test_heads_that_do_not_fit_are_refused(name, setting):
    with pytest.raises(Exception, match=r"expected --n-embd a multiple"):
        model_file(FOLDER / f"{name}.py").config(5, 6, SIZES[name] | setting)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"), [("llama", ["--n-embd", "8", "--n-hidden", "5"]), ("ssm", ["--n-embd", "4"])]
)
def test_a_run_opens_in_transformers_and_comes_back(tmp_path, name, options):
    torch, transformers = (pytest.importorskip(one) for one in ("torch", "transformers"))
    file = FOLDER / f"{name}.py"
    result = call(
        "train.py", "--model", file, *options, "--steps", "2", "--batch-size", "2", "--skip-check", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    run = load_run(tmp_path / "runs" / "names", trust=True)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(run.directory)
    tokens = np.random.default_rng(0).integers(run.config.vocab_size, size=run.config.n_positions).tolist()
    state, params = run.architecture.empty_state(run.config), as_lists(run.parameters)
    ours = [run.architecture.logits(params, run.config, token, i, state) for i, token in enumerate(tokens)]
    with torch.no_grad():
        assert np.abs(theirs(torch.tensor([tokens])).logits[0].numpy() - np.array(ours)).max() < 1e-5

    theirs.save_pretrained(tmp_path / "theirs")
    transformers.AutoTokenizer.from_pretrained(run.directory).save_pretrained(tmp_path / "theirs")
    back = load_run(tmp_path / "theirs", model=file)
    assert all(np.array_equal(back.parameters[part], array) for part, array in run.parameters.items())
    content = json.loads((tmp_path / "theirs" / "config.json").read_text())
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(content | {"hidden_act": "relu"}))
    with pytest.raises(Exception, match=r"hidden_act is 'relu'"):
        load_run(tmp_path / "theirs", model=file)
