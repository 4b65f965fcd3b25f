"""Update rules: those of the examples against PyTorch and their papers, and files of one's own."""

from pathlib import Path

import numpy as np
import pytest

from microgpt import InputError, Schedule, train
from microgpt.learning.parameters import flatten
from microgpt.learning.rules import KNOWN, TensorRule, load_rule, rule_update

RATE = 0.05


def beginning():
    rng = np.random.default_rng(0)
    shapes = {"wte.weight": (5, 4), "h.0.wide.weight": (4, 7), "h.0.tall.weight": (6, 3), "h.0.bias": (4,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def gradients_of(parameters):
    """The gradients of a loss that pulls every number towards 1, and all together towards 0."""
    together = sum(float(array.sum()) for array in parameters.values())
    return {name: array - 1 + 0.02 * together for name, array in parameters.items()}


def trained(rule, steps=5, engine="compiled"):
    """The parameters after some steps of a rule."""
    parameters = beginning()
    schedule = Schedule(steps, RATE, 0, grad_clip=0, rate=lambda *_: RATE)
    update = rule_update(load_rule(rule).function, parameters, engine)
    list(train(lambda p: (0.0, gradients_of(p)), parameters, iter([()] * steps), schedule, update))
    return parameters


def by_torch(optimizers, steps=5):
    """The parameters after some steps of PyTorch's optimizers, each made for some names."""
    torch = pytest.importorskip("torch")
    tensors = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in beginning().items()}
    made = [make([t for n, t in tensors.items() if wanted(n, t)]) for wanted, make in optimizers]
    for _ in range(steps):
        for name, gradient in gradients_of({n: t.detach().numpy() for n, t in tensors.items()}).items():
            tensors[name].grad = torch.tensor(gradient)
        for optimizer in made:
            optimizer.step()
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def everything(name, tensor):
    return True


def hidden(name, tensor):
    return name.startswith("h.") and tensor.ndim == 2


def other(name, tensor):
    return not hidden(name, tensor)


@pytest.mark.parametrize("rule", ["adam", "sgd", "momentum", "muon"])
def test_rule_takes_steps_of_pytorch(rule, monkeypatch):
    torch = pytest.importorskip("torch")
    # PyTorch orthogonalizes in bfloat16, which has three digits. Here it is asked to do it in double precision.
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
    adam = {"lr": RATE, "eps": 1e-8}
    optimizers = {
        "adam": [(everything, lambda p: torch.optim.Adam(p, **adam))],
        "sgd": [(everything, lambda p: torch.optim.SGD(p, RATE))],
        "momentum": [(everything, lambda p: torch.optim.SGD(p, RATE, momentum=0.9))],
        "muon": [
            (hidden, lambda p: torch.optim.Muon(p, RATE, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")),
            (other, lambda p: torch.optim.Adam(p, **adam)),
        ],
    }
    np.testing.assert_allclose(flatten(trained(rule)), flatten(by_torch(optimizers[rule])), rtol=1e-6, atol=1e-6)


def test_lion_moves_by_learning_rate():
    for old, new in zip(beginning().values(), trained("lion", steps=1).values(), strict=True):
        np.testing.assert_allclose(np.abs(new - old), RATE)


def test_lion_direction_and_memory_differ():
    # Algorithm 2 of the paper for one number. Of gradients 1, then -1, the direction notices more than the memory.
    update = load_rule("lion").function
    x, m, _ = update(0.0, 1.0, 0.0, 0.0, 1, 0.1)
    assert (x, m) == (pytest.approx(-0.1), pytest.approx(0.01))
    x, m, _ = update(x, -1.0, m, 0.0, 2, 0.1, weight_decay=1.0)
    assert (x, m) == (pytest.approx(-0.1 + 0.1 + 0.01), pytest.approx(-0.0001))


@pytest.mark.parametrize("rule", ["sgd", "momentum", "lion"])
def test_compiled_rule_equals_rule_on_arrays(rule):
    np.testing.assert_allclose(flatten(trained(rule)), flatten(trained(rule, engine="scalar")), rtol=1e-12)
    assert type(rule_update(load_rule(rule).function, beginning())) is type(rule_update(load_rule("adam").function, {}))


@pytest.mark.parametrize("rule", KNOWN)
def test_rule_changes_torch_tensors_alike(rule):
    torch = pytest.importorskip("torch")
    parameters = beginning()
    arrays = [flatten(parameters), flatten(gradients_of(parameters))]
    arrays += [np.zeros_like(arrays[0]), np.zeros_like(arrays[0])]
    tensors = [torch.tensor(array) for array in arrays]
    update = rule_update(load_rule(rule).function, parameters, "scalar")
    update(*arrays, 1, RATE, np.full_like(arrays[0], 0.1))
    update(*tensors, 1, RATE, torch.full_like(tensors[0], 0.1))
    np.testing.assert_allclose(tensors[0].numpy(), arrays[0], rtol=1e-12)


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "my_rule.py"
    path.write_text(text)
    return str(path)


ARGUMENTS = "parameter, gradient, m, v, step, learning_rate, weight_decay"


def test_rule_that_compares_whole_vectors_runs_as_written(tmp_path):
    # The step is as long as the learning rate, whatever the gradient: no number alone can know that.
    moved = "parameter - learning_rate * gradient / (gradient @ gradient) ** 0.5"
    text = f"def update({ARGUMENTS}):\n    return {moved}, m, v"
    before, after = (flatten(p) for p in (beginning(), trained(written(tmp_path, text), steps=1)))
    assert np.linalg.norm(after - before) == pytest.approx(RATE)


def test_tensor_rule_sees_names_and_shapes(tmp_path):
    text = f"seen = []\ndef update(name, {ARGUMENTS}):\n    seen.append((name, m.shape))\n    return parameter, m, v\n"
    parameters, rule = beginning(), load_rule(written(tmp_path, text))
    update = rule_update(rule.function, parameters)
    assert isinstance(update, TensorRule)
    vector = flatten(parameters)
    update(vector, vector, vector, vector, 1, RATE, vector)
    assert rule.function.__globals__["seen"] == [(name, array.shape) for name, array in parameters.items()]


def test_old_memories_may_change_places(tmp_path):
    text = f"def update(name, {ARGUMENTS}):\n    return parameter, v + 1, m[...]\n"
    parameters = beginning()
    update = rule_update(load_rule(written(tmp_path, text)).function, parameters)
    vector = flatten(parameters)
    m, v = np.full_like(vector, 5), np.full_like(vector, 7)
    update(vector, vector, m, v, 1, RATE, vector)
    assert (set(m), set(v)) == ({8}, {5})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "has no function update(parameter, gradient, m, v, step, learning_rate, weight_decay): write it"),
        ("def update(parameter, gradient): pass", "lacks the argument m: expected update(parameter, gradient, m,"),
        ("def update(:", "is not Python: invalid syntax, in line 1"),
        ("1 / 0", "fails in line 1: ZeroDivisionError: division by zero"),
        ("LEARNING_RATE = 'high'", "is 'high': expected a number of at least 0"),
    ],
)
def test_file_that_is_no_rule_is_refused(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        load_rule(written(tmp_path, text))
    assert message in str(error.value)
    assert "my_rule.py" in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return parameter", "the update rule returned a ndarray: expected (parameter, m, v)"),
        ("return parameter, m, v[:1]", "the update rule returned v of shape (1,): expected (70,)"),
        ("return parameter, m, v, m", "the update rule returned 4 results: expected (parameter, m, v)"),
        ("return parameter, m * 1j, v", "the update rule returned m of complex numbers: expected real ones"),
        ("return parameter + lost, m, v", "fails in line 2: NameError: name 'lost' is not defined"),
    ],
)
def test_wrong_results_are_named(tmp_path, body, message):
    with pytest.raises(InputError) as error:
        trained(written(tmp_path, f"def update({ARGUMENTS}):\n    {body}"), steps=1)
    assert message in str(error.value)


def test_unknown_rule_is_refused():
    with pytest.raises(InputError, match="there is no update rule adamw: expected one of adam, sgd, momentum"):
        load_rule("adamw")
