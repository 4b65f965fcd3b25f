"""Loops that carry a state, recorded as such."""

from typing import Any

from microgpt.engines.compiled.lists import RecordedList
from microgpt.engines.compiled.record import Axis, Record, at
from microgpt.engines.compiled.recording import REPLACEMENTS, call
from microgpt.engines.compiled.stacking import must_stack


class Turns:
    """turns(n, state, body): the state after n turns of `state = body(t, state)`.

    With `outputs`, the body returns the state and an output, and the list of these comes back, too.
    """

    def __call__(self, n: int, state: Any, body: Any, outputs: bool = False) -> Any:
        found = []
        for t in range(n):
            state = body(t, state)
            if outputs:
                state, output = state
                found.append(output)
        return (state, found) if outputs else state


turns = Turns()


def recorded_turns(n: int, state: Any, body: Any, outputs: bool = False) -> Any:
    record: Any = Record.current
    axis, start, mark = Axis(n), lifted(state, record), record.mark()
    result, output, missing = traced(axis, start, body, outputs, ())
    if missing:  # axes around the loop
        record.take_back(mark)
        result, output, _ = traced(axis, start, body, outputs, missing)
    last = each(lambda x, _: x.read_at(axis, n - 1), result)
    return (last, RecordedList(record, axis, output)) if outputs else last


def traced(axis: Axis, start: Any, body: Any, outputs: bool, others: tuple[Axis, ...]) -> tuple[Any, Any, Any]:
    """The state after a turn, its output, and the axes that this state has and the one at its start has not."""
    record: Any = Record.current
    loops, annotated, carries, followings = record.loops, record.annotated, list[Any](), list[Any]()
    loops.depth, loops.times, record.annotated = loops.depth + 1, loops.times * axis.n, True

    def carry(initial: Any, inner: tuple[Axis, ...]) -> Any:
        carries.append(record.carry(initial, axis, (*inner, *others)))
        return carries[-1]

    result = call(body, at(axis), each(carry, start))
    result, output = result if outputs else (result, None)
    result = like(lifted(result, record), start)
    each(lambda x, _: followings.append(x), result)
    missing = tuple({a for c, f in zip(carries, followings, strict=True) for a in f.free if a not in c.free})
    if not missing:
        for one, following in zip(carries, followings, strict=True):
            record.carried(one, following)
    loops.depth, loops.times, record.annotated = loops.depth - 1, loops.times // axis.n, annotated
    return result, output, missing


def lifted(item: Any, record: Record) -> Any:
    """Lists as symbolic ones, numbers as scalars."""
    if type(item) is tuple:
        return tuple(lifted(one, record) for one in item)
    if isinstance(item, list):
        found = must_stack(item, record)
        return found.with_item(lifted(found.item, record))
    return record.scalar(item)


def like(item: Any, other: Any) -> Any:
    """A state with the axes of another one."""
    if type(item) is tuple:
        return tuple(map(like, item, other))
    if type(item) is RecordedList:
        return other.with_item(like(item.at(at(other.axis)), other.item))
    return item


def each(function: Any, item: Any, axes: tuple[Axis, ...] = ()) -> Any:
    """A state with a function of its scalars and the axes around them in place of these."""
    if type(item) is tuple:
        return tuple(each(function, one, axes) for one in item)
    if type(item) is RecordedList:
        return item.with_item(each(function, item.item, (*axes, item.axis)))
    return function(item, axes)


REPLACEMENTS[turns] = recorded_turns
