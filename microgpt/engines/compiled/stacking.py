"""How plain lists become symbolic lists: their items must be alike.

Scalars that lie one step apart in a family, such as those of a row, are one piece of it at an index. Other scalars,
such as those that a loop has gathered, become a family of their own, a LIST in the record. Lists of lists are stacked
from the innermost.
"""

import math
from itertools import pairwise
from numbers import Real
from typing import Any

from microgpt.engines.compiled.lists import NESTED, Chosen, Lazy, RecordedList, check_all, holds_lists, is_symbolic
from microgpt.engines.compiled.record import (
    FLOATS,
    LIST,
    Axis,
    Index,
    NotTraceable,
    Record,
    RecordedInteger,
    RecordedScalar,
    RecordingError,
    at,
    calling_line,
    new,
    union,
)

FEW_MIXED = 32  # numbers and scalars; a longer list of both is a table that is being filled, and will be another one
FEWER = 2  # of the one or the other: those with which a recurrence begins


def stacked(items: Any, record: Record) -> RecordedList | None:
    """A list as a symbolic list; None if its items are not alike."""
    kind = type(items)
    if kind is RecordedList:
        items.check()
        if items.plain is None:
            return items
        if record.loops.frames:
            check_all(items.plain, items)
        with record.loops.unnoted():  # that it is read is noted, so its parts need not be
            found = stack(items.plain, record)
        return None if found is None else items.seen_as(found)
    if kind is Lazy:  # not used up by being looked at
        return None if items.runs_code else items.look()
    if kind is range:
        if len(items) == 0:
            return None
        axis = Axis(len(items))
        return RecordedList(record, axis, at(axis) * items.step + items.start)
    if kind is list or kind is tuple:
        found = stack(items, record)
        if found is None or not holds_lists(found.item):
            return found
        return RecordedList.written_out(record, [*items]).seen_as(found)
    return None


def must_stack(items: Any, record: Record) -> RecordedList:
    """A list as a symbolic list; its numbers become scalars outside of all loops. Raises NotTraceable within them."""
    found = stacked(items, record)
    if found is None and record.loops.depth:
        raise NotTraceable
    return stack_scalars([record.scalar(item) for item in items], record) if found is None else found


def stack_choices(items: Any, record: Record) -> RecordedList:
    """Scalars, or rows of one length, as a list to choose from. Raises RecordingError for anything else."""
    if type(items) not in (RecordedList, list, tuple):
        raise needed("a list", f"a {type(items).__name__}")
    if is_symbolic(items) and all_scalars(items):
        items.check()
        return items
    entries = list(iter(items))
    if not entries:
        raise needed("something", "an empty list")
    are_rows = {isinstance(entry, (list, tuple)) for entry in entries}
    if are_rows == {True, False}:
        raise needed("scalars or rows, not both", "a list of both")
    lengths = {len(entry) for entry in entries} if True in are_rows else set()
    if len(lengths) > 1:
        raise needed("rows of the same length", f"rows of {' and '.join(map(str, sorted(lengths)))}")
    for entry in entries:
        if not isinstance(entry, (list, tuple, Real, RecordedScalar, RecordedInteger)):
            raise needed("scalars or rows", f"a {type(entry).__name__} {entry!r:.80}")
    entries = [stack_choices(entry, record) if lengths else record.scalar(entry) for entry in entries]
    found = stack(entries, record)
    if found is None:
        raise needed("scalars, or rows of scalars,", "rows that are not alike")
    return found


def needed(what: str, found: str) -> RecordingError:
    """The error for a list that an integer of the example cannot choose from."""
    return RecordingError(
        f"pick at {calling_line()} needs {what} to choose from, found {found}: an integer of the example can only "
        "choose among what is alike"
    )


def all_scalars(items: RecordedList) -> bool:
    """Whether a symbolic list holds scalars, or symbolic lists of them."""
    return type(items.item) is RecordedScalar or (is_symbolic(items.item) and all_scalars(items.item))


def as_chosen(chosen: Any, items: Any, by: str = "an integer of the example") -> Any:
    """An item that an integer, or a scalar, chose from a list: a row remembers from which."""
    if type(chosen) is RecordedList:
        if type(items) is RecordedList and (items.view or items.owner is not None):
            chosen.view = chosen.record.loops.depth > 0
        chosen.chosen_from = Chosen(items, by)
    return chosen


def stack(items: Any, record: Record) -> RecordedList | None:
    """A plain list as a symbolic one, if its items are alike: scalars, lists of one length, or equal numbers."""
    if not items:
        return None
    if record.loops.frames and record.loops.noting:
        check_all(items)
    key = tuple(map(id, items))
    seen = record.seen_lists.get(key)
    if seen is not None and are_settled(items):
        return seen[1]
    rows, found = len(record), stack_anew(items, record)
    if are_settled(items):
        kept = list(items)  # so that no other object gets their identities
        record.seen_lists[key] = len(record), found, kept
        node = -1 if found is None or type(found.item) is not RecordedScalar else found.item.node
        if node >= rows and record.kind[node] == LIST:  # a new one
            record.gathered[node] = kept
    return found


def are_settled(items: Any) -> bool:
    """Whether no item ever changes, or it would become plain first."""
    return NESTED.isdisjoint(map(type, items)) or all(map(is_settled, items))


def is_settled(item: Any) -> bool:
    kind = type(item)
    if kind is RecordedList:
        return item.plain is None and item.chosen_from is None and not item.changed
    return kind is not list and (kind is not tuple or are_settled(item))


def stack_anew(items: Any, record: Record) -> RecordedList | None:
    """The same without a look at lists that were stacked before. Each kind of item has its own rule."""
    kinds = set(map(type, items))
    numbers = sum([type(item) in FLOATS for item in items]) if kinds <= {RecordedScalar, float, int} else 0
    mixed = numbers and (len(items) <= FEW_MIXED or min(numbers, len(items) - numbers) <= FEWER)
    if len(kinds) > 1 and mixed and all([is_exact(item) for item in items if type(item) in FLOATS]):
        return stack_scalars([record.scalar(item) for item in items], record)
    if len(kinds) > 1 and not kinds <= {RecordedList, list, tuple}:
        return None
    kind = type(items[0])
    if kind is RecordedScalar:
        return stack_scalars(items, record)
    if kind in (RecordedList, list, tuple):
        if len({len(item) for item in items}) != 1 or not len(items[0]):
            return None
        inner = [stacked(item, record) for item in items]
        axis = Axis(len(items[0]), any(one is not None and one.axis.ragged for one in inner))
        together = None
        if None not in inner:
            rows = [one.at(at(axis)) for one in inner if one is not None]
            if all([type(item) in (list, tuple) and {*map(type, item)} == {float} for item in items]):
                rows = [record.scalar(row) for row in rows]  # of a table of plain numbers, some of them equal
            together = stack(rows, record)
        if together is None:
            return None
        return RecordedList(record, together.axis, RecordedList(record, axis, together.item))
    if kind is RecordedInteger:
        places = [item.place for item in items]
        step = places[1] - places[0] if len(places) > 1 else 0
        if any(type(place) is not int for place in places) or any(b - a != step for a, b in pairwise(places)):
            return None
        axis = Axis(len(items))
        return RecordedList(record, axis, RecordedInteger(record, at(axis) * step + places[0]))
    if kind in (int, float, str, bool, type(None)) and all(item == items[0] for item in items):
        return RecordedList(record, Axis(len(items)), items[0])
    if kind is float and all(map(math.isfinite, items)):
        return stack_scalars([record.scalar(item) for item in items], record)
    return None


def is_exact(number: float) -> bool:
    """Whether a plain number is finite, and the same as a float."""
    return math.isfinite(number) if type(number) is float else abs(number) <= 2**53


def stack_scalars(items: list[RecordedScalar], record: Record) -> RecordedList:
    """Scalars as a symbolic list. Items that lie one step apart in a family are one piece of it."""
    pieces: list[list[RecordedScalar]] = []
    steps: list[tuple[int, int] | None] = []  # which index of neighbours differs, and by how much
    for item in items:
        if pieces:
            step = difference(pieces[-1][-1], item)
            if step is not None and (steps[-1] is None or steps[-1] == step):
                pieces[-1].append(item)
                steps[-1] = step
                continue
        pieces.append([item])
        steps.append(None)
    axis = Axis(len(items), ragged=all(len(piece) == 1 for piece in pieces))
    parts = [
        piece_of(piece, step, axis if len(pieces) == 1 else None) for piece, step in zip(pieces, steps, strict=True)
    ]
    if len(pieces) == 1 and steps[0] is not None:
        axis.ragged = False
        return RecordedList(record, axis, parts[0][0])
    axes: tuple[Axis, ...] = (axis,)
    items_of_list = []
    for (part, own), piece in zip(parts, pieces, strict=True):
        items_of_list.append((record.row_of(part), own, len(piece)))
        axes = union(axes, tuple(a for a in part.free if a is not own))
    record.lists.append(items_of_list)
    return RecordedList(record, axis, record.add_family(LIST, 0, len(record.lists) - 1, axes))


def piece_of(
    piece: list[RecordedScalar], step: tuple[int, int] | None, axis: Axis | None
) -> tuple[RecordedScalar, Axis | None]:
    """Neighbours as one scalar with an axis, and that axis; a single scalar as it is, and None."""
    first = piece[0]
    if step is None:
        return first, None
    place, by = step
    axis = axis or Axis(len(piece))
    scalar = new(RecordedScalar)
    scalar.record, scalar.row, scalar.node = first.record, -1, first.node
    scalar.index = (*first.index[:place], at(axis) * by + first.index[place], *first.index[place + 1 :])
    scalar.free = union(first.free, (axis,))
    return scalar, axis


def difference(a: RecordedScalar, b: RecordedScalar) -> tuple[int, int] | None:
    """The one index in which two scalars of a family differ, and by how much; None for any others."""
    if a.node != b.node or not a.index:
        return None
    found = None
    for place, (i, j) in enumerate(zip(a.index, b.index, strict=True)):
        if i is j:
            continue
        if type(i) is Index or type(j) is Index:
            if type(i) is Index and type(j) is Index and i.constant == j.constant and i.terms == j.terms:
                continue
            return None
        if i != j:
            if found is not None:
                return None
            found = place, j - i
    return found
