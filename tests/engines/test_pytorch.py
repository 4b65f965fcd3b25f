"""What is particular to the engine "torch": its devices, its compiler, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import assert_equal_engines
from programs import UNDEFINED, W, X, gpt_case

from microgpt import exp, pick
from microgpt.engines.engine import value_and_grad
from microgpt.errors import InputError

torch = pytest.importorskip("torch")
from microgpt.engines.pytorch import engine as on_torch  # noqa: E402


@pytest.mark.slow
def test_compiled_by_pytorch_it_computes_the_same():
    function, params, *batch = gpt_case(3, 2, n_embd=4)
    assert_equal_engines(function, params, *batch, engine="torch", device="cpu", torch_compile=True)
    step = value_and_grad(UNDEFINED["a large power"], "torch", device="cpu", torch_compile=True)
    assert not np.isfinite(step(np.array(0.5), np.array([0.0]))[0])


def read_on_torch(function, params, *batch):
    """The program of a function, and the graph for its loss and gradient."""
    step = value_and_grad(function, "torch", device="cpu")
    step(params, *batch)
    (program,) = step.own_engine.programs.values()
    (graph,) = [plan.__self__.graph for key, plan in program.plans.items() if key[0] == "torch" and key[3]]
    return program, graph


def zeros_filled(*case):
    """How many arrays begin as zeros into which parts are written."""
    _, graph = read_on_torch(*case)
    uses = [{use.target for use in node.users} for node in graph.nodes if node.target == "new_zeros"]
    return sum(use != {"scatter_add_"} for use in uses)


def quarters(params, x):
    """The gradient of a table reaches it in four quarters."""
    table = [[exp(a * b) for b in x] for a in params]
    top, bottom = table[:2], table[2:]
    left, right = [row[:2] for row in top], [row[2:] for row in top]
    return (
        sum(a**2 for row in left for a in row)
        + sum(a**3 for row in right for a in row)
        + sum(a**4 for row in bottom for a in row[:2])
        + sum(a**5 for row in bottom for a in row[2:])
    )


def test_parts_that_tile_an_array_need_no_zeros():
    assert zeros_filled(*gpt_case(3, 2, n_embd=4)) == 0


def test_parts_in_no_row_are_written_into_zeros():
    case = quarters, np.linspace(0.1, 0.4, 4), np.linspace(-1, 1, 8).reshape(2, 4)
    assert_equal_engines(*case, engine="torch", device="cpu")
    assert zeros_filled(*case) == 1


def sums_over_the_past(params, x):
    """Each position weighs all up to itself, by parameters."""
    past, total = [], 0
    for i, number in enumerate(x):
        past.append([w * number for w in params["w"]])
        sums = [sum([u * row[j] for u, row in zip(params["u"][i], past, strict=False)]) for j in range(3)]
        total += sum([exp(s) for s in sums])
    return total


def test_sums_up_to_a_bound_are_matrix_products():
    params = {"w": np.array([0.5, 0.7, 0.2]), "u": np.linspace(-1, 1, 16).reshape(4, 4)}
    for case in (gpt_case(3, 2, n_embd=4), (sums_over_the_past, params, np.linspace(-1, 1, 8).reshape(2, 4))):
        program, graph = read_on_torch(*case)
        products = [nest for nest in (*program.nests.forward, *program.nests.backward) if nest.product()]
        assert sum(node.target in (torch.mm, torch.bmm) for node in graph.nodes) == len(products) > 0
        assert_equal_engines(*case, engine="torch", device="cpu")


def test_a_choice_among_items_that_lie_by_columns():
    def loss(p, x, i):
        rows = []
        for a in x:
            rows.append([exp(a * w) for w in p])
        flat = [row[j] for j in range(len(p)) for row in rows]
        return pick(flat, i) * pick(flat[2:], i)

    case = W[:4], np.linspace(-1, 1, 12).reshape(4, 3), np.array([0, 4, 7, 9])
    assert_equal_engines(loss, *case, engine="torch", device="cpu")


def test_products_times_a_number():
    def loss(p, x):
        return sum([exp(sum([a * b * 0.5 for a, b in zip(r, c, strict=True)])) for c in p for r in x])

    params, x = np.linspace(-1, 1, 320).reshape(20, 16), np.linspace(-1, 1, 576).reshape(2, 18, 16)
    program, _ = read_on_torch(loss, params, x)
    assert 0.5 in [nest.product().factor for nest in program.nests.forward if nest.product()]
    assert_equal_engines(loss, params, x, engine="torch", device="cpu")


# What is refused


def test_a_short_sum_beside_a_long_one():
    def loss(p, x):
        y = [0.1 * exp(p * x_i) for x_i in x]
        long = exp(sum([y[i] * (1 + 0.1 * i) for i in (0, 1, 2, 3, 4, 5, 6, 7, 8)]))
        return long * exp(sum([y[i] * (1 - 0.1 * i) for i in (3, 4)]))

    assert_equal_engines(loss, W[0], X[:, None] * np.linspace(0.1, 1, 9), engine="torch", device="cpu")


def test_a_short_sum_reads_the_last_constants():
    def loss(p, x):
        rows = [[p, x[0]], [p, x[1]], [p, x[2]], [p, x[3]], [p, x[4]]]
        return sum([(1 + 0.3 * i) * sum([(1 + 0.3 * k) * y for k, y in enumerate(row)]) for i, row in enumerate(rows)])

    assert_equal_engines(loss, W[0], X[:, None] * np.linspace(0.1, 1, 5), engine="torch", device="cpu")


def test_a_matrix_of_numbers_is_a_factor():
    def loss(p, x):
        total = [0.0] * 5
        for t in range(6):
            total[:] = [0.5 * total[i - 1] + x[t % 5] for i in range(5)]
        return sum([v * w for v, w in zip(total, p, strict=True)])

    assert_equal_engines(loss, W[:5], X[:, None] * np.linspace(0.1, 1, 5), engine="torch", device="cpu")


def test_an_integer_out_of_range_is_named():
    with pytest.raises(IndexError, match="i is 6 in row 1 of the batch: expected 0 to 5"):
        value_and_grad(lambda p, i: p[i], "torch", device="cpu")(W, np.array([0, 6]))


def test_a_loss_that_is_no_scalar_is_refused():
    with pytest.raises(TypeError, match="the loss returned a list"):
        value_and_grad(lambda p, x: [x], "torch", device="cpu")(W, X)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="the device is 'abacus': expected one of cpu, cuda, mps"):
        value_and_grad(lambda p, x: x, "torch", device="abacus")
    missing = [name for name in ("cuda", "mps") if not getattr(torch, name).is_available()]
    with pytest.raises(InputError, match=f"the device is {missing[0]}, which PyTorch does not find here"):
        value_and_grad(lambda p, x: x, "torch", device=missing[0])


def test_without_a_name_the_fastest_device_is_taken():
    wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu"
    assert on_torch.chosen_device().type == wanted


def test_without_pytorch_one_line_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['torch'] = None\nfrom microgpt import value_and_grad\n"
    code += "try:\n    value_and_grad(lambda p: p, 'torch')\nexcept ValueError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "the engine 'torch' needs PyTorch: pip install -e \".[torch]\"\n"


def test_nothing_else_imports_pytorch():
    code = "import sys, train, sample, explain, microgpt.engines.compiled.listing\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
