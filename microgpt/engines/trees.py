"""What engines are given and give back: nestings of arrays, the same for all of them, checked before anything runs."""

import inspect
import operator
from collections.abc import Callable
from ctypes import addressof, c_char
from numbers import Real
from typing import Any

import numpy as np

from microgpt.errors import InputError


def map_numbers(function: Callable[[Any], Any], numbers: Any) -> Any:
    """The same nesting of lists with the function applied to every number in it."""
    return [map_numbers(function, n) for n in numbers] if isinstance(numbers, list) else function(numbers)


def map_arrays(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same nesting of dicts and lists with the function applied to every array, and to what others have there."""
    if isinstance(tree, dict):
        return {key: map_arrays(function, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, (list, tuple)):
        return [map_arrays(function, *entries) for entries in zip(tree, *others, strict=True)]
    return function(tree, *others)


def leaves_of(tree: Any) -> list[Any]:
    """All arrays in a nesting of dicts and lists, in order."""
    found: list[Any] = []
    map_arrays(found.append, tree)
    return found


def vector_of(tree: Any) -> np.ndarray:
    """All numbers in a nesting as one vector, which `unflatten` makes arrays again."""
    return np.concatenate([np.zeros(0), *map(np.ravel, leaves_of(tree))])


def unflatten(vector: np.ndarray, tree: Any) -> Any:
    """A flat vector as arrays in the nesting, shapes and dtypes of a tree."""
    parts = iter(np.split(vector, np.cumsum([np.size(leaf) for leaf in leaves_of(tree)])))
    return map_arrays(lambda leaf: next(parts).reshape(np.shape(leaf)).astype(np.asarray(leaf).dtype, copy=False), tree)


def in_new_lists(arrays: Any, numbers: Any) -> Any:
    """Numbers that are nested as arrays are, in new dicts and lists: what one example changes in them no other sees."""
    return map_arrays(lambda array, of_array: _copied(of_array, array.ndim), arrays, numbers)


def _copied(numbers: Any, axes: int) -> Any:
    """Lists of lists of numbers, so many axes deep, as new lists of the same numbers."""
    return [_copied(row, axes - 1) for row in numbers] if axes > 1 else numbers.copy() if axes else numbers


def checked_parameters(params: Any, name: str = "params") -> Any:
    """The nesting with every parameter as a float array. Raises TypeError for one that is none, naming it."""
    if isinstance(params, dict):
        return {key: checked_parameters(entry, f"{name}[{key!r}]") for key, entry in params.items()}
    if isinstance(params, (list, tuple)):
        return [checked_parameters(entry, f"{name}[{i}]") for i, entry in enumerate(params)]
    array = np.asarray(params)
    if array.dtype not in (np.float32, np.float64):
        order = "" if array.dtype.isnative else " in the byte order of this machine"
        raise TypeError(
            f"{name} is of type {type(params).__name__} with dtype {array.dtype}: "
            f"expected an array of float32 or float64{order}, or a dict or list of such"
        )
    return array


def checked_arguments(arguments: tuple[Any, ...]) -> list[np.ndarray]:
    """The arguments as integer or float arrays with one common batch axis. Raises TypeError or InputError if not."""
    arrays = []
    for i, argument in enumerate(arguments):
        try:
            array = np.asarray(argument)
        except ValueError:
            raise InputError(f"argument {i + 1} after params is no array: it has lists of different lengths") from None
        arrays.append(array)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"argument {i + 1} after params has dtype {array.dtype}: expected integers or floats")
        if array.ndim == 0 or len(array) == 0 or len(array) != len(arrays[0]):
            raise InputError(
                f"argument {i + 1} after params has shape {array.shape}: expected a first axis, the batch, "
                f"as long as that of all others (argument 1 has shape {arrays[0].shape}) and not empty"
            )
    return arrays


def rows(arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The examples of a batch, each a tuple of plain numbers or nested lists; one empty one without arguments."""
    if not arguments:
        return [()]
    return list(zip(*(array.tolist() for array in checked_arguments(arguments)), strict=True))


def check_returned(result: Any, name: str = "function") -> None:
    """Raise TypeError for a function that returned nothing."""
    if result is None:
        raise TypeError(f"the {name} returned None: is `return` missing?")


def checked_result(result: Any) -> float:
    """The result of a loss as a float. Raises TypeError if it is not a scalar."""
    check_returned(result, "loss")
    if not isinstance(result, Real):
        raise TypeError(f"the loss returned a {type(result).__name__}: expected a single scalar")
    return float(result)


def check_form(result: Any, scalar: type) -> None:
    """Raise TypeError, naming it, for what is neither a scalar of this type nor lists of them, in tuples and dicts."""
    if isinstance(result, (dict, tuple)):
        for entry in result.values() if isinstance(result, dict) else result:
            check_form(entry, scalar)
    else:
        shape_of(result, scalar)


def shape_of(result: Any, scalar: type, found_in: str = "") -> tuple[int, ...]:
    """The shape of nested lists of scalars. Raises TypeError if they hold anything else, or are not of one length."""
    if isinstance(result, scalar):
        return ()
    if not isinstance(result, (list, tuple)):
        kind = type(result).__name__
        raise TypeError(f"the function returned a {kind}{found_in}: expected a scalar, or lists of scalars")
    shapes = {shape_of(entry, scalar, " in a list") for entry in result}
    if len(shapes) > 1:
        raise TypeError(
            "the function returned a list of items of different shapes: expected lists of one length, or a tuple"
        )
    return (len(result), *next(iter(shapes), ()))


def precision(params: Any) -> np.dtype[Any]:
    """What all parameters can be in without loss: float32, or float64 if one of them or none is there."""
    return np.result_type(*[leaf.dtype for leaf in leaves_of(params)] or [np.float64])


def stacked(results: list[Any], dtype: Any) -> Any:
    """The results of all examples as arrays with the batch as first axis, in the form of one result."""
    if isinstance(results[0], dict):
        return {key: stacked([result[key] for result in results], dtype) for key in results[0]}
    if isinstance(results[0], tuple):
        return tuple(stacked(list(entries), dtype) for entries in zip(*results, strict=True))
    with np.errstate(over="ignore"):  # in float32
        return np.array(results, dtype)


def address(array: np.ndarray) -> int:
    """Where the numbers of an array begin in memory."""
    try:
        return addressof(c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # it is read-only, empty, or not contiguous: what follows takes longer
        return int(array.__array_interface__["data"][0])


def aligned(size: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros that begin where a vector register's worth of memory begins."""
    array = np.zeros(size + 64, dtype)
    skipped = -address(array) % 256 // dtype.itemsize
    return array[skipped : skipped + size]


def check_array(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: Any, written: bool = False) -> None:
    """Check an array whose address goes into machine code, which can check nothing itself.

    Raises InputError, naming the array, unless it has this shape and dtype, is contiguous and aligned, and can be
    written to if it is `written`.
    """
    flags = array.flags
    if array.shape != shape or array.dtype != dtype:
        raise InputError(f"{name} has shape {array.shape} and dtype {array.dtype}: expected {shape} and {dtype}")
    if not (flags.c_contiguous and flags.aligned):
        raise InputError(f"{name} is not contiguous and aligned in memory: give a copy, np.array({name})")
    if written and not flags.writeable:
        raise InputError(f"{name} is read-only, but is to be changed in place: give a copy, np.array({name})")


def one_vector(arrays: list[np.ndarray]) -> np.ndarray | None:
    """The flat vector of which these arrays are views, one after the other; None if there is none."""
    base = arrays[0].base if arrays else None
    if not isinstance(base, np.ndarray) or base.ndim != 1 or not (base.flags.c_contiguous and base.flags.aligned):
        return None
    start = place = address(arrays[0])
    for array in arrays:
        if (
            array.base is not base
            or array.dtype != base.dtype
            or not array.flags.c_contiguous
            or address(array) != place
        ):
            return None
        place += array.nbytes
    first, end = ((at - address(base)) // base.itemsize for at in (start, place))
    return base if end - first == base.size else base[first:end]


class FlatParameters:
    """The parameters of a call as one flat vector: without a copy, if they are views of one already."""

    def __init__(self, params: Any):
        self.names = list(params) if type(params) is dict else None
        self.leaves = [np.asarray(leaf) for leaf in leaves_of(params)]
        self.structure = repr(map_arrays(np.shape, params))  # as a key
        dtype = self.leaves[0].dtype if self.leaves else np.dtype(np.float64)
        if dtype not in (np.float32, np.float64) or not all(leaf.dtype == dtype for leaf in self.leaves):
            checked_parameters(params)  # names it, if one is not of floats
            dtype = np.result_type(*[leaf.dtype for leaf in self.leaves])
        self.dtype = dtype
        self.whole = one_vector(self.leaves)
        ends = np.cumsum([leaf.size for leaf in self.leaves]).tolist()
        self.shapes = [leaf.shape for leaf in self.leaves]
        self.parts = [(slice(end - leaf.size, end), leaf.shape) for leaf, end in zip(self.leaves, ends, strict=True)]
        self.flat = self.names is not None and all(
            type(params[name]) is np.ndarray and params[name].dtype == dtype for name in self.names
        )

    def are(self, params: Any) -> bool:
        """Whether these are the same arrays under the same names."""
        return (
            self.flat and type(params) is dict and len(params) == len(self.leaves)
            and all(map(operator.is_, params.values(), self.leaves)) and list(params) == self.names
            and [leaf.shape for leaf in self.leaves] == self.shapes
        )  # fmt: skip

    def vector(self) -> np.ndarray:
        if self.whole is not None:
            return self.whole
        if not self.leaves:
            return np.zeros(0)
        return np.concatenate([leaf.ravel() for leaf in self.leaves], dtype=self.dtype)

    def like(self, params: Any, vector: np.ndarray) -> Any:
        """A flat vector as arrays in the nesting, shapes and dtypes of the parameters."""
        if self.flat and self.names is not None:
            return {
                name: vector[part].reshape(shape) for name, (part, shape) in zip(self.names, self.parts, strict=True)
            }
        return unflatten(vector, params)


def argument_names(function: Callable[..., Any], count: int) -> list[str]:
    """What the function calls its arguments after the parameters."""
    try:
        names = list(inspect.signature(function).parameters)[1 : count + 1]
    except (TypeError, ValueError):
        names = []
    return names + [f"argument {i + 1}" for i in range(len(names), count)]
