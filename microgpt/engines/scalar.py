"""The engine "scalar": a function of one example runs on Values, operation by operation. It is the definition."""

from collections.abc import Callable
from numbers import Real
from operator import attrgetter, is_not
from typing import Any

import numpy as np

from microgpt.engines.collector import collector_paused
from microgpt.engines.trees import (
    check_form,
    check_returned,
    checked_parameters,
    checked_result,
    in_new_lists,
    map_arrays,
    map_numbers,
    precision,
    rows,
    stacked,
)
from microgpt.value import Value

get_grad = attrgetter("grad")
CALLS_BACKWARD = (
    "the loss calls backward() or sets the grad of a parameter, which would mix two gradients: return the loss alone; "
    "for a derivative within a loss see docs/library.md, derivatives of derivatives"
)
CHANGES_DATA = (
    "the loss changes the data of a parameter, which later examples would see: "
    "calculate with params[...] and return the loss alone"
)


class ScalarEngine:
    """A function of one example, run on Values or, without gradients, on plain floats."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def value_and_grad(self, params: Any, *arguments: Any) -> tuple[float, Any]:
        """The mean loss and its gradients: see `microgpt.value_and_grad`."""
        examples, arrays = rows(arguments), checked_parameters(params)
        values = map_arrays(lambda array: map_numbers(Value, array.tolist()), arrays)
        leaves: list[Value] = []
        map_arrays(lambda _, of_array: map_numbers(leaves.append, of_array), arrays, values)
        data, grads = [leaf.data for leaf in leaves], list(map(get_grad, leaves))
        total = 0.0
        with collector_paused():
            for example in examples:
                result = self.function(in_new_lists(arrays, values), *example)
                if any(map(is_not, map(get_grad, leaves), grads)):  # other objects, even if the numbers are the same
                    raise TypeError(CALLS_BACKWARD)
                if isinstance(result, Value):
                    result.backward()
                    result = result.data
                total += checked_result(result)
                grads = list(map(get_grad, leaves))
        if any([leaf.data is not number for leaf, number in zip(leaves, data, strict=True)]):
            raise TypeError(CHANGES_DATA)
        gradients = map_arrays(
            lambda array, of_array: np.array(map_numbers(lambda v: v.grad / len(examples), of_array), array.dtype),
            arrays,
            values,
        )
        return total / len(examples), gradients

    def evaluate(self, params: Any, *arguments: Any) -> Any:
        """The results of all examples as arrays: see `microgpt.evaluate`."""
        arrays = checked_parameters(params)
        numbers = map_arrays(lambda array: array.tolist(), arrays)
        found = [self.function(in_new_lists(arrays, numbers), *example) for example in rows(arguments)]
        for result in found:
            check_returned(result)
            check_form(result, Real)
        return stacked(found, precision(arrays))

    def summary(self) -> str:
        """How the function is run, in a line."""
        return "the function runs as it stands, one operation on single numbers after the other"
