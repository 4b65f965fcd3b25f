"""`for` statements that are read as one line about all turns, as comprehensions are.

A turn is a function of its item and of the variables that the body assigns. It runs once, on an item that stands for
all, and what it does is found out afterwards:

- A variable that only grows by what is added to it is a sum over the axis of the loop.
- A variable that a turn reads and then sets carries state from turn to turn (see `Record.carry`).
- A list gets an item in each turn (`append`), or the item at the index of the turn (`x[i] = ...`): it becomes symbolic.
- A list of which each turn changes the same item carries state, too.

A test by the index splits the loop into parts, each of which is one line (`Split`). One by the indices of two loops is
a choice, as one by a scalar is (`IndexTest`). Where that cannot be, it splits the inner loop at an index of the outer.

Where two turns would meet in another way, `NotTraceable` is raised, and the loop runs in Python. `Frame` notes what the
body reads and changes of lists that were there before.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice, permutations
from typing import Any, NamedTuple

from microgpt.engines.compiled.branches import HELPER
from microgpt.engines.compiled.frames import (
    ANY,
    Entry,
    Frame,
    Itself,
    Longer,
    MoreAttributes,
    MorePast,
    MoreRows,
    MoreState,
    Range,
    Refused,
    Spread,
    Store,
    Unknown,
    all_in,
    at_turn,
    axes_of,
    freeze,
    holds_rows,
    is_zero,
    levels_of,
    lists_within,
    prefix_of,
    put,
    ranged,
    related,
    there,
)
from microgpt.engines.compiled.kinds import check_kinds
from microgpt.engines.compiled.lists import Chosen, Lazy, RecordedList, contents, read_at, same_contents
from microgpt.engines.compiled.nodes import connected
from microgpt.engines.compiled.objects import (
    has_parts,
    is_fixed,
    is_object,
    is_plain,
    is_tuple,
    may_stay,
    names_of,
    originals,
    parts_of,
    with_parts,
)
from microgpt.engines.compiled.record import (
    ADD,
    CARRY,
    CONSTANT,
    SUM,
    VIEW,
    Axis,
    Index,
    Lost,
    NotTraceable,
    Record,
    RecordedInteger,
    RecordedScalar,
    RecordingError,
    Split,
    Stripes,
    at,
    compared,
    replaced,
    untested,
)
from microgpt.engines.compiled.stacking import stacked

FEW_PARTS = 6  # into which a loop is split at most
PASSES = 64  # over a body, each of which finds one more list or attribute that carries state
FEW_TURNS = 5  # through which a loop carries state in Python
MANY_OBJECTS = 8  # each within the one before
PARTED = object()


class Short(NotTraceable):
    """A loop carries state through so few turns that these are better written out."""


class MoreAxes(NotTraceable):
    """What carries state turned out to depend on axes of loops around this one."""

    def __init__(self, axes: set[Axis]):
        super().__init__()
        self.axes = axes


class Counts(NotTraceable):
    """An attribute or an entry of a dict turned out to count the turns."""

    def __init__(self, attribute: int, step: int):
        super().__init__()
        self.attribute, self.step = attribute, step


class RowsAreObjects(NotTraceable):
    """A turn reads or replaces lists in a list that carries state, each as the object that it is."""


class BoundedStore(NotTraceable):
    """A loop whose length depends on another one stores an item in each turn."""


class MayBeRead(NotTraceable):
    """A turn leaves something else in a variable than it finds: another length, string or integer of the example."""

    def __init__(self, variable: int):
        super().__init__()
        self.variable = variable


class LastTurn:
    """What the variables are after a turn that ends the loop."""

    def __init__(self, values: tuple[Any, ...]):
        self.values = values


# Tracing a turn


class Tracing:
    """Record one turn of a loop that stands for all. Where that raises, nothing of it stays."""

    def __init__(self, record: Record, axis: Axis, statement: bool):
        self.record, self.frame = record, Frame(record, axis, statement)

    def __enter__(self) -> Frame:
        record, loops = self.record, self.record.loops
        self.mark, self.refusals = record.mark(), len(record.refusals)
        self.before = record.annotated, loops.aborted, loops.depth, loops.times
        more = loops.times * self.frame.axis.turns()
        loops.times = more.numerator if more.denominator == 1 else more
        loops.depth, loops.aborted, record.annotated = loops.depth + 1, False, True
        loops.frames.append(self.frame)
        return self.frame

    def __exit__(self, kind: Any, *_: Any) -> None:
        record, loops = self.record, self.record.loops
        error = NotTraceable() if kind is None and loops.aborted else None
        if kind is not None or error is not None:
            del record.refusals[self.refusals :]
            record.take_back(self.mark)
        loops.frames.pop()
        self.frame.restore()
        record.annotated, loops.aborted, loops.depth, loops.times = self.before
        if error is not None:
            raise error
        if kind is None:
            self.frame.leave()


def trace(
    function: Callable[[Any], Any], source: RecordedList, items: Any, record: Record, site: Any
) -> RecordedList | None:
    """The list that a body makes of all items; None, with nothing recorded, if the body is not traceable.

    Args:
        source: the items as a symbolic list.
    """
    axis = source.axis.another()
    axis.site = site
    item, rows = source.at(at(axis)), len(record)
    done = split = False
    try:
        with Tracing(record, axis, False) as frame:
            result, held = untested(function(item)), set[int]()
            check_results([result], frame.lists_made, record, held)
            note_sources(result, result, frame, held)
        done = True
    except (Split, Stripes, MoreState) as more:
        of = more.frame.axis if isinstance(more, MoreState) else more.axis
        if any(frame.axis is of for frame in record.loops.frames):  # a loop around this one
            raise
        split = type(more) is Split and of is axis and axis.n > FEW_PARTS
    except (NotTraceable, Exception):  # the Python loop raises again what is a fault of the function
        pass
    if not done:
        return by_statement(function, items, record, site) if frame.is_statement or split else None
    found = RecordedList(record, axis, result)
    found.made_anew = type(result) is RecordedScalar and axis not in result.free and result.node >= rows
    return found


def by_statement(
    function: Callable[[Any], Any], items: Any, record: Record, site: Any,
    keeps: Callable[[Any], Any] = lambda item: True,
) -> Any:  # fmt: skip
    """The list of a comprehension that changes something, or leaves out items, as a `for` that appends to it."""
    found = RecordedList.written_out(record, [])

    def turn(item: Any) -> tuple[Any, ...]:
        if keeps(item):
            found.append(function(item))
        return ()

    return None if loop(turn, items, (), (), site) is None else found


def loop(turn: Callable[..., Any], items: Any, counters: Any, variables: Any, site: Any) -> Any:
    """The values of the variables after a loop that is read as one line; None for one that is to run in Python.

    Args:
        turn: a turn of the loop, as a function of an item and of the variables. It returns the variables.
        counters: the variables to which each turn adds the same integer, and this integer.
        variables: a function for each one, which returns its value before the loop.
    """
    record = Record.current
    if record is None or not record.loops.statements or record.loops.runs_in_python(site):
        return None
    given = items
    items = whole_of(items, record)
    source = source_of(items, record)
    if source is None or source.axis.n < 2:
        return None
    values, set_first = [], set()
    for i, variable in enumerate(variables):
        try:
            values.append(variable())
        except NameError as error:
            values.append(Unknown(site))
            if error.name == HELPER + "unset":
                set_first.add(i)
    known = set(record.loops.untraceable)
    statement = Statement(turn, source, given, dict(counters), record, site)
    statement.set_first = set_first
    found = statement.run(values)
    if found is None:
        record.loops.untraceable = known if statement.short else {*known, site}  # loops within it may be read now
        return None
    record.loops.lines.add(site)
    if type(given) is Lazy and not statement.ended:
        given.use_up()
    return found


def whole_of(items: Any, record: Record) -> Any:
    """All items of a generator, if they can be made at once; other items as they are."""
    if type(items) is not Lazy or not items.runs_code or items.whole is not None:
        return items if type(items) is not Lazy or items.whole is None else items.whole
    aborted = record.loops.aborted
    record.loops.ahead += 1
    try:
        with Tracing(record, Axis(1), False) as frame:
            found = items.look()
    except (Split, Stripes, MoreState) as more:
        if not isinstance(more, Refused) or more.frame is not frame:
            raise
        record.loops.aborted = aborted
        return items
    except (NotTraceable, Exception):  # what makes its items raises it again
        record.loops.aborted = aborted
        return items
    finally:
        record.loops.ahead -= 1
    if found is None:
        return items
    items.whole = found
    items.made_of += tuple([one.root for one in frame.reads.values()])
    return found


def got(owner: Any, name: Any, otherwise: Any) -> Any:
    """An attribute, or an entry of a dict, as the loops around have left it."""
    assert Record.current is not None
    if type(name) is Entry:
        return owner[name.key]
    for frame in reversed(Record.current.loops.frames):
        if (id(owner), name) in frame.attributes:
            return frame.attributes[id(owner), name][1]
    return getattr(owner, name, otherwise)


def set_attribute(record: Record, owner: Any, name: Any, value: Any) -> None:
    if type(value) is Unknown:
        raise NotTraceable
    if type(name) is Entry:
        if record.loops.frames:
            record.loops.frames[-1].set_entry(owner, name.key, value)
        else:
            record.effects.change(owner)
            owner[name.key] = value
    elif record.loops.frames:
        record.loops.frames[-1].set_attribute(owner, name, value)
    else:
        record.effects.set(owner, name, value)


def source_of(items: Any, record: Record) -> RecordedList | None:
    """The items of a loop as a symbolic list; None if they cannot be one."""
    aborted = record.loops.aborted
    try:
        return stacked(items, record)
    except NotTraceable:
        record.loops.aborted = aborted
        return None


def lists_behind(items: Any, index: Any) -> Iterator[tuple[RecordedList, Any]]:
    """The lists that an iterator goes through as they are when their turn comes, and which item each turn reads."""
    if type(items) is RecordedList:
        yield items, index
        for source in chosen_among(items):
            yield from [(one, None) for one in lists_within([source]) if type(one) is RecordedList]
    elif type(items) is Lazy and items.columns_of is not None:
        yield items.columns_of, None
    elif type(items) is Lazy:
        for one in items.made_of:
            yield from lists_behind(one, None if items.runs_code else index if items.in_order else ANY)
    elif type(items) in (list, tuple):
        for one in items:
            yield from lists_behind(one, None)


def chosen_among(items: Any) -> list[Any]:
    """The lists from which the example chose a list, or one within it, each of them once."""
    left, found = [items], dict[int, Any]()
    while left:
        for one in lists_within([left.pop()]):
            source = one.chosen_from.items if type(one) is RecordedList and one.chosen_from is not None else None
            if source is not None and id(source) not in found:
                found[id(source)] = source
                left.append(source)
    return list(found.values())


class Past(NamedTuple):
    """What turns before have stored in a list, each at the path at which this turn stores: how many turns back."""

    root: RecordedList
    path: tuple[Any, ...]
    level: int
    turns: int
    grows: bool  # a turn appends it

    def back(self, axis: Axis, turns: int) -> tuple[Any, ...]:
        """The path at which a turn stored, so many turns before."""
        return tuple([replaced(one, axis, at(axis) - turns) for one in self.path])

    def fits(self, store: Store) -> bool:
        """Whether something is stored at this path."""
        return store.root is self.root and store.level == self.level and same_path(store.path, self.path)


@dataclass
class Known:
    """What passes over the body of a loop have found out about it."""

    state: list[tuple[RecordedList, tuple[Any, ...], bool]] = field(default_factory=list)  # see MoreState
    attributes: list[tuple[Any, Any]] = field(default_factory=list)  # and entries of dicts, that carry state
    steps: dict[int, int] = field(default_factory=dict)  # of those that count: what each turn adds
    past: list[Past] = field(default_factory=list)
    rows: list[tuple[RecordedList, tuple[Any, ...]]] = field(default_factory=list)  # see MoreRows
    others: tuple[Axis, ...] = ()  # axes of loops around this one
    objects: bool = False  # whether lists in lists that carry state are objects when a turn begins
    unread: set[int] = field(default_factory=set)  # variables that no turn may read before it sets them
    changed: list[Any] = field(default_factory=list)  # lists and objects that variables hold, and turns change
    longer: list[Any] = field(default_factory=list)  # lists that variables hold, in the place of which longer ones come
    may_grow: bool = True  # whether these may be one that grows

    def learn(self, found: MoreState) -> None:
        """Note what turned out to carry state."""
        if isinstance(found, MoreAttributes):
            self.attributes.append((found.owner, found.name))
        elif isinstance(found, Itself):
            self.changed += originals(found.value)
        elif isinstance(found, MoreRows):
            if any(root is found.root and same_path(path, found.path) for root, path in self.rows):
                raise NotTraceable
            self.past = [one for one in self.past if one.root is not found.root]
            self.rows.append((found.root, found.path))
        elif isinstance(found, Longer):
            self.longer += originals(found.items)
        elif isinstance(found, MorePast):
            one = Past(found.root, found.path, found.level, found.turns, found.grows)
            others = [known for known in self.past if known.root is not one.root or not same_path(known.path, one.path)]
            self.past = [*others, one]
        else:
            self.state = [one for one in self.state if one[0] is not found.root or not prefix_of(found.path, one[1])]
            self.state.append((found.root, found.path, found.is_new))

    def along(self, before: Axis, now: Axis) -> None:
        """Let the paths go along another axis of the loop."""
        self.rows = [(root, tuple([replaced(part, before, at(now)) for part in path])) for root, path in self.rows]
        self.past = [
            one._replace(path=tuple([replaced(part, before, at(now)) for part in one.path])) for one in self.past
        ]


class Statement:
    """A `for` statement: a function of a turn, and the items that it goes through."""

    def __init__(
        self, turn: Callable[..., Any], source: RecordedList, items: Any, counters: dict[int, int], record: Record,
        site: Any,
    ):  # fmt: skip
        self.items, self.taken = items, 0  # for turns that run in Python: its items, and how many have been taken
        self.given, self.contents = items, contents(items)
        self.parts, self.short = 1, False
        self.ended = False  # a turn has been the last one
        self.widened = False  # it has turns that change nothing
        self.set_first: set[int] = set()  # the variables that each turn sets before it reads them
        self.left: list[tuple[Any, Any, int]] = []  # parts of the loop: the first turn, the end, how many go together
        self.turn, self.source, self.counters, self.record, self.site = turn, source, counters, record, site

    def run(self, values: list[Any]) -> list[Any] | None:
        """Run the loop part by part: as one line, or else turn by turn; None if no part of it is one line."""
        self.left, begun = [(0, self.source.axis.length(), 1)], False
        while self.left:
            first, end, together = self.left.pop()
            if begun and not same_contents(self.contents, contents(self.given)):  # the source is not what it was
                return self.in_python(first, None if type(first) is int else self.source.axis.length(), values)
            found = self.as_line(first, end, together, values)
            if found is PARTED:
                continue
            if found is None:
                if not begun and (not self.left or type(end) is Index or end - first > 1):
                    return None
                sure = self.left or type(first) is Index  # the last turns may add items
                found = self.in_python(first, end if sure else None, values)
            values, begun = found, True
            if self.ended:
                break
        return values

    def in_python(self, first: Any, end: Any, values: list[Any]) -> list[Any]:
        """The variables after some turns, one by one. Where one raises, the loop is lost: the function may catch it."""
        if self.widened:
            raise Lost({self.site})
        items = self.items_at(first, end) if Index in (type(first), type(end)) else self.items_of(first, end)
        try:
            for item in items:
                found = self.turn(item, *values)
                if type(found) is LastTurn:
                    self.ended = True
                    return [*found.values]
                values = found
        except (NotTraceable, Exception) as error:  # the first, if the bound of a `while` has changed
            if isinstance(error, RecordingError) or (isinstance(error, NotTraceable) and self.record.loops.frames):
                raise
            raise Lost({self.site}) from None
        return values

    def items_of(self, first: int, end: int | None) -> Iterator[Any]:
        """The items of some turns, each as it is when its turn comes."""
        if not self.taken:
            self.items = iter(self.items)
        skipped, self.taken = first - self.taken, end or -1
        return islice(self.items, skipped, None if end is None else skipped + end - first)

    def items_at(self, first: Any, end: Any) -> list[Any]:
        """The items of some turns that begin or end at an index of other loops, if they are equally many for all."""
        if type(end - first) is not int or type(self.given) is Lazy:
            raise Lost({self.site})
        return [self.source.at(first + i) for i in range(end - first)]

    def as_line(self, first: Any, end: Any, together: int, values: list[Any]) -> Any:
        """The variables after some turns that are one line; None if they are none, PARTED if parts of them may be."""
        size = end - first
        if type(size) is int and size // together < 2:
            return None
        if type(size) is Index and size.span()[1] < 2:
            bool(compared(size, lambda turns: turns == 0))  # it splits a loop around this one
        try:
            return self.part(first, size, together, values)
        except (Split, Stripes) as found:
            fits = type(size) is int or (type(found) is Split and not self.is_clipped())
            if found.axis is self.axis and fits and self.parts < FEW_PARTS:
                self.parts += 1
                if type(found) is Split:
                    middle = first + found.turn * together
                    self.left += [(middle, end, together), (first, middle, together)]
                elif type(found) is Stripes:
                    together *= found.turns
                    whole = first + size // together * together
                    self.left += [(whole, end, 1)] * (whole < end) + [(first, whole, together)]
                return PARTED
            if any(frame.axis is found.axis for frame in self.record.loops.frames):
                raise
            return None
        except MoreState:
            raise
        except BoundedStore:
            return self.as_line(0, self.source.axis.n, 1, values) if self.widen(first, end) else None
        except Short:
            self.short = True
            return None
        except (NotTraceable, Exception):  # the Python loop raises again what is a fault of the function
            return None

    def is_clipped(self) -> bool:
        """Whether the items end before the bound, for some of the turns of the loop around this one."""
        return self.source.axis.bound is not None and self.source.axis.length().span()[1] > self.source.axis.n

    def widen(self, first: Any, end: Any) -> bool:
        """Let a loop over a range of integers that differ go through all of them, of which some change nothing."""
        axis, item, turn, within = self.source.axis, self.source.item, self.turn, self.record.within
        whole = axis.bound is not None and is_zero(first) and is_zero(end - axis.length())
        if not whole or self.is_clipped() or type(item) is not Index or dict(item.terms).get(axis) != 1:
            return False
        low, high = item.span()
        own, start = Axis(high - low + 1), replaced(item, axis, 0)
        self.source = RecordedList(self.record, own, at(own) + low)
        self.turn = lambda item, *values: within([item - start, start + end - 1 - item], turn, item, values)
        self.widened = True
        return True

    def part(self, first: Any, size: Any, together: int, values: list[Any]) -> list[Any]:
        """The variables after so many turns from the first one, of which some are taken together."""
        known, before = Known(unread={*self.set_first}), None
        for _ in range(PASSES):
            turns = size // together if type(size) is int else min(size.span()[1], self.source.axis.n)
            self.axis = Axis(turns, self.source.axis.ragged, bound_of(size))
            self.record.loops.begun += 1
            self.axis.statement, self.axis.site = self.record.loops.begun, self.site
            if before is not None:
                known.along(before, self.axis)
            before = self.axis
            try:
                return self.one_pass(first, together, values, known)
            except MoreAxes as found:
                known.others += tuple(found.axes)
            except Counts as found:
                known.steps[found.attribute] = found.step
            except RowsAreObjects:
                known.objects = True
            except MayBeRead as found:
                known.unread.add(found.variable)
            except MoreState as found:
                if found.frame.axis is not self.axis:
                    raise
                if isinstance(found, Refused):
                    raise NotTraceable from None
                known.learn(found)
            except NotTraceable as error:
                if not known.longer or type(error) is not NotTraceable:
                    raise
                known, before = Known(unread={*self.set_first}, may_grow=False), None
        raise NotTraceable

    def one_pass(self, first: Any, together: int, values: list[Any], known: Known) -> list[Any]:
        """The same, with what is known. Of a pass that fails the loop around does not remember what it has read."""
        around, done = self.record.loops.frames[-1:], False
        noted = [{**frame.reads} for frame in around]
        try:
            found = Pass(self, first, together, values, known).results()
            done = True
        finally:
            for frame, reads in zip(around, noted, strict=True) if not done else ():
                frame.reads = reads
        return found


class Pass:
    """One pass over the body of a loop, which records it, with the lists that are known to carry state."""

    def __init__(self, statement: Statement, first: Any, together: int, values: list[Any], known: Known):
        self.others, self.unread, self.changed = known.others, known.unread, known.changed
        self.objects, self.rows = known.objects, known.rows
        self.statement, self.record, self.axis = statement, statement.record, statement.axis
        self.first, self.together, self.attributes = first, together, known.attributes
        self.before = [*values, *[got(owner, name, Unknown(statement.site)) for owner, name in known.attributes]]
        self.grows: set[int] = set()
        for i, value in enumerate(self.before if known.longer else ()):
            if any(value is one for one in known.longer):
                self.before[i] = RecordedList.written_out(self.record, value.all_elements())
                self.changed, self.grows = [*self.changed, self.before[i]], {*self.grows, id(self.before[i])}
        self.may_grow = known.may_grow
        self.starts = list(map(snapshot, self.before))
        self.state, self.past = known.state, known.past
        self.counters = statement.counters | {len(values) + i: step for i, step in known.steps.items()}
        self.uses: Counter[int] = Counter()
        self.user: dict[int, int] = {}  # a row that uses another one
        self.same: list[tuple[int, Callable[[], Any]]] = []  # variables that are the same list as an item, or another

    def results(self) -> list[Any]:
        """The variables after all turns; the lists that the turns changed are changed."""
        record, axis = self.record, self.axis
        contents = [content_of(there(root, path)) for root, path, _ in self.state]
        earlier = [[self.stored_before(past, i) for i in range(1, past.turns + 1)] for past in self.past]
        rows = len(record)
        with Tracing(record, axis, True) as frame:
            frame.grows, frame.may_grow = self.grows, self.may_grow
            symbols = [self.symbol(i, value) for i, value in enumerate(self.starts)]
            held = [
                self.carried(one, tuple([axis for part in path for axis, _ in levels_of(part)]), not new)
                for one, (_, path, new) in zip(contents, self.state, strict=True)
            ]
            for (root, path, is_new), symbol in zip(self.state, held, strict=True):
                level = len(path) + (type(symbol) is RecordedList and not is_new)
                frame.add_store(Store(root, path, symbol if is_new else copied(symbol), level))
                if is_new:
                    freeze(symbol)
            lists = [[] if slot.level == len(slot.path) else self.lists_in(slot.value) for slot in frame.stores]
            known = [self.past_symbols(past, one, frame) for past, one in zip(self.past, earlier, strict=True)]
            for root, path in self.rows:
                frame.add_store(Store(root, path, copied(content_of(there(root, path))), len(path) + 1))
            variables = len(symbols) - len(self.attributes)  # after them come the attributes that carry state
            values = symbols[:variables]
            for (owner, name), symbol in zip(self.attributes, symbols[variables:], strict=True):
                frame.begin_with(owner, name, symbol)
            for k in range(self.together):
                item = self.statement.source.at(at(axis) * self.together + self.first + k)
                found = self.statement.turn(item, *values)
                if type(found) is LastTurn and type(self.first) is Index and not self.changes_lists(frame):
                    return self.ended(symbols, found)
                if type(found) is LastTurn:
                    raise Split(axis, 1)
                values = list(found)
            values += [value for _, value in frame.attributes.values()]
            if record.loops.aborted:  # and the body has caught it
                raise NotTraceable
            frame.check()
            for i, before in enumerate(lists):
                frame.stores[i] = self.with_lists(frame.stores[i], before)
            self.check_items(frame)
            self.check_rows(frame)
            pasts = list(zip(self.past, earlier, known, strict=True))
            finals, changes = self.after(frame, symbols, values, contents, held, rows, pasts)
            for i in range(variables, len(finals)):
                if any(record.is_plain(leaf.node) for leaf in leaves(finals[i])):
                    raise self.count(i - variables, symbols[i], values[i])
        try:
            for change in changes:
                change()
            for i, now in self.same:
                finals[i] = now()
            for (owner, name), start, final in zip(
                self.attributes, self.before[variables:], finals[variables:], strict=True
            ):
                if final is not start:
                    set_attribute(record, owner, name, final)
        except MoreState:
            raise
        except (NotTraceable, Exception):  # some changes are made
            if record.loops.frames:
                raise record.loops.frames[-1].refused(self.statement.site) from None
            raise Lost({self.statement.site}) from None
        return finals[:variables]

    def changes_lists(self, frame: Frame) -> bool:
        return bool(frame.stores or frame.appended or frame.attributes)

    def ended(self, symbols: list[Any], last: LastTurn) -> list[Any]:
        """The variables after a part of the loop whose first turn ends the loop."""
        size = self.axis.length()
        if self.statement.left and (size if type(size) is int else size.span()[0]) < 1:
            raise NotTraceable
        self.statement.ended = True
        each = zip(self.before, symbols, last.values, strict=True)
        return [before if value is symbol else Unknown(self.statement.site) for before, symbol, value in each]

    def count(self, i: int, symbol: Any, value: Any) -> NotTraceable:
        """The error where an attribute is a plain number, which others may look at: it may count the turns."""
        record, start = self.record, self.before[len(self.before) - len(self.attributes) + i]
        if type(start) is int and type(value) is RecordedScalar and record.kind[value.node] == ADD:
            axes, row = record.axes.get(value.node, ()), value.node
            for one, other in permutations((record.left[row], record.right[row])):
                same = self.seen_from(one, axes, value.index)
                known = record.constants[record.right[other]] if record.kind[other] == CONSTANT else 0.5
                if same.node == symbol.node and same_index(same.index, symbol.index) and known.is_integer():
                    return Counts(i, int(known))
        return NotTraceable()

    def with_lists(self, slot: Store, before: list[tuple[Any, Any]]) -> Store:
        """A list of lists that carries state, which stay the same objects, or are objects that nobody else holds."""
        if not before:
            return slot
        now = [one for one, _ in self.lists_in(slot.value)]
        if len(now) == len(before) and all(a is b for a, (b, _) in zip(now, before, strict=True)):
            return slot._replace(level=slot.level + depth(slot.value))
        if not self.objects:
            raise RowsAreObjects
        replaced = not any(a is b for a in now for b, _ in before)
        replaced = replaced and all(same_contents(content, contents(one)) for one, content in before)
        if slot.path or (slot.root.held() and not replaced):
            raise NotTraceable
        return slot

    def lists_in(self, items: Any) -> list[tuple[Any, Any]]:
        """The lists in a list of lists, each with its contents; or what stands for all, if they need be no objects."""
        if self.objects or type(items) is not RecordedList or items.plain is not None or depth(items) != 1:
            return [(one, contents(one)) for one in lists_in(items)]
        if items.rows is None:
            items.rows = object()
        return [(items.rows, None)]

    def check_rows(self, frame: Frame) -> None:
        """Raise NotTraceable if a row of a table is made of itself and the row before: diagonals are fewer."""
        rows = [(one.root, one.path[0]) for one in self.past if len(one.path) > 1 and type(one.path[0]) is Index]
        for root, row in rows:
            reads = [one.path[0] for one in frame.reads.values() if one.root is root and type(one.path[0]) is Index]
            for around in self.record.loops.frames[:-1] if any(not is_zero(one - row) for one in reads) else ():
                if around.axis in axes_of((row,)):
                    raise Refused(around)
        filled = self.record.loops.filled.setdefault(self.statement.site, [])
        depends = self.past and any(read.root is one for read in frame.reads.values() for one in filled)
        if self.record.loops.depth == 1:
            filled += [past.root for past in self.past]
        if depends:
            raise NotTraceable

    def check_items(self, frame: Frame) -> None:
        """Raise NotTraceable if a turn changes what another turn gets of the lists that the loop goes through."""
        own = at(self.axis) + self.first if self.together == 1 else ANY
        for one, index in lists_behind(self.statement.given, own):
            root, path = one.where()
            if any(related(root, other.root) for other in frame.appended.values()):
                raise NotTraceable
            for store in frame.stores:
                same = store.root is root and type(index) is Index and len(store.path) > len(path)
                if same and type(store.path[len(path)]) is Index and is_zero(store.path[len(path)] - index):
                    continue  # its own one
                inner = store.root is root and index is not None and store.level > len(path) + 1
                if not inner and related(root, store.root):
                    raise NotTraceable

    def check_aliases(self, frame: Frame, symbols: list[Any]) -> None:
        """Raise NotTraceable if a turn changes, by another name, the list or object with which a variable begins."""
        grown = {id(one.root) for one in frame.appended.values()}
        owners = {owner for owner, _ in frame.attributes}
        for start, symbol in copies(self.before, symbols):
            changed = [store.root for store in frame.stores] if self.is_used(symbol) else []
            if not (changed or grown or owners):
                continue
            held = lists_and_objects(start)
            inside = [one for one in (*held, *lists_within(held)) if type(one) is RecordedList]
            starts = [*inside, *[each for one in inside for each in chosen_among(one)]]
            if any(id(one) in owners for one in held) or any(related(one, root) for one in starts for root in changed):
                raise NotTraceable
            if any(not grown.isdisjoint(all_in(one)) for one in starts):  # its length may have been asked for
                raise NotTraceable

    def symbol(self, i: int, value: Any) -> Any:
        """What a turn finds in a variable."""
        if i in self.unread:
            return Unknown(self.statement.site)
        if self.counts(i, value):
            return Index(value, ((self.axis, self.counters[i] * self.together),))
        return self.carried(value, ())

    def counts(self, i: int, value: Any) -> bool:
        return i in self.counters and type(value) is int and self.axis.bound is None

    def carried(self, value: Any, axes: tuple[Axis, ...], own: bool = False) -> Any:
        """What a turn finds in place of a value: the same of scalars that carry state, or the value itself."""
        kind = type(value)
        if kind in (RecordedScalar, float, int):
            return self.record.carry(self.record.scalar(value), self.axis, (*self.others, *axes))
        for one in originals(value)[1:2] if self.changed else ():
            if any(one is other for other in self.changed):
                return one
        if has_parts(value):
            return with_parts(value, [self.carried(one, axes) for one in parts_of(value)], carried_by=self.axis)
        if kind is RecordedList or kind is list:
            source = stacked(value, self.record) if len(value) else None
            if source is not None and source.axis.bound is None and is_numeric(source.item):
                found = RecordedList(self.record, source.axis, self.carried(source.item, (*axes, source.axis), own))
            elif axes:
                raise NotTraceable
            else:
                found = RecordedList.written_out(self.record, [self.carried(one, axes, own) for one in value])
            found.view = not own
            if len(originals(value)) > 1:  # of what a variable holds
                found.given, found.carried_by = value, self.axis
            return found
        return value

    def after(
        self, frame: Frame, symbols: list[Any], values: list[Any], contents: list[Any], held: list[Any], rows: int,
        pasts: list[tuple[Past, list[Any], list[Any]]],
    ) -> tuple[list[Any], list[Callable[[], None]]]:  # fmt: skip
        """What the variables are after all turns, and what is to be done to the lists that the turns changed."""
        record, axis, seen = self.record, self.axis, set[int]()
        slots, stores = frame.stores[: len(held)], frame.stores[len(held) + len(frame.past) :]
        appended = [*frame.appended.values()]
        left = [unspread(value) for one in appended for value in one.values] + [
            store.value for store in (*stores, *slots)
        ]
        check_results(left, frame.lists_made, record, seen)
        later = [[self.stored_now(past, stores, appended), *known[:-1]] for past, _, known in pasts]
        self.count_uses(rows, [*values, *left, *later])
        self.check_aliases(frame, symbols)
        for (_, starts, known), following in zip(pasts, later, strict=True):
            for each in zip(starts, known, following, strict=False):
                self.settled(*each)
        changes: list[Callable[[], None]] = []
        finals = self.variables(symbols, values, appended, [*slots, *stores], frame, {*seen})
        variables = list(zip(symbols, self.before, values, finals, strict=True))
        for value in left:
            note_sources(value, value, frame, seen, variables)
        for slot, start, symbol in zip(slots, contents, held, strict=True):
            final = self.settled(start, symbol, slot.value)
            changes.append(lambda slot=slot, final=final: put(record, slot._replace(value=final)))  # type: ignore[misc]
        for store in stores:
            done = self.along_axis(store)
            changes.append(lambda done=done: put(record, done))  # type: ignore[misc]
        for root, items, _, in_front in appended:
            wholes = [RecordedList(record, axis, unspread(value)) for value in items]
            for whole, value in zip(wholes, items, strict=True):
                whole.made_anew = type(value) is RecordedScalar and axis not in value.free and value.node >= rows
            if in_front:
                wholes = [one[::-1] for one in wholes]
            spread = [type(value) is Spread for value in items]
            changes.append(partial(extend, root, wholes, spread, in_front))
        self.check_turns(rows)
        return finals, changes

    def stored_before(self, past: Past, turns: int) -> Any:
        """What a list has before the loop where a turn so many turns before the first one would have stored."""
        path = [replaced(one, self.axis, 0) for one in past.back(self.axis, turns)]
        if any(type(one) is int and one < 0 for one in path):
            raise NotTraceable
        return content_of(there(past.root, tuple(path)))

    def past_symbols(self, past: Past, earlier: list[Any], frame: Frame) -> list[Any]:
        """What a turn finds where turns before it have stored."""
        if past.grows:
            frame.grow(past.root, past.turns)
        symbols = [self.carried(one, ()) for one in earlier]
        for turns, symbol in enumerate(symbols, 1):
            freeze(symbol)
            frame.past.add(len(frame.stores))
            frame.add_store(Store(past.root, past.back(self.axis, turns), symbol, past.level))
        return symbols

    def stored_now(self, past: Past, stores: list[Store], appended: list[Any]) -> Any:
        """What a turn stores or appends where the next turns read it."""
        found = [store.value for store in stores if past.fits(store)]
        if past.grows:
            found = [value for one in appended for value in one.values if one.root is past.root]
        if len(found) != 1:
            raise NotTraceable
        return found[0]

    def check_turns(self, rows: int) -> None:
        """Raise NotTraceable if a state depends on what it was in other turns than the last, as in a list of all."""
        record, axis = self.record, self.axis

        def along(row: int) -> bool:
            return axis in record.axes.get(row, ())

        new = range(rows, len(record))
        states = {
            row for row in new if record.kind[row] == CARRY and record.right[row] >= 0 and record.axes[row][0] is axis
        }
        if states and any(record.kind[row] == VIEW and along(record.left[row]) and not along(row) for row in new):
            for group in connected(new, record.operands):
                if not states.isdisjoint(group) and not all(map(along, group)):
                    raise NotTraceable

    def variables(
        self, symbols: list[Any], values: list[Any], appended: list[Any], stores: list[Store], frame: Frame,
        seen: set[int],
    ) -> list[Any]:  # fmt: skip
        """What the variables are after all turns. One may be the list that the last turn appended, or another one."""
        finals = [*self.before]
        last = {
            key: place
            for root, items, _, in_front in appended
            for i, value in enumerate(items)
            for key, place in places_in(value, (root, 0 if in_front else i - len(items)))
        }
        for root, path, value, level in stores:
            if len(path) == 1 and type(path[0]) is Index and self.axis.bound is None:
                last.update(places_in(value, (root, path[0].span()[1])))
            elif len(path) == level == 1:
                last.update(places_in(value, (root, path[0])))
        had, names = {*seen}, dict[int, int]()  # what lists have, and a variable for each list
        for i in sorted(range(len(values)), key=lambda i: type(symbols[i]) is Unknown):
            symbol, value = symbols[i], self.passed_on(values[i], symbols, values, last)
            held = lists_and_objects(value)
            places = {id(one): last[id(one)] for one in held if id(one) in last}
            known = names.get(id(value))
            if known is not None and type(symbol) is Unknown:
                self.same.append((i, lambda known=known: finals[known]))  # type: ignore[misc]
            elif value is not symbol:
                inside = [id(one) for part in held if id(part) in places for one in (part, *lists_within([part]))]
                apart = {*seen} if known is not None else {*seen}.difference(inside)
                finals[i] = self.final(i, symbol, value, frame, apart)
                seen |= apart
                if type(value) is RecordedList or is_object(value):
                    names[id(value)] = i
                if places:
                    self.same.append((i, partial(in_places, finals, i, value, places)))
        chosen = {i: one for i, one in self.chosen(symbols, values).items() if finals[i] is not self.before[i]}
        for i, one in chosen.items():
            if any(related(one.items, root) for root in frame.changed()):
                finals[i] = Unknown(self.statement.site)  # what it was chosen from is not yet changed for real
        for i in chosen:
            variables = list(zip(symbols, self.before, values, finals, strict=True))
            note_sources(finals[i], values[i], frame, had, variables)
        return finals

    def passed_on(self, value: Any, symbols: list[Any], values: list[Any], last: dict[int, Any]) -> Any:
        """What a variable has from another one, which has something new that no list holds: `a, b = b, f(a, b)`."""
        if not lists_and_objects(value):
            return value
        new, turns = value, 0
        while turns < self.axis.n:
            if sum(one is new for one in values) > 1:
                return value
            before = [i for i, symbol in enumerate(symbols) if symbol is new]
            if not before:
                break
            new, turns = values[before[0]], turns + 1
        held = any(id(one) in last for one in lists_and_objects(new))
        return value if turns in (0, self.axis.n) or held else copied(value)

    def chosen(self, symbols: list[Any], values: list[Any]) -> dict[int, Any]:
        """From what the lists of variables were chosen, in this turn or in one before; they cannot change."""
        found: dict[int, Any] = {}
        for _ in values:
            for i, value in enumerate(values):
                for one in lists_within([value]):
                    before = [found[j] for j in found if any(one is other for other in lists_within([symbols[j]]))]
                    if type(one) is RecordedList and (one.chosen_from or before):
                        found[i] = one.chosen_from or before[0]
        return found

    def along_axis(self, store: Store) -> Store:
        """What all turns store: at all indices of the axis in place of its index."""
        places = [i for i, one in enumerate(store.path) if self.axis in axes_of((one,))]
        place = places[0]
        index = store.path[place]
        length = length_at(store.root, store.path[:place])
        if self.axis.bound is not None:
            raise BoundedStore
        value, axis = store.value, self.axis
        if type(index) is Index and index.terms == ((axis, -1),):  # the first turn stores the last item
            index, value = at(axis) + index.span()[0], read_at(value, axis, -at(axis) + (axis.n - 1))
        along = None if len(places) > 1 else ranged(index, axis, length)
        if along is None:
            raise NotTraceable
        return store._replace(value=value, path=(*store.path[:place], along, *store.path[place + 1 :]))

    # The variables, and lists that carry state

    def final(self, i: int, symbol: Any, value: Any, frame: Frame, seen: set[int]) -> Any:
        """What a variable is after all turns."""
        start = self.starts[i]
        if self.counts(i, start):
            step = self.counters[i] * self.together
            if type(value) is not Index or not is_zero(value - (symbol + step)):
                raise NotTraceable
            return start + step * self.axis.n
        carries = type(symbol) in (RecordedScalar, RecordedList) or has_parts(symbol)
        carries = carries and symbol is not self.before[i]
        if symbol is None:
            raise Split(self.axis, 1)  # the first turn finds something else than all others
        if not carries and type(symbol) is not Unknown:
            raise NotTraceable  # an object, which the turn may have looked at
        handed = handed_on(symbol, value)
        try:
            check_results([value], frame.lists_made, self.record, seen, handed)
            if not carries or (not self.is_used(symbol) and not handed and same_form(symbol, value)):
                return self.last(value)
        except NotTraceable:
            if carries and (self.is_used(symbol) or type(symbol) is not RecordedScalar):
                raise
            self.record.loops.aborted = False
            return Unknown(self.statement.site)
        if not self.is_used(symbol):
            raise MayBeRead(i)
        return self.settled(start, symbol, value, self.before[i])

    def last(self, value: Any) -> Any:
        """A value of the last turn."""
        length = self.axis.length()
        if type(length) is Index and length.span()[0] < 1:
            raise NotTraceable
        return at_turn(value, self.axis, length - 1, self.record)

    def settled(self, start: Any, symbol: Any, value: Any, before: Any = None) -> Any:
        """What carries state after all turns, by what it was before, within a turn, and after a turn.

        A list or an object that all turns hand on stays what it was `before`: `start` is a copy of it.
        """
        record, kind = self.record, type(symbol)
        if before is not None and value is symbol and kind is not RecordedScalar:
            return before
        if before is not None and symbol is before:
            raise NotTraceable
        if has_parts(value):
            if not same_form(symbol, value):
                raise NotTraceable
            befores = [None] * len(parts_of(value)) if before is None else parts_of(before)
            each = zip(*map(parts_of, (start, symbol, value)), befores, strict=True)
            return with_parts(value, [self.settled(*one) for one in each])
        if kind is RecordedList:
            if not same_form(symbol, value):
                raise NotTraceable
            if symbol.plain is not None:
                each = zip(start, symbol.plain, value, strict=True)
                return RecordedList.written_out(record, [self.settled(*one) for one in each])
            index = at(symbol.axis)
            before, after = stacked(start, record), stacked(value, record)
            if before is None or after is None:
                raise NotTraceable
            after = apart(after).at(index)
            return RecordedList(record, symbol.axis, self.settled(before.at(index), symbol.item, after))
        if kind is not RecordedScalar:
            if value is not symbol:
                raise NotTraceable
            return start
        if type(value) not in (RecordedScalar, float, int, Index):
            raise NotTraceable
        if type(value) is RecordedScalar and value.node == symbol.node and same_index(value.index, symbol.index):
            return start
        check_kinds(symbol, value)
        if not self.uses[symbol.node]:
            return self.last(value)
        value = record.scalar(value)
        added = self.added(value, symbol)
        if added is not None:
            rows = len(record)
            total = record.over(SUM, sum(added[1:], added[0]), self.axis)
            record.repeats[total.node] /= Fraction(self.axis.turns())  # a sum is done once, for all turns
            whole = total
            if type(start) not in (int, float) or start != 0:
                whole = start + total
                record.repeats[whole.node] = 0  # the first turn has added to it
            if record.sources is not None:  # it stands where a turn adds
                record.sources[rows:] = [record.sources[value.node]] * (len(record) - rows)
            return whole
        if self.axis.bound is not None:
            raise NotTraceable
        more = set(value.free) - set(symbol.free)
        if more:
            raise MoreAxes(more)
        if self.axis.n < FEW_TURNS:
            raise Short
        record.carried(symbol, value)
        return self.last(value)

    def is_used(self, symbol: Any) -> bool:
        """Whether anything that stays depends on a symbol of what carries state."""
        return any(self.uses[leaf.node] for leaf in leaves(symbol))

    def count_uses(self, rows: int, values: list[Any]) -> None:
        """Count how often what stays uses each row of the turn."""
        operands_of, uses, user = self.record.operands, self.uses, self.user
        found = [leaf.node for value in values for leaf in leaves(value)]
        for row in found:  # which grows meanwhile
            if row in uses:
                uses[row] += 1
            elif row < rows:
                uses[row] = 1
            else:
                uses[row] = 1
                operands = operands_of(row)  # -1 for what is not yet carried
                user.update(dict.fromkeys(operands, row))
                found += operands

    def added(self, value: RecordedScalar, symbol: RecordedScalar) -> list[RecordedScalar] | None:
        """The scalars of which a value is the sum, with a symbol that nothing else uses; None if it is no such sum."""
        record, rows, found = self.record, list[int](), list[RecordedScalar]()
        value = record.view(value.node, value.index)
        above = {symbol.node}  # the rows that depend on it, up to the first that others use, too
        one = symbol.node
        while self.uses[one] == 1 and one in self.user:
            one = self.user[one]
            above.add(one)
        row, index = value.node, value.index
        while row != symbol.node:
            axes = record.axes.get(row, ())
            if record.kind[row] != ADD or self.uses[row] != 1:
                return None
            operands = [self.seen_from(operand, axes, index) for operand in (record.left[row], record.right[row])]
            leading = [operand.node in above for operand in operands]
            if leading.count(True) != 1:
                return None
            rows.append(row)
            found.append(operands[leading.index(False)])
            row, index = operands[leading.index(True)].node, operands[leading.index(True)].index
        if not found or not same_index(index, symbol.index) or self.uses[symbol.node] != 1:
            return None
        record.repeats.update(dict.fromkeys(rows, Fraction(0)))  # the sum stands for them
        return found

    def seen_from(self, row: int, axes: tuple[Axis, ...], index: tuple[Any, ...]) -> RecordedScalar:
        """An operand of a row with these axes, where the row is read at an index."""
        places = dict(zip(axes, index, strict=True))
        own = tuple([places[axis] for axis in self.record.axes.get(row, ())])
        return self.record.view(row, own)


def bound_of(size: Any) -> tuple[Axis, int, int] | None:
    """The bound of an axis whose length is an index; none if it is an integer."""
    if type(size) is int:
        return None
    ((axis, step), *more) = size.terms
    if more:
        raise NotTraceable
    return axis, size.constant, step


def recorded_lists(values: list[Any]) -> list[RecordedList]:
    """The lists among some values, and in them."""
    held = [one for value in values for one in ([*value, value] if type(value) is list else [value])]
    held = [each for one in held for each in (one, *lists_and_objects(one))]
    return [one for one in (*held, *lists_within(held)) if type(one) is RecordedList]


def note_sources(
    final: Any, value: Any, frame: Frame, held: set[int], variables: Sequence[tuple[Any, Any, Any, Any]] = ()
) -> None:
    """Let what a scalar has chosen be read only as long as the lists do not change that it may be.

    Raises NotTraceable if it may be a list of the turn which something else holds from now on.

    Args:
        final, value: what the example has chosen among lists in each turn, after all turns and in one.
        held: the identities of lists and objects that others hold from now on.
        variables: of each one what a turn finds, what it is before all turns, what a turn leaves, and after all turns.
    """
    if has_parts(value) and has_parts(final):
        for each in zip(parts_of(final), parts_of(value), strict=True):
            note_sources(*each, frame, held, variables)
    if type(value) is not RecordedList:
        return
    states = [each for *state, _ in variables for each in parts_together(*state)]
    earlier = {id(one): before_and_now for symbol, *before_and_now in states for one in recorded_lists([symbol])}
    by, found, left, seen, unsure = "", list[Any](), roots_behind(value), set[int](), False
    while left:
        one = left.pop()
        by = by if one.chosen_from is None else one.chosen_from.by
        if id(one) in seen:
            continue
        seen.add(id(one))
        if id(one) in earlier:
            before, now = earlier[id(one)]
            found.append(before)
            left += roots_behind(now)
        elif one.born <= frame.lists_made:
            found.append(one)
        elif one.view or (id(one) in held and one.chosen_from is None):
            unsure = True
        else:
            others = [each for _, _, *last in variables for each in parts_together(*last) if each[1] is not final]
            found += [after for now, after in others if any(each is one for each in recorded_lists([now]))]
    if by and unsure:
        raise NotTraceable
    if by:
        sources = Chosen(list({id(one): one for one in recorded_lists(found)}.values()), by)
        for one in recorded_lists([final]):
            if one.chosen_from is not None or final is not value:
                one.chosen_from = sources


def parts_together(symbol: Any, *others: Any) -> Iterator[tuple[Any, ...]]:
    """What has no parts in a symbol of what carries state, each with the same parts of others."""
    if has_parts(symbol) and all(type(one) is type(symbol) for one in others):
        for each in zip(*map(parts_of, (symbol, *others)), strict=False):
            yield from parts_together(*each)
    else:
        yield symbol, *others


def copies(befores: Sequence[Any], symbols: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """What is in variables before a loop, each with what stands for it in a turn, if that is not the very same."""
    for before, symbol in zip(befores, symbols, strict=True):
        if is_tuple(type(symbol)) and type(before) is type(symbol):
            yield from copies(before, symbol)
        elif type(symbol) is not Unknown and symbol is not before:
            yield before, symbol


def roots_behind(value: Any) -> list[RecordedList]:
    """The lists in a value, and those from which the example chose them; for a part of a list the list."""
    return [one.where()[0] for one in recorded_lists([value, *chosen_among([value])])]


def leaves(value: Any) -> Iterator[RecordedScalar]:
    """The scalars in a value."""
    kind = type(value)
    if kind is RecordedScalar:
        yield value
    elif kind is RecordedList:
        for one in [value.item] if value.plain is None else value.plain:
            yield from leaves(one)
    elif kind is list or has_parts(value):
        for one in value if kind is list else parts_of(value):
            yield from leaves(one)


def same_form(a: Any, b: Any) -> bool:
    """Whether lists and tuples have the same lengths, and the same of all but scalars; a body may have asked for it."""
    if type(a) is RecordedList:
        if type(b) is not RecordedList or type(b.length()) is not int or len(a) != len(b):
            return False
        if a.plain is None and b.plain is None:
            return same_form(a.item, b.item)
        return all(map(same_form, a.plain or [a.item] * len(a), b.plain or [b.item] * len(a)))
    if has_parts(a):
        if type(b) is not type(a) or (not isinstance(a, tuple) and names_of(a) != names_of(b)):
            return False
        parts = parts_of(a), parts_of(b)
        return len(parts[0]) == len(parts[1]) and all(map(same_form, *parts))
    return a is b or (type(a) is RecordedScalar and type(b) in (RecordedScalar, float, int, Index))


def same_index(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return all(type(i) is type(j) and is_zero(i - j) for i, j in zip(a, b, strict=True))


def same_path(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return len(a) == len(b) and not any(type(one) is Range for one in (*a, *b)) and same_index(a, b)


def holds_lists(items: Any) -> bool:
    if type(items) is not RecordedList:
        return False
    return any(type(one) is RecordedList for one in ([items.item] if items.plain is None else items.plain))


def depth(items: Any) -> int:
    """How many levels of lists there are in a list."""
    if type(items) is not RecordedList or not holds_lists(items):
        return 0
    return 1 + max(map(depth, [items.item] if items.plain is None else items.plain))


def lists_in(items: Any) -> list[Any]:
    """The lists in a list, each as the object that it is, and after each those in it."""
    if type(items) is not RecordedList or not holds_lists(items):
        return []
    inner = [items.element(i) for i in range(len(items))] if items.plain is None else items.plain
    return [each for one in inner for each in (one, *lists_in(one))]


def is_numeric(item: Any) -> bool:
    """Whether an item is a scalar or a number, or a list of such items."""
    if type(item) is RecordedList:
        return item.plain is None and item.axis.bound is None and is_numeric(item.item)
    return type(item) in (RecordedScalar, float, int)


def copied(items: Any) -> Any:
    """A list, of a symbol of state, that a turn may change."""
    if has_parts(items):
        return with_parts(items, list(map(copied, parts_of(items))))
    if type(items) is not RecordedList:
        return items
    if items.plain is not None:
        return RecordedList.written_out(items.record, [copied(one) for one in items.plain])
    return RecordedList(items.record, items.axis, copied(items.item))


def places_in(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The identities of something that a list will have at a place, and of what is in it, each with its place."""
    yield id(value), place
    for i, part in enumerate(parts_within(value)):
        if type(part) is RecordedList or has_parts(part):
            yield from places_in(part, (*place, i))


def parts_within(value: Any) -> list[Any]:
    return parts_of(value) if has_parts(value) else (type(value) is RecordedList and value.plain) or []


def in_places(finals: list[Any], i: int, value: Any, places: dict[int, tuple[Any, ...]]) -> Any:
    """What a variable is after a loop whose last turn has put it, or parts of it, into lists: the same objects."""

    def found(final: Any, value: Any) -> Any:
        if type(final) is Unknown:
            return final
        if id(value) in places:
            root, first, *others = places[id(value)]
            here = root[first]
            for place in others:
                here = parts_of(here)[place] if has_parts(here) else here[place]
            return here
        if not has_parts(value):
            return final
        return with_parts(value, [found(*one) for one in zip(parts_of(final), parts_of(value), strict=True)])

    return found(finals[i], value)


def lists_and_objects(value: Any, objects: int = 0) -> list[Any]:
    """A list or an object, or the lists and objects in a tuple; and what these hold."""
    kind: Any = type(value)
    if kind is RecordedList:
        parts = [*(value.plain or ()), *value.elements.values()]
    elif objects > MANY_OBJECTS:
        raise NotTraceable
    elif is_tuple(kind) or is_plain(kind):
        parts, objects = parts_of(value), objects + 1
    else:
        return []
    inside = [each for one in parts for each in lists_and_objects(one, objects)]
    return inside if is_tuple(kind) else [value, *inside]


def snapshot(value: Any, objects: int = 0) -> Any:
    """A value as it is now: lists and objects are copied. Raises NotTraceable for a chain of objects, or a circle."""
    kind: Any = type(value)
    if has_parts(value) or is_plain(kind):
        if objects == MANY_OBJECTS:
            raise NotTraceable
        return with_parts(value, [snapshot(one, objects + 1) for one in parts_of(value)])
    if kind is not RecordedList:
        return value
    value.check()
    if value.plain is not None:
        found = RecordedList.written_out(value.record, [snapshot(one, objects) for one in value.plain])
    else:
        found = RecordedList(value.record, value.axis, value.item)
    found.given = value
    return found


def apart(items: Any) -> Any:
    """A symbolic list along axes of its own: a matrix and its transpose have the same, in another order."""
    if type(items) is not RecordedList or items.plain is not None:
        return items
    axis = items.axis.another()
    return RecordedList(items.record, axis, apart(read_at(items.item, items.axis, at(axis))))


def content_of(value: Any) -> Any:
    """A scalar, or a copy of a list or a tuple of such: what it holds, and not which one it is."""
    if type(value) in (RecordedScalar, float, int):
        return value
    if is_tuple(type(value)):
        return with_parts(value, list(map(content_of, value)))
    if type(value) is not RecordedList or holds_rows(value):
        raise NotTraceable
    found = snapshot(value)
    found.given = None
    return found


def length_at(root: RecordedList, path: tuple[Any, ...]) -> Any:
    """How many items the lists at a path have."""
    found: Any = root
    for _ in path:
        found = found.item if found.plain is None else found.plain[0]
    if type(found) is not RecordedList:
        raise NotTraceable
    return found.axis.length() if found.plain is None else len(found.plain)


def unspread(value: Any) -> Any:
    return value.items if type(value) is Spread else value


def extend(root: RecordedList, wholes: list[RecordedList], spread: list[bool], in_front: bool) -> None:
    """Add all items of some lists, of each one in turn, in front of a list or at its end; or what is in these items."""
    if root.record.loops.frames and not root.is_own():
        raise NotTraceable
    if root.plain == [] and spread == [False]:
        root.become(wholes[0])
    else:
        turns = zip(
            *[[one.all_elements() if s else [one] for one in whole] for whole, s in zip(wholes, spread, strict=True)],
            strict=True,
        )
        more = [one for turn in turns for items in turn for one in items]
        place = 0 if in_front else len(root.as_plain())
        root.as_plain()[place:place] = more


# The results of a body


def handed_on(symbol: Any, value: Any) -> set[int]:
    """The identities of the lists and objects in what carries state that a turn leaves as they are."""
    if not has_parts(symbol) or type(value) is not type(symbol):
        return set()
    parts = list(zip(parts_of(symbol), parts_of(value), strict=False))
    found = [handed_on(one, other) for one, other in parts if one is not other]
    same = [one for one, other in parts if one is other]
    return {id(one) for one in same if type(one) is RecordedList or has_parts(one)}.union(*found)


def check_results(
    results: Any, lists_made: int, record: Record, seen: set[int], handed: set[int] | frozenset[int] = frozenset()
) -> None:  # fmt: skip
    """Raise NotTraceable unless a body may leave these to stand for all: scalars, plain values, and tuples, lists and
    objects of such.

    The body must have made each list and object itself, and nothing else may hold it, because the elements would share
    it. `seen` are the identities of those that are held, `handed` of those that were there before.
    """
    for one in results:
        kind = type(one)
        if id(one) in handed and id(one) not in seen:  # in its own place, and in no other
            seen.add(id(one))
            continue
        if has_parts(one):
            if not may_stay(one, lists_made) or id(one) in seen:
                raise NotTraceable
            check_results(parts_of(one), lists_made, record, seen, handed)
            seen.update([id(one)] if is_object(one) and not is_fixed(one) else [])
        elif kind is RecordedList and is_own(one, lists_made):
            objects = list(map(id, (one, *lists_within(one))))
            if len({*objects, *seen}) < len(objects) + len(seen):  # it has two places
                raise NotTraceable
            seen.update(objects)
        elif kind not in (RecordedScalar, RecordedInteger, Index, int, float, str, bool, type(None)):
            raise NotTraceable


def is_own(item: Any, lists_made: int) -> bool:
    """Whether all lists in an item are newer than the first `lists_made`, and no elements of another list.

    A row that an integer chose will do, too: it never changes.
    """
    if has_parts(item):
        return may_stay(item, lists_made) and all(is_own(one, lists_made) for one in parts_of(item))
    if type(item) is not RecordedList:
        return True
    if item.view or item.owner is not None or item.chosen_from is not None:
        return not item.view and item.owner is None
    inner = [item.item] if item.plain is None else item.plain
    return item.born > lists_made and all(is_own(one, lists_made) for one in inner)
