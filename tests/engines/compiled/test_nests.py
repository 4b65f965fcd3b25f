"""The loop nests of a program, and what a nest knows of itself.

`python tests/engines/compiled/test_nests.py` writes nests_of_a_gpt.txt anew.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from microgpt.engines.compiled.expressions import CELLS, GRADIENTS, INTEGERS, PARAMETERS, Expression, Load, Table
from microgpt.engines.compiled.listing import described, program_with_sources
from microgpt.engines.compiled.nest import BATCH, Array, Bound, Nest, Part, cut, delinearize, is_zero_beyond, squeezed
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.parameters import initial_parameters

WRITTEN = Path(__file__).with_name("nests_of_a_gpt.txt")


def nests_of_a_gpt() -> str:
    """All nests of the default GPT for names, with names: x of results, d of cotangents, by the instruction."""
    config = GPTConfig(vocab_size=27, n_positions=16, n_embd=32, n_layer=1, n_head=4)
    parameters = initial_parameters(config, 0)
    arguments = np.zeros((1, 17), int), np.ones((1, 16), np.float32)
    program = program_with_sources(partial(loss, config=config), parameters, *arguments)
    nests, groups = program.nests, program.groups
    number = {nests.made[nest.instruction]: i for i, nest in reversed(list(enumerate(nests.forward)))}
    cells = {0: "weights", nests.seed: "d loss"}
    cells |= {groups.arrays[array].start: f"x{i}" for array, i in number.items()}
    cells |= {cotangent.start: f"d{number[array]}" for array, cotangent in nests.cotangents.items()}
    starts = np.cumsum([0, *(array.size for array in parameters.values())]).tolist()
    weights = dict(zip(starts, parameters, strict=False))
    gradients = {start: f"d {name}" for start, name in weights.items()}
    names = {CELLS: cells, PARAMETERS: weights, GRADIENTS: gradients, INTEGERS: {0: "tokens"}}

    def name(space: str, start: int) -> tuple[str, int]:
        first = max(one for one in names[space] if one <= start)
        return names[space][first], start - first

    lines = []
    for nest, line in zip(nests.forward, described(program), strict=True):
        lines += ["", f"# {line.operation} [{line.axes}]  {line.code}", nest.text(name)]
    lines += ["", "", "# backward"]
    for nest in nests.backward:
        lines += ["", nest.text(name)]
    return "\n".join(lines).lstrip() + "\n"


def test_a_gpt_has_the_nests_written_down():
    assert nests_of_a_gpt() == WRITTEN.read_text(encoding="utf-8")


def of(space, start, *strides, **more):
    return Load(space, start, strides, **more)


def loaded(load):
    return Expression("load", (), load)


MAP = Nest(
    (16, 96, 32),
    (None,) * 3,
    of(CELLS, 600, 1, 16, 0),
    loaded(of(PARAMETERS, 0, 0, 1, 96)) * loaded(of(CELLS, 0, 1, 0, 16)),
)


def test_a_nest_knows_its_matrix_product():
    product = MAP.product()
    assert (product.rows, product.columns, product.terms, product.outer) == ({1}, {BATCH, 0}, {2}, set())
    twice = Nest(MAP.lengths, MAP.bounds, MAP.target, MAP.expression * 2.0).product()
    assert (twice.factor, twice.a) == (2.0, product.a)


def test_a_sum_of_squares_is_no_matrix_product():
    square = loaded(of(CELLS, 0, 1, 16)) * loaded(of(CELLS, 0, 1, 16))
    assert Nest((16, 32), (None, None), of(CELLS, 600, 1, 0), square).product() is None


def test_a_nest_reads_as_a_line():
    assert str(MAP) == "i < 16, j < 96: x[16 j + i + 600] = sum over k < 32: p[96 k + j]·x[16 k + i]"
    chosen = of(PARAMETERS, 7, 0, 1, chooser=of(INTEGERS, 3, 1, 0), step=32, choices=27)
    assert str(Nest((4, 32), (None, None), of(CELLS, 0, 32, 1), loaded(chosen))) == (
        "i < 4, j < 32: x[32 i + j] = p[j + 32 i[i + 3] + 7]"
    )
    bounded = Nest((4, 4), (None, Bound(0, 1, 1)), of(CELLS, 0, 1, 0), loaded(of(CELLS, 9, 4, 1)), True)
    assert str(bounded) == "i < 4: x[i] += sum over j < i + 1: x[4 i + j + 9]"


def test_delinearize_tells_how_axes_walk_through_an_array():
    array = Array(100, (4, 16, 8), (128, 1, 16))  # heads, positions, channels
    found = delinearize(of(CELLS, 100 + 16, 1, 16), (16, 7), array)
    assert found == ([0, 0, 1], [[Part(1, 1, 16)], [Part(2, 1, 7)]])
    across = delinearize(of(CELLS, 100, 1, 16), (16, 32), array)  # all channels of all heads
    assert across == ([0, 0, 0], [[Part(1, 1, 16)], [Part(2, 1, 8), Part(0, 1, 4)]])


@pytest.mark.parametrize(
    ("load", "lengths"),
    [
        (of(CELLS, 100 + 9, 16), (8,)),  # it runs over the end of a row
        (of(CELLS, 100, 17), (4,)),  # a diagonal
        (of(CELLS, 115, -1), (16,)),
        (of(CELLS, 0, 0, table=Table(np.array([100, 107]))), (2,)),
        (of(CELLS, 100, 1, 1), (16, 2)),  # windows that leave the array
    ],
)
def test_what_lies_in_no_grid_is_not_delinearized(load, lengths):
    assert delinearize(load, lengths, Array(100, (8, 16), (16, 1))) is None or load.strides == (16,)


def test_an_array_is_zero_beyond_its_bounds():
    array = Array(0, (16, 16), (16, 1), (None, Bound(0, 1, 1)))
    rows, columns = of(CELLS, 0, 16, 1), of(CELLS, 0, 1, 16)

    def nest(bound):
        return Nest((16, 16), (None, bound), of(CELLS, 300, 1, 0), loaded(rows))

    assert is_zero_beyond(rows, nest(Bound(0, 1, 1)), array)
    assert not is_zero_beyond(rows, nest(Bound(0, 0, 1)), array)
    assert not is_zero_beyond(columns, nest(Bound(0, 1, 1)), array)
    assert not is_zero_beyond(rows, nest(Bound(0, 1, 1)), Array(0, (16, 16), (16, 1)))


def test_axes_are_cut_and_dropped_without_a_change():
    shorter = squeezed(Nest((1, 32), (None, None), of(CELLS, 5, 9, 2), loaded(of(CELLS, 0, 7, 1))), {})
    assert str(shorter) == "i < 32: x[2 i + 5] = x[i]"
    assert str(cut(shorter, 0, 8, {})) == "i < 4, j < 8: x[16 i + 2 j + 5] = x[8 i + j]"


if __name__ == "__main__":
    WRITTEN.write_text(nests_of_a_gpt(), encoding="utf-8")
