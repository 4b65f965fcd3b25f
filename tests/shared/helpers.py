"""What several tests need: comparison with PyTorch and between the engines, and small models."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from microgpt.engines.compiled.recording import record_function
from microgpt.engines.engine import value_and_grad
from microgpt.engines.trees import leaves_of, map_arrays, map_numbers
from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.learning.parameters import Arrays, flatten, parameter_shapes
from microgpt.runs.checkpoint import Checkpoint, Evaluation, RunInfo, save_checkpoint
from microgpt.runs.directory import Run, keep_text, load_run
from microgpt.runs.hugging_face import write_model
from microgpt.value import Value

TINY = GPTConfig(vocab_size=5, n_positions=6, n_embd=4, n_layer=1, n_head=2)


def assert_close(ours: Any, theirs: Any) -> None:
    """The same shape, and everywhere within 1e-9 of the largest number plus 1e-12."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    error = np.abs(ours - theirs).max(initial=0.0)
    assert error <= 1e-9 * np.abs(theirs).max(initial=0.0) + 1e-12


def to_values(numbers: Any) -> Any:
    return map_numbers(Value, numbers)


def data_of(values: Any) -> Any:
    return map_numbers(lambda v: v.data, values)


def gradients_of(values: Any) -> Any:
    return map_numbers(lambda v: v.grad, values)


def double(numbers: Any) -> Any:
    """A PyTorch leaf in double precision."""
    torch = pytest.importorskip("torch")
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def assert_like_torch(ours: Any, theirs: Any, *inputs: Any) -> None:
    """Our function and PyTorch's agree on the value and on the gradient to every input.

    Of a vector the weighted sum 1, 2, 3, ... is differentiated, so that each of its elements counts differently.
    """
    values, tensors = [to_values(x) for x in inputs], [double(x) for x in inputs]
    our_result, their_result = ours(*values), theirs(*tensors)
    assert_close(data_of(our_result), their_result.detach())
    if isinstance(our_result, list):
        our_result = sum(i * y for i, y in enumerate(our_result, 1))
        their_result = their_result @ double(list(range(1, len(their_result) + 1)))
    our_result.backward()
    their_result.backward()
    for value, tensor in zip(values, tensors, strict=True):
        assert_close(gradients_of(value), tensor.grad)


def assert_equal_engines(function: Any, params: Any, *arguments: Any, engine: str = "compiled", **options: Any) -> None:
    """The same loss, and gradients of the same nesting, shapes, types and numbers."""
    expected, expected_gradients = value_and_grad(function, "scalar")(params, *arguments)
    found, gradients = value_and_grad(function, engine, **options)(params, *arguments)
    assert abs(found - expected) <= 1e-12 * max(1.0, abs(expected))
    pairs = []
    map_arrays(lambda a, b: pairs.append((np.asarray(a), np.asarray(b))), expected_gradients, gradients)
    assert len(pairs) == len(leaves_of(gradients))
    for a, b in pairs:
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.abs(a - b).max(initial=0.0) <= 1e-10 * np.abs(a).max(initial=0.0) + 1e-12


def functions(*all_of_them: Any) -> Any:
    """Parameters of a test, named as they are."""
    return pytest.mark.parametrize("function", all_of_them, ids=lambda function: function.__name__)


def scalar_and_row(n: int) -> tuple[Arrays, np.ndarray]:
    """Parameters s, a scalar, and w [n], and two examples x [n]."""
    random = np.random.default_rng(n)
    return {"s": np.array(0.7), "w": random.normal(size=n)}, random.normal(size=(2, n))


def assert_one_line(function: Any) -> None:
    """All engines agree on a loop over such an example, and a longer one is recorded in as many rows."""
    assert_equal_engines(function, *scalar_and_row(9), verify=False)
    rows = [len(record_function(function, {"s": (), "w": (n,)}, [("x", "float", (n,))])) for n in (9, 23)]
    assert rows[0] == rows[1]


def random_parameters(config: GPTConfig, seed: int = 0) -> Arrays:
    """Parameters in double precision in which no bias is 0 and no gain is 1, and the tokens matter most."""
    rng = np.random.default_rng(seed)
    parameters = {name: rng.normal(0.0, 0.3, shape) for name, shape in parameter_shapes(config).items()}
    for name, array in parameters.items():
        if "ln_" in name and name.endswith(".weight"):
            parameters[name] = array + 1.0
    parameters["wte.weight"] *= 5.0
    return parameters


def as_lists(parameters: Arrays) -> dict[str, Any]:
    return {name: array.tolist() for name, array in parameters.items()}


def hugging_face_model(config: GPTConfig, parameters: Arrays | None = None) -> Any:
    """The GPT-2 of transformers in double precision, of the same shape and with the same parameters."""
    torch, transformers = (pytest.importorskip(name) for name in ("torch", "transformers"))
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.n_positions,
            n_embd=config.n_embd,
            n_layer=config.n_layer,
            n_head=config.n_head,
            activation_function="gelu_new",
            layer_norm_epsilon=1e-5,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            attn_implementation="eager",
        )
    ).double()
    if parameters is not None:
        state = {f"transformer.{name}": torch.tensor(array) for name, array in parameters.items()}
        mismatch = model.load_state_dict(state | {"lm_head.weight": state["transformer.wte.weight"]}, strict=True)
        assert not mismatch.missing_keys
    return model.eval()


def make_checkpoint(
    config: GPTConfig = TINY,
    documents: str = "lines",
    seed: int = 0,
    step: int = 7,
    dtype: Any = np.float32,
    vocabulary: str | None = None,
    text: str = "ab\nba\n",
) -> Checkpoint:
    """A state that was never reached: random parameters and moments; by default over the letters a, b, c, ...

    Prose has an end only with a `vocabulary` that ends with END: without, it is a run from before there was one.
    """
    vocabulary = vocabulary or "\n" + "".join(chr(96 + i) for i in range(1, config.vocab_size))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    origin = RunInfo(config, vocabulary, documents, "ab.txt", sha256, {"steps": 9, "seed": seed}, "2025-01-31", "0.1")
    vectors = [flatten(random_parameters(config, seed + i)).astype(dtype) for i in range(4)]
    best = Evaluation(step - step % 2, 1.5 + seed, vectors[0], ["ab", "ba"])
    return Checkpoint(origin, step, vectors[1], vectors[2], vectors[3], 2.5, best)


def assert_same_checkpoint(a: Checkpoint, b: Checkpoint) -> None:
    """All of it, to the bit."""
    for vector in ("parameters", "adam_m", "adam_v"):
        ours, theirs = getattr(a, vector), getattr(b, vector)
        assert (ours.dtype, ours.tobytes()) == (theirs.dtype, theirs.tobytes())
    assert (a.origin, a.step, a.initial_loss) == (b.origin, b.step, b.initial_loss)
    assert_same_validated(a.best, b.best)
    assert (a.unplanned is None) == (b.unplanned is None)
    if a.unplanned is not None:
        assert_same_validated(a.unplanned, b.unplanned)


def assert_same_validated(a: Evaluation, b: Evaluation) -> None:
    assert (a.step, a.loss, a.samples, a.loss_on_all) == (b.step, b.loss, b.samples, b.loss_on_all)
    assert a.parameters.tobytes() == b.parameters.tobytes()


def make_run(
    directory: Path, documents: str = "lines", config: GPTConfig = TINY, seed: int = 0, vocabulary: str | None = None
) -> Run:
    """A run directory that was never trained, with all that `make_checkpoint` makes up."""
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = make_checkpoint(config, documents, seed, vocabulary=vocabulary)
    keep_text(directory, "ab\nba\n")
    save_checkpoint(directory, checkpoint)
    write_model(directory, checkpoint)
    return load_run(directory)


# Any JSON value, and the settings of tests that write files for each example.
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["\n", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
quickly = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def loads_or_is_refused(load: Any, directory: Path) -> None:
    """Loading ends well or in a complaint of one line; anything else that it raises is an error of the test."""
    complaint = ""
    try:
        load(directory)
    except InputError as error:
        complaint = str(error)
    assert "\n" not in complaint


def make_link(path, target):
    """Make a symbolic link. Where the system lets this user make none, as Windows may, the test ends here."""
    with suppress(OSError):
        path.symlink_to(target)
    if not path.is_symlink():
        pytest.skip("this user may make no links here")
