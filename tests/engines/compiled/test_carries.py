"""Loops that carry a state from turn to turn."""

import numpy as np
import pytest
from loops import LOOPS

from microgpt.engines.compiled.listing import listing
from microgpt.engines.compiled.recorded_numbers import numbers_of
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.trees import leaves_of, map_arrays


@pytest.mark.parametrize("name", LOOPS)
def test_numbers_of_a_record_follow_its_turns(name):
    function, params, (x, *_) = LOOPS[name]
    record = record_function(function, map_arrays(np.shape, params), [("x", "float", x.shape)])
    flat = np.concatenate([np.ravel(leaf) for leaf in leaves_of(params)])
    row, index = record.outputs[0]
    found = numbers_of(record, flat, np.zeros(0, np.int64), x.ravel())[row][index]
    numbers = map_arrays(lambda array: array.tolist(), params)
    assert abs(found - function(numbers, x.tolist())) < 1e-12


def test_the_listing_shows_loops_as_loops():
    lines = [line[4:20].rstrip() for line in listing(*LOOPS["loop in a loop"]).splitlines()]
    first = lines.index("for t < 6:")
    assert lines[first + 1 : first + 3] == ["  copy", "  for s < 3:"]
    inside = [line for line in lines[first:] if line.startswith("    ")]
    assert "    exp" in inside
    assert not any(line.startswith(" ") for line in lines[first + 3 + len(inside) + 1 :])
