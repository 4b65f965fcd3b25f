"""What the body of a loop or a function assigns, changes and leaves: what its source tells before it runs."""

import ast
import copy
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from microgpt.engines.compiled.branches import HELPER, may_be_scalar, own_parts

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
USES_UP = {
    "sum",
    "list",
    "tuple",
    "set",
    "dict",
    "max",
    "min",
    "any",
    "all",
    "sorted",
    "largest",
}  # an iterator, at once
GATHERED = HELPER + "gathered"
BOUNDS = (
    ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.expr_context, ast.Call,
    ast.Subscript, ast.Attribute,
)  # fmt: skip


def changes_outside(function: ast.FunctionDef) -> bool:
    """Whether the code of a function stores into items, attributes, or names that belong to others."""
    parts = [part for statement in function.body for part in own_parts(statement)]
    assigned = [part.targets for part in parts if isinstance(part, ast.Assign) and len(part.targets) == 1]
    assigned += [[part.target] for part in parts if isinstance(part, ast.AugAssign)]
    stored = [one for targets in assigned for one in targets if is_stored_item(one) or is_stored_attribute(one)]
    outer = {name for part in parts if isinstance(part, (ast.Global, ast.Nonlocal)) for name in part.names}
    return any(is_changed(part, outer) for part in parts if part not in stored)


def changes_objects(parts: list[ast.AST]) -> bool:
    """Whether code sets attributes, or items other than by an assignment."""
    assigned = [part.targets for part in parts if isinstance(part, ast.Assign)]
    assigned += [[part.target] for part in parts if isinstance(part, ast.AugAssign)]
    items = [one for targets in assigned for target in targets for one in ast.walk(target) if is_stored_item(one)]
    items += [one for targets in assigned for one in targets if len(targets) == 1 and is_stored_attribute(one)]
    return any(is_changed(part, set()) for part in parts if part not in items)


def is_stored_item(target: ast.AST | None) -> bool:
    """Whether this is `items[key]` as a target, which a helper sets."""
    return isinstance(target, ast.Subscript) and isinstance(target.ctx, ast.Store)


class Counted(NamedTuple):
    """A `while` whose counter goes by a step in each turn, to a bound."""

    name: str
    bound: ast.expr
    step: int
    test: str  # how the counter is to the bound in each turn: "<", "<=", ">", ">=" or "!="


TESTS: dict[type, tuple[str, str, type]] = {  # how it is written, and from the other side; and the opposite
    ast.Lt: ("<", ">", ast.GtE), ast.LtE: ("<=", ">=", ast.Gt), ast.Gt: (">", "<", ast.LtE),
    ast.GtE: (">=", "<=", ast.Lt), ast.NotEq: ("!=", "!=", ast.Eq), ast.Eq: ("==", "==", ast.NotEq),
}  # fmt: skip


def tested_first(loop: ast.While) -> ast.While:
    """`while True: if i >= n: break`, and what follows, as `while i < n`; any other loop as it is."""
    first, *rest = loop.body
    always = isinstance(loop.test, ast.Constant) and loop.test.value in (True, 1)
    ends = isinstance(first, ast.If) and not first.orelse and isinstance(first.body[0], ast.Break)
    if not (always and ends and rest) or not isinstance(first, ast.If):
        return loop
    test = first.test
    if not isinstance(test, ast.Compare) or len(test.ops) > 1 or type(test.ops[0]) not in TESTS:
        return loop
    opposite = TESTS[type(test.ops[0])][2]()
    test = ast.copy_location(ast.Compare(test.left, [opposite], test.comparators), test)
    return ast.copy_location(ast.While(test, rest, loop.orelse), loop)


def step_of(statement: ast.stmt) -> tuple[str, int] | None:
    """The variable to which a statement adds an integer, and this integer; None for any other statement."""
    target: ast.expr
    if isinstance(statement, ast.AugAssign):
        target, operator, value = statement.target, statement.op, statement.value
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.value, ast.BinOp):
        (target,), operator, value = statement.targets, statement.value.op, statement.value.right
        left = statement.value.left
        if not isinstance(left, ast.Name) or not isinstance(target, ast.Name) or left.id != target.id:
            return None
    else:
        return None
    if not isinstance(target, ast.Name) or not isinstance(operator, (ast.Add, ast.Sub)):
        return None
    if not isinstance(value, ast.Constant) or type(value.value) is not int or not value.value:
        return None
    return target.id, value.value if isinstance(operator, ast.Add) else -value.value


def counted(loop: ast.While) -> Counted | None:
    """The counter of a loop such as `while i < n:`, which has `i += 1` in it; None for any other loop."""
    test = loop.test
    if isinstance(test, ast.Name):
        test = ast.Compare(test, [ast.NotEq()], [ast.Constant(0)])
    if loop.orelse or not isinstance(test, ast.Compare) or len(test.ops) > 1 or type(test.ops[0]) not in TESTS:
        return None
    stored = [one for part in loop.body for one in names_stored(part)]
    sides = [test.left, test.comparators[0]]
    for (name, bound), how in zip((sides, sides[::-1]), TESTS[type(test.ops[0])][:2], strict=True):
        steps = [
            found for one in loop.body if (found := step_of(one)) is not None and found[0] == getattr(name, "id", "")
        ]
        plain = all(isinstance(part, BOUNDS) for part in ast.walk(bound))
        calls = [part for part in ast.walk(bound) if isinstance(part, ast.Call)]
        if (
            isinstance(name, ast.Name) and len(steps) == stored.count(name.id) == 1 and plain and how != "=="
            and all(getattr(call.func, "id", "") == "len" for call in calls)
            and not any(isinstance(part, ast.Name) and part.id in stored for part in ast.walk(bound))
            and not any(isinstance(part, ast.Continue) for one in loop.body for part in own_parts(one))
        ):  # fmt: skip
            return Counted(name.id, bound, steps[0][1], how)
    return None


class Gathered(ast.NodeTransformer):
    """Puts what a generator yields into a list, which it returns."""

    def gather(self, function: ast.FunctionDef) -> bool:
        """Change a generator function so. Returns whether all its `yield`s are statements, whose value nobody asks."""
        function.body = [self.visit(one) for one in function.body]
        parts = [part for one in function.body for part in own_parts(one)]
        begin = ast.Assign([ast.Name(GATHERED, ast.Store())], ast.List([], ast.Load()))
        end = ast.Return(ast.Name(GATHERED, ast.Load()))
        function.body = [ast.copy_location(begin, function), *function.body, ast.copy_location(end, function)]
        return not any(isinstance(part, (ast.Yield, ast.YieldFrom, ast.Await)) for part in parts)

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if not isinstance(node.value, (ast.Yield, ast.YieldFrom)):
            return node
        value: ast.expr = node.value.value or ast.Constant(None)
        each = ast.Name(GATHERED + "_item", ast.Load()) if isinstance(node.value, ast.YieldFrom) else value
        append = ast.Attribute(ast.Name(GATHERED, ast.Load()), "append", ast.Load())
        found: ast.stmt = ast.copy_location(ast.Expr(ast.Call(append, [each], [])), node)
        if isinstance(node.value, ast.YieldFrom):
            found = ast.copy_location(ast.For(ast.Name(GATHERED + "_item", ast.Store()), value, [found], []), node)
        return ast.fix_missing_locations(found)

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        return ast.copy_location(ast.Return(ast.Name(GATHERED, ast.Load())), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return node


def is_stored_attribute(target: ast.expr | None) -> bool:
    """Whether this is `owner.name` as a target, which a helper sets: not one that Python renames within a class."""
    if not isinstance(target, ast.Attribute) or not isinstance(target.ctx, ast.Store):
        return False
    return not target.attr.startswith("__") or target.attr.endswith("__")


class TooOftenError(Exception):
    """What follows an `if` would have to be written out in too many branches."""


MOST_COPIES = 6  # of what follows the `if` statements of a loop


def without_jumps(loop: ast.For | ast.While) -> list[ast.stmt]:
    """A loop in which a scalar may decide each `continue` and `break`: what follows an `if` is in its branches.

    A `break` sets a variable, and in a turn after it nothing is done. The loop stays as it is where that cannot be.
    """
    ifs = [
        part for one in loop.body for part in own_parts(one) if isinstance(part, ast.If) and may_be_scalar(part.test)
    ]
    breaks = any(leaves_loop([one]) for one in ifs) and isinstance(loop, ast.For) and not loop.orelse
    if not breaks and not any(continues([one]) for one in ifs):
        return [loop]
    try:
        if breaks:
            assert isinstance(loop, ast.For)
            return with_end(loop)
        loop.body = rest_in_branches(loop.body, [MOST_COPIES]) or [ast.copy_location(ast.Pass(), loop)]
    except TooOftenError:
        pass
    return [loop]


def with_end(loop: ast.For) -> list[ast.stmt]:
    """A loop that has a variable in the place of each `break`."""
    done, item, items = (f"{HELPER}{name}_{loop.lineno}_{loop.col_offset}" for name in ("done", "item", "items"))
    skip = ast.If(ast.Name(done, ast.Load()), [ast.Continue()], [])
    begin = ast.Assign([loop.target], ast.Name(item, ast.Load()))
    body = [part for one in loop.body for part in BreakSets(done).changed(one)]
    body = rest_in_branches([skip, begin, *copy.deepcopy(body)], [MOST_COPIES])
    arguments: list[ast.expr] = [ast.Name(name, ast.Load()) for name in (done, items)]
    ended = ast.Call(ast.Name(HELPER + "ended", ast.Load()), arguments, [])
    body.append(ast.If(ended, [ast.Break()], []))
    statements = [
        ast.Assign([ast.Name(done, ast.Store())], ast.Constant(False)),
        ast.Assign([ast.Name(items, ast.Store())], loop.iter),
        ast.For(ast.Name(item, ast.Store()), ast.Name(items, ast.Load()), body, []),
    ]
    return [ast.fix_missing_locations(ast.copy_location(one, loop)) for one in statements]


class BreakSets(ast.NodeTransformer):
    """Puts `done = True`, and `continue`, in the place of each `break` of a loop."""

    def __init__(self, done: str):
        self.done = done

    def changed(self, statement: ast.stmt) -> list[ast.stmt]:
        found = self.visit(copy.deepcopy(statement))
        return found if isinstance(found, list) else [found]

    def visit_Break(self, node: ast.Break) -> list[ast.stmt]:
        sets = ast.Assign([ast.Name(self.done, ast.Store())], ast.Constant(True))
        return [ast.fix_missing_locations(ast.copy_location(one, node)) for one in (sets, ast.Continue())]

    def skip(self, node: Any) -> Any:
        if not isinstance(node, ast.FunctionDef) and leaves_loop(node.orelse):
            raise TooOftenError
        return node

    visit_For = visit_While = visit_FunctionDef = skip  # noqa: N815


class WithoutJumps(ast.NodeTransformer):
    """Changes all loops of a function so, the inner ones first."""

    def visit_loop(self, node: Any) -> Any:
        self.generic_visit(node)
        return without_jumps(node)

    def skip(self, node: Any) -> Any:
        return node

    visit_For = visit_While = visit_loop  # noqa: N815
    visit_FunctionDef = visit_Lambda = visit_ClassDef = visit_AsyncFunctionDef = skip  # noqa: N815


def continues(statements: list[ast.stmt]) -> bool:
    """Whether one of these statements is a `continue` of the loop around them."""
    inner = [part for one in statements if not isinstance(one, (ast.For, ast.While)) for part in parts_within(one)]
    return any(isinstance(one, ast.Continue) for one in statements) or (bool(inner) and continues(inner))


def parts_within(statement: ast.stmt) -> list[Any]:
    """The statements, and what holds some, right within one."""
    kinds = (ast.stmt, ast.ExceptHandler, ast.match_case)
    return [part for part in ast.iter_child_nodes(statement) if isinstance(part, kinds)]


def rest_in_branches(statements: list[ast.stmt], copies: list[int]) -> list[ast.stmt]:
    """Statements of the body of a loop up to its end, in which each `if` with a `continue` has the rest in it."""
    for i, one in enumerate(statements):
        if isinstance(one, (ast.Continue, ast.Break, ast.Return, ast.Raise)):
            return statements[: i + (not isinstance(one, ast.Continue))]
        if not continues([one]):
            continue
        if not isinstance(one, ast.If):
            raise TooOftenError
        rest, branches = statements[i + 1 :], list[list[ast.stmt]]()
        for branch in (one.body, one.orelse):
            goes_on = not (branch and isinstance(branch[-1], ast.Continue))
            copies[0] -= bool(goes_on and rest and not branches)
            if copies[0] < 0:
                raise TooOftenError
            branches.append(rest_in_branches([*branch, *(copy.deepcopy(rest) if goes_on else [])], copies))
        body, orelse = branches
        found = ast.If(one.test, body or [ast.copy_location(ast.Pass(), one)], orelse)
        return [*statements[:i], ast.copy_location(found, one)]
    return statements


class SingleTargets(ast.NodeTransformer):
    """Puts `owner.name = value` and `items[key] = value`, one by one, in the place of one of several targets."""

    def visit_Assign(self, node: ast.Assign) -> Any:
        (target, *more) = node.targets
        parts = target.elts if isinstance(target, ast.Tuple) else []
        if more or not any(is_stored_attribute(part) or is_stored_item(part) for part in parts):
            return node
        if any(isinstance(part, (ast.Tuple, ast.List, ast.Starred)) for part in parts):
            return node
        names = [f"{HELPER}part_{i}" for i in range(len(parts))]
        found = [ast.Assign([ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())], node.value)]
        found += [ast.Assign([part], ast.Name(name, ast.Load())) for part, name in zip(parts, names, strict=True)]
        return [ast.fix_missing_locations(ast.copy_location(one, node)) for one in found]

    def skip(self, node: Any) -> Any:
        return node

    visit_FunctionDef = visit_Lambda = visit_ClassDef = skip  # noqa: N815


class JumpReturns(ast.NodeTransformer):
    """Puts a return in the place of each `continue` and `break` of a loop."""

    def __init__(self, result: ast.Return, last: ast.Return):
        self.result, self.last = result, last

    def visit_Continue(self, node: ast.Continue) -> ast.stmt:
        found = ast.copy_location(copy.deepcopy(self.result), node)
        found.ends_turn = True  # type: ignore[attr-defined]
        return found

    def visit_Break(self, node: ast.Break) -> ast.stmt:
        return ast.copy_location(copy.deepcopy(self.last), node)

    def skip(self, node: Any) -> Any:
        return node

    visit_For = visit_While = visit_FunctionDef = skip  # noqa: N815


def leaves_loop(body: list[ast.stmt]) -> bool:
    """Whether a statement leaves the loop whose body this is."""
    for one in body:
        if isinstance(one, ast.Break):
            return True
        if not isinstance(one, (ast.For, ast.While)):
            if leaves_loop(parts_within(one)):
                return True
        elif leaves_loop(one.orelse):
            return True
    return False


def depth_of(node: ast.AST) -> int:
    """How many `for` statements stand one in the other."""
    return max(map(depth_of, ast.iter_child_nodes(node)), default=0) + isinstance(node, ast.For)


def names_stored(node: ast.AST) -> Iterator[str]:
    """The names that code sets, but for those within functions and comprehensions."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, COMPREHENSIONS):
        yield from [one.target.id for one in ast.walk(node) if isinstance(one, ast.NamedExpr)]
    elif not isinstance(node, (ast.FunctionDef, ast.Lambda)):
        for child in ast.iter_child_nodes(node):
            yield from names_stored(child)


def names_captured(function: ast.FunctionDef) -> list[tuple[int, int, set[str]]]:
    """The names that code within a function may read or set later than where it stands: first line, last line, names.

    These are the functions in it, its generator expressions, and what it declares to belong elsewhere.
    """
    found = []
    used_up = {
        id(part.args[0]) for part in ast.walk(function)
        if isinstance(part, ast.Call) and part.args and getattr(part.func, "id", "") in USES_UP
    }  # fmt: skip
    for part in ast.walk(function):
        names: set[str] = set()
        if isinstance(part, (ast.Global, ast.Nonlocal)):
            found.append((0, sys.maxsize, set(part.names)))
        elif part is not function and isinstance(part, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            own: set[str] = set()
            if not isinstance(part, ast.ClassDef):
                arguments = part.args
                own = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
            if isinstance(part, ast.FunctionDef):
                outer = [one for one in ast.walk(part) if isinstance(one, (ast.Global, ast.Nonlocal))]
                own |= {name for one in part.body for name in names_stored(one)}
                own -= {name for one in outer for name in one.names}
            inside = own_parts(part) if isinstance(part, ast.ClassDef) else ast.walk(part)  # its methods are parts, too
            names = {one.id for one in inside if isinstance(one, ast.Name)} - own
        elif isinstance(part, ast.GeneratorExp) and id(part) not in used_up:
            own = {one.id for loop in part.generators for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
            later = [part.elt, *[test for loop in part.generators for test in loop.ifs]]
            later += [loop.iter for loop in part.generators[1:]]
            names = {one.id for each in later for one in ast.walk(each) if isinstance(one, ast.Name)} - own
        if names:
            assert isinstance(part, (ast.stmt, ast.expr))
            found.append((part.lineno, part.end_lineno or part.lineno, names))
    return found


def counters_of(loop: ast.For) -> dict[str, int]:
    """The variables to which each turn adds one integer, and nothing else assigns them."""
    stored = [name for one in (*loop.body, loop.target) for name in names_stored(one)]
    steps = [one for one in map(step_of, loop.body) if one is not None]
    found = {name: step for name, step in steps if stored.count(name) == 1}
    return {
        name: step for name, step in found.items() if not any(isinstance(part, ast.Continue) for part in ast.walk(loop))
    }


def surely_assigned(loop: ast.For) -> set[str]:
    """The names that a turn assigns before it may read them."""
    found = {part.id for part in ast.walk(loop.target) if isinstance(part, ast.Name)}
    read: set[str] = set()
    for one in loop.body:
        targets = one.targets if isinstance(one, ast.Assign) else []
        if isinstance(one, ast.Assign):
            read |= {part.id for part in ast.walk(one.value) if isinstance(part, ast.Name)}
            for target in targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.id not in read:
                        found.add(part.id)
        if not isinstance(one, ast.Assign):
            read |= {part.id for part in ast.walk(one) if isinstance(part, ast.Name)}
            if any(isinstance(part, (ast.Continue, ast.Break, ast.Raise)) for part in ast.walk(one)):
                break
    return found


def is_changed(part: ast.AST, outer: set[str]) -> bool:
    """Whether this is an item, an attribute or an outer name, and gets something else here."""
    if isinstance(part, (ast.Subscript, ast.Attribute, ast.Name)):
        outside = not isinstance(part, ast.Name) or part.id in outer
        return outside and not isinstance(part.ctx, ast.Load)
    return any(getattr(part, name, None) in outer for name in ("name", "asname", "rest"))  # def, import, case
