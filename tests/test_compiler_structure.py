"""The compiler finds the few array instructions of which a function of very many scalars consists."""

import ast
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import microgpt.compiler.kernels
from microgpt.compiler.program import Program
from microgpt.functions import dot, tanh
from microgpt.gpt import GPTConfig, loss
from microgpt.parameters import parameter_shapes

VOCABULARY = 11


def gpt_program(n_embd=8, n_layer=1, n_head=2, positions=3):
    config = GPTConfig(VOCABULARY, max(positions, 3), n_embd, n_layer, n_head)
    arguments = [("tokens", "int", (positions + 1,)), ("weights", "float", (positions,))]
    return Program(partial(loss, config=config), parameter_shapes(config), arguments)


def instructions(program):
    return program.layout.instructions


def small_program():
    """A bit of everything: a product, sums, powers, a pick of rows and one of parameters, a largest, constants."""

    def function(params, x, i):
        hidden = [tanh(dot(row, x)) for row in params]
        chosen = i.pick([*hidden, params[0][0]]) * i.pick(params)[1] + params[1][0].exp()
        return chosen * hidden[0] ** 2 + hidden[1].largest(hidden) + (x[0] * x[1] + 2.0) ** -1

    return Program(function, (4, 3), [("x", "float", (3,)), ("i", "int", ())])


PROGRAMS = {
    "gpt": gpt_program,
    "two layers": partial(gpt_program, n_embd=12, n_layer=2, n_head=3, positions=5),
    "a bit of everything": small_program,
}


# How many instructions


def test_the_number_of_instructions_does_not_depend_on_the_width():
    counts = {n_embd: len(instructions(gpt_program(n_embd))) for n_embd in (8, 16, 32)}
    assert len(set(counts.values())) == 1, counts


def test_the_number_of_instructions_does_not_depend_on_the_length():
    counts = {positions: len(instructions(gpt_program(positions=positions))) for positions in (1, 2, 3, 5, 8)}
    assert len(set(counts.values())) == 1, counts


def test_every_layer_has_as_many_instructions():
    one, two, three, four = (len(instructions(gpt_program(n_layer=n_layer, n_embd=4))) for n_layer in (1, 2, 3, 4))
    assert two - one == three - two == four - three > 0


def test_instructions_are_far_fewer_than_operations():
    program = gpt_program(32, positions=8)
    assert program.operations > 1000 * len(instructions(program))
    assert len(instructions(program)) < 100


# Matrix products


@pytest.mark.parametrize(("n_embd", "positions"), [(8, 3), (16, 5), (32, 8)])
def test_the_products_of_a_gpt_are_its_linear_maps_and_its_head(n_embd, positions):
    shapes = [
        (i.product.parameters.shape, i.product.operands.shape)
        for i in instructions(gpt_program(n_embd, positions=positions))
        if i.operation == "product"
    ]
    n, c = n_embd, positions
    assert shapes == [
        ((3 * n, n), (n, c)),
        ((n, n), (n, c)),
        ((4 * n, n), (n, c)),
        ((n, 4 * n), (4 * n, c)),
        ((VOCABULARY, n), (n, c)),
    ]


def test_the_products_are_of_the_parameters_they_should_be():
    shapes = parameter_shapes(GPTConfig(VOCABULARY, 3, 8, 1, 2))
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    places = {name: np.arange(end - np.prod(shapes[name]), end) for name, end in zip(shapes, ends, strict=True)}
    products = [i.product for i in instructions(gpt_program()) if i.operation == "product"]
    names = ["h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_fc", "h.0.mlp.c_proj", "wte"]
    for product, name in zip(products, names, strict=True):
        assert np.array_equal(np.sort(product.parameters.ravel()), places[f"{name}.weight"])
        assert product.coefficient == 1


def test_a_map_of_one_input_is_a_product_too():
    program = Program(lambda p, x: [dot(row, x) for row in p], (8, 3), [("x", "float", (3,))])
    (instruction,) = [i for i in instructions(program) if i.operation == "product"]
    assert instruction.product.parameters.tolist() == np.arange(24).reshape(8, 3).tolist()
    assert instruction.product.operands.tolist() == [[0], [1], [2]]


def test_what_is_no_full_grid_is_no_product():
    def ragged(p, x):
        return [dot(p[0], x[0]), dot(p[0], x[1]), dot(p[1], x[0])]

    program = Program(ragged, (2, 3), [("x", "float", (2, 3))])
    assert [i.operation for i in instructions(program)] == ["sum"]


def test_a_scaled_map_is_a_product_with_a_coefficient():
    program = Program(lambda p, x: [dot(row, x) * 0.5 for row in p], (8, 3), [("x", "float", (3,))])
    (product,) = [i.product for i in instructions(program) if i.operation == "product"]
    assert product.coefficient == 0.5


# Sums and what is not needed


def test_what_no_result_needs_is_not_computed():
    def wasteful(p, x):
        for _ in range(10):
            (p * x + 1.0).exp()
        return p * x

    assert [i.operation for i in instructions(Program(wasteful, (), [("x", "float", ())]))] == ["sum"]


def test_a_sum_of_sums_and_constant_factors_is_one_row():
    program = Program(lambda p, x: 2 * (p * x + 3 * (x - p) * 0.5 - 1) - x * x, (), [("x", "float", ())])
    (instruction,) = instructions(program)
    assert (instruction.operation, len(instruction.nodes)) == ("sum", 1)
    assert instruction.runs.constants.tolist() == [-2.0]
    kinds = instruction.runs.table[0, 3:].tolist()  # x; x * x; p * x; p
    assert kinds == [1, 1, 1, 1]


# Storage


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_two_nodes_share_a_row_of_storage(name):
    program = PROGRAMS[name]()
    rows = program.layout.row[program.layout.row >= 0]
    assert len(np.unique(rows)) == len(rows) == program.layout.size


@pytest.mark.parametrize("name", PROGRAMS)
def test_instructions_fill_storage_from_first_to_last(name):
    layout = PROGRAMS[name]().layout
    end = layout.instructions[0].start
    for instruction in layout.instructions:
        assert instruction.start == end
        end += len(instruction.nodes)
        assert np.array_equal(layout.row[instruction.nodes], np.arange(instruction.start, end))
    assert end == layout.size


def operand_rows(instruction):
    """All storage rows that an instruction reads."""
    if instruction.operation == "product":
        yield from instruction.product.operands.ravel()
    if instruction.operation == "pick":
        yield from instruction.candidates.ravel()
    if instruction.runs is not None:
        for start, count, first, single, pair, weighted, _ in instruction.runs.table:
            assert instruction.start <= start < start + count <= instruction.start + len(instruction.nodes)
            terms = instruction.runs.operands[first : first + single + pair + weighted]
            rows = [*terms[: single + pair, 0], *terms[single:, 1]]  # x and y; of a weighted one x is a parameter
            yield from (row + offset for row in rows for offset in (0, count - 1))


@pytest.mark.parametrize("name", PROGRAMS)
def test_operands_lie_before_what_is_made_of_them(name):
    seen = 0
    for instruction in instructions(PROGRAMS[name]()):
        for row in operand_rows(instruction):
            assert 0 <= row < instruction.start
            seen += 1
    assert seen > 10


def run(program, params, integers, inputs, batch, threads=1):
    results, gradient = program.run(params, integers, inputs, batch, threads, True)
    return results.copy(), gradient.copy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 10, 70])
def test_gradient_storage_is_zero_after_a_run(dtype, batch):
    program = small_program()
    rng = np.random.default_rng(0)
    params, inputs = rng.normal(size=12).astype(dtype), rng.normal(size=(3, batch)).astype(dtype)
    integers = rng.integers(0, 4, (1, batch))
    first = run(program, params, integers, inputs, batch)
    lanes = 8 if batch <= 8 else 16
    x, g = program.storage(np.dtype(dtype), lanes, 1)[:2]
    assert x.any()
    assert not g.any()
    second = run(program, params, integers, inputs, batch)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_one_program_serves_batches_of_all_sizes_and_types_in_any_order():
    program, rng = small_program(), np.random.default_rng(0)
    params, inputs, integers = rng.normal(size=12), rng.normal(size=(3, 70)), rng.integers(0, 4, (1, 70))
    expected = [run(small_program(), params, integers[:, :n], inputs[:, :n], n) for n in (70, 1, 33)]
    for (results, gradient), n in zip(expected, (70, 1, 33), strict=True):
        run(program, params.astype(np.float32), integers, inputs.astype(np.float32), 70)
        found = run(program, params, integers[:, :n], inputs[:, :n], n)
        assert np.array_equal(found[0], results)
        assert np.array_equal(found[1], gradient)


# Kernels


def compiled_functions(file):
    """The functions in a file that Numba compiles and caches, each with all names that it mentions."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        if any("jit" in ast.unparse(decorator) or "overload" in ast.unparse(decorator)
               for decorator in function.decorator_list):  # fmt: skip
            yield function.name, {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def test_compiled_functions_call_only_those_of_their_own_file():
    """Numba looks at the file of a cached function to tell whether it is stale, not at those of what it calls."""
    directory = Path(microgpt.compiler.kernels.__file__).parent
    functions = {file.name: dict(compiled_functions(file)) for file in directory.glob("*.py")}
    assert {"run", "forward", "backward", "sums_forward"} <= functions["kernels.py"].keys()
    for name, inside in functions.items():
        elsewhere = {function for other, those in functions.items() if other != name for function in those}
        own = set(inside) | {"all"}
        for function, mentioned in inside.items():
            assert not (mentioned & elsewhere) - own, f"{name}: {function} calls into another file"
