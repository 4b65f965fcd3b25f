"""The source of a function, rewritten so that its loops, calls, subscripts and changes go through helpers.

Python has no way to ask before it runs a comprehension. So the source of a function is looked up, parsed and rewritten:
`[f(x) for x in items]` becomes `_microgpt_mapped(...)`, and the result is compiled again. The function itself stays as
it is. A function without a source, or with a source that is not its own, is not rewritten.
"""

import ast
import copy
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from microgpt import value
from microgpt.engines.compiled.branches import HELPER, SEES_FRAME, ChoiceRewriting, function, own_parts

STAYS = (ast.Lambda, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # these keep a comprehension as it is
LEAVES = (  # a body with one of these stays a statement
    ast.Return, ast.Yield, ast.YieldFrom, ast.Await, ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.Import,
    ast.ImportFrom, ast.Delete, ast.Global, ast.Nonlocal, ast.Try, ast.Match,
)  # fmt: skip
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
BOUNDS = (ast.Name, ast.Constant, ast.BinOp, ast.operator, ast.expr_context, ast.Call, ast.Subscript, ast.Attribute)
DEEP = 6  # loops, one in the other, of which the body would be rewritten twice each
PLAIN = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp)  # their operands have been through a helper
PARTS_OF: dict[type, tuple[str, Any]] = {  # a helper, and which parts of a node go through it
    ast.BinOp: ("operand", ("left", "right")), ast.UnaryOp: ("operand", ("operand",)),
    ast.AugAssign: ("operand", ("value",)), ast.If: ("operand", ("test",)), ast.While: ("operand", ("test",)),
    ast.IfExp: ("operand", ("test",)), ast.Assert: ("operand", ("test",)), ast.FormattedValue: ("operand", ("value",)),
    ast.withitem: ("operand", ("context_expr",)), ast.For: ("iterated", ("iter",)),
    ast.comprehension: ("iterated", ("iter",)), ast.Starred: ("iterated", ("value",)),
    ast.YieldFrom: ("iterated", ("value",)),
}  # fmt: skip
PARTS = (
    "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_posonlyargcount",
    "co_kwonlyargcount", "co_exceptiontable",
)  # fmt: skip
FOREIGN = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
OWN = str(value.__file__)[: -len("value.py")]


class Rewriting(ChoiceRewriting):
    """Puts helpers in the place of comprehensions, calls, attributes, subscripts and operands of a function.

    Where a function changes something outside of itself, a guard comes first: no loop that calls it is an axis.
    """

    def __init__(self, file: str):
        self.file = file
        self.captured: list[list[tuple[int, int, set[str]]]] = []  # of each function around, see names_captured

    def after_guard(self, node: ast.expr) -> ast.expr:
        """An expression that is no part of an axis. (The guard returns None.)"""
        return ast.copy_location(ast.BoolOp(ast.Or(), [self.through("changes", node), node]), node)

    # Functions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.captured.append(names_captured(node))
        guarded = changes_outside(node)
        node.args.defaults = [self.visit(one) for one in node.args.defaults]
        node.args.kw_defaults = [one and self.visit(one) for one in node.args.kw_defaults]
        node.decorator_list = [self.through("calling", one, self.visit(one)) for one in node.decorator_list]
        node.body = self.visit_body(node)
        self.captured.pop()
        if guarded:
            node.body.insert(0, ast.copy_location(ast.Expr(self.through("changes", node)), node))
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in SEES_FRAME:  # it must be called from this very frame
            return self.after_guard(node)
        self.generic_visit(node)
        if len(node.args) == 1 and isinstance(node.args[0], ast.Starred) and isinstance(node.func, ast.Name):
            through = self.through("zipped_rows", node, node.func, node.args[0].value)
        else:
            through = self.through("call", node, node.func, *node.args)
        through.keywords = node.keywords  # type: ignore[attr-defined]
        return through

    # Loops: a comprehension becomes a function of an item and what it goes through; a statement stays a loop.

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self.visit_comprehension_of(node, "mapped")

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self.visit_comprehension_of(node, "generated")

    def visit_comprehension_of(self, node: Any, helper: str) -> ast.expr:
        loop = node.generators[0]
        body = None
        if len(node.generators) == 1 and not loop.ifs and not loop.is_async:
            body = self.body_of_loop(node, loop.target, node.elt)
        if body is None:
            return self.visit_loops(node)
        return self.through(helper, node, body, self.visit(loop.iter), self.site(node))

    def body_of_loop(self, loop: Any, target: ast.expr, result: ast.expr) -> ast.expr | None:
        """The result of a loop for each item, as a function of the item; None if it has to stay a loop."""
        names: list[str] = []
        pattern = pattern_of(target, names)
        if (
            pattern is None or any(isinstance(inner, STAYS) for inner in ast.walk(result))
            or any(isinstance(inner, ast.Name) and inner.id in SEES_FRAME for inner in ast.walk(loop))
        ):  # fmt: skip
            return None
        body = function_of(names, self.visit(result))
        if not pattern:
            return body
        entries = self.through("unpacked", loop, ast.Name("_item", ast.Load()), ast.Constant(pattern))
        return function_of(["_item"], ast.Call(body, [ast.Starred(entries, ast.Load())], []))

    def site(self, loop: Any) -> ast.expr:
        """The place of a loop in the source, by which it is remembered that it is no axis."""
        place: Any = (self.file, loop.lineno, loop.col_offset)
        return ast.Constant(place)

    def visit_loops(self, node: Any) -> ast.expr:
        """A comprehension that stays one."""
        changes = any(is_changed(inner, set()) for loop in node.generators for inner in ast.walk(loop.target))
        self.generic_visit(node)
        return self.after_guard(node) if changes else node

    visit_SetComp = visit_DictComp = visit_loops  # noqa: N815

    # A `for` statement becomes a function of a turn, too, beside the statement: if it is no axis, the statement runs.

    def visit_While(self, node: ast.While) -> Any:
        """A `while` with a counter is a `for` over a range, too."""
        found = counted(node)
        if found is None:
            return self.generic_visit(node)
        bound = ast.Name(f"{HELPER}bound_{node.lineno}_{node.col_offset}", ast.Load())
        test = self.through("same_bound", node, bound, copy.deepcopy(found.bound))
        items = self.through(
            "counted", node, ast.Name(found.name, ast.Load()), bound, *map(ast.Constant, (found.step, found.inclusive))
        )
        body = [self.copy_of(one) for one in (*node.body, ast.copy_location(ast.Expr(test), node))]
        loop = ast.For(ast.Name(found.name, ast.Store()), items, body, [])
        loop = ast.fix_missing_locations(ast.copy_location(loop, node))
        loop.end_lineno = node.end_lineno
        first = ast.Assign([ast.Name(bound.id, ast.Store())], self.visit(copy.deepcopy(found.bound)))
        statements = self.visit_loop(loop, node)
        return [ast.copy_location(first, node), *statements] if isinstance(statements, list) else statements

    def visit_For(self, node: ast.For) -> Any:
        return self.visit_loop(node, node)

    def visit_loop(self, node: ast.For, statement: ast.For | ast.While) -> Any:
        """A loop with a function of its turn before it; it runs where that cannot be read as one line."""
        names = self.assigned_in_turn(node)
        if names is None:
            return self.generic_visit(statement)
        known = [*names]
        result = ast.Return(ast.Tuple([ast.Name(name, ast.Load()) for name in known], ast.Load()))
        body = [ContinueReturns(result).visit(self.copy_of(one)) for one in node.body]
        first: ast.stmt = ast.Assign([copy.deepcopy(node.target)], ast.Name("_microgpt_item", ast.Load()))
        rewritten = self.visit_all([first, *body])
        turn = function("_microgpt_turn", parameters_of(["_microgpt_item", *known]), [*rewritten, result])
        counters = counters_of(node)
        items = ast.Assign([ast.Name("_microgpt_items", ast.Store())], self.visit(copy.deepcopy(node.iter)))
        fresh = surely_assigned(node)
        values = [
            function_of([], ast.Name(name if name not in fresh else HELPER + "unset", ast.Load())) for name in known
        ]
        found = self.through(
            "loop", node, ast.Name("_microgpt_turn", ast.Load()), ast.Name("_microgpt_items", ast.Load()),
            ast.Constant(tuple([(known.index(name), step) for name, step in counters.items()])),  # type: ignore[arg-type]
            ast.Tuple(values, ast.Load()), self.site(node),
        )  # fmt: skip
        read = ast.Assign([ast.Name("_microgpt_found", ast.Store())], found)
        if statement is node:
            node.iter = ast.Name("_microgpt_items", ast.Load())
        otherwise = self.generic_visit(statement)
        targets: ast.expr = ast.Tuple([ast.Name(name, ast.Store()) for name in known], ast.Store())
        choice = ast.If(
            ast.Compare(ast.Name("_microgpt_found", ast.Load()), [ast.IsNot()], [ast.Constant(None)]),
            [ast.Assign([targets], ast.Name("_microgpt_found", ast.Load()))], [otherwise],
        )  # fmt: skip
        return [ast.copy_location(one, node) for one in (turn, items, read, choice)]

    def copy_of(self, node: ast.stmt) -> ast.stmt:
        """A copy of a statement, in which the same `if` statements are forks."""
        known: dict[int, Any] = {}
        found = copy.deepcopy(node, known)
        if self.scope is not None:
            forks = self.scope.forks
            forks |= {known[id(one)]: names for one, names in list(forks.items()) if id(one) in known}
        return found

    def assigned_in_turn(self, loop: ast.For) -> dict[str, None] | None:
        """The names that the body of a loop assigns; None if the loop has to stay a statement."""
        if loop.orelse or not self.captured or depth_of(loop) > DEEP:
            return None
        parts = [part for one in loop.body for part in own_parts(one)]
        targets = list(own_parts(loop.target))
        if (
            leaves_loop(loop.body) or any(isinstance(part, LEAVES) for part in parts)
            or any(isinstance(part, ast.Name) and part.id in SEES_FRAME for part in parts)
            or any(isinstance(part, (ast.Subscript, ast.Attribute, ast.Starred)) for part in targets)
            or changes_objects(parts)
        ):  # fmt: skip
            return None
        names = dict.fromkeys([name for one in (*loop.body, loop.target) for name in names_stored(one)])
        lazy = [part for part in ast.walk(loop.iter) if isinstance(part, (ast.GeneratorExp, ast.Lambda))]
        if any(isinstance(inner, ast.Name) and inner.id in names for part in lazy for inner in ast.walk(part)):
            return None
        for first, last, captured in self.captured[-1]:
            inside = loop.lineno <= first and last <= (loop.end_lineno or 0)
            if not inside and not captured.isdisjoint(names):
                return None
        return names

    # Iterables and operands

    def generic_visit(self, node: Any) -> Any:
        """The node with its parts rewritten. Its iterable, or its operands, go through a helper."""
        helper, parts = PARTS_OF.get(type(node), ("", ()))
        if isinstance(getattr(node, "ctx", None), ast.Store):  # a target with a star
            parts = ()
        parts = [part for part in parts if helper == "iterated" or not isinstance(getattr(node, part), PLAIN)]
        super().generic_visit(node)
        for part in parts:
            inner = getattr(node, part)
            if helper == "operand" and is_call_of(inner, "subscript"):
                inner.func.id = HELPER + "entry"  # one call does the work of both
            else:
                setattr(node, part, self.through(helper, inner, inner))
        return node

    def visit_List(self, node: ast.List) -> ast.expr:
        self.generic_visit(node)
        return self.through("made", node, node) if isinstance(node.ctx, ast.Load) else node

    def visit_Assign(self, node: ast.Assign) -> Any:
        (target, *more) = node.targets
        self.generic_visit(node)
        if is_stored_item(target) and not more:
            assert isinstance(target, ast.Subscript)
            return self.stored(node, node.value, target.value, target.slice)
        if is_stored_attribute(target) and not more:
            assert isinstance(target, ast.Attribute)
            return self.set_attribute(node, node.value, target.value, target.attr)
        for part in [part for target in node.targets for part in ast.walk(target)]:
            if is_stored_item(part):
                part.value = self.through("changeable", part, part.value)  # type: ignore[attr-defined]
        if any(isinstance(target, (ast.Tuple, ast.List)) for target in node.targets):
            node.value = self.through("iterated", node.value, node.value)
        return node

    def set_attribute(self, node: ast.stmt, value: ast.expr, owner: ast.expr, name: str) -> ast.stmt:
        """owner.name = value"""
        set_it = self.through("set_attribute", node, value, owner, ast.Constant(name))
        return ast.copy_location(ast.Expr(set_it), node)

    def stored(self, node: ast.stmt, value: ast.expr, items: ast.expr, key: ast.expr) -> ast.stmt:
        """items[key] = value"""
        if isinstance(key, ast.Slice):
            parts = [part or ast.Constant(None) for part in (key.lower, key.upper, key.step)]
            key = self.through("slice", node, *parts)
        return ast.copy_location(ast.Expr(self.through("stored", node, value, items, key)), node)

    # Subscripts, attributes, and operators

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        key = node.slice
        if isinstance(key, ast.Slice):
            parts = [part or ast.Constant(None) for part in (key.lower, key.upper, key.step)]
            key = self.through("slice", node, *parts)
        return self.through("subscript", node, node.value, key)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        private = node.attr.startswith("__") and not node.attr.endswith("__")  # Python renames it within a class
        if private or not isinstance(node.ctx, ast.Load):
            return node
        return self.through("attribute", node, node.value, ast.Constant(node.attr))

    def visit_plain_operands(self, node: ast.BoolOp) -> Any:
        known = [isinstance(one, PLAIN) for one in node.values]
        self.generic_visit(node)
        node.values = [
            one if plain else self.through("operand", one, one) for one, plain in zip(node.values, known, strict=True)
        ]
        return node

    def visit_Dict(self, node: ast.Dict) -> Any:
        self.generic_visit(node)
        node.keys = [one and self.through("operand", one, one) for one in node.keys]
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        chain = self.visit_chain(node)
        if chain is not None:
            return chain
        self.generic_visit(node)
        kind, right = type(node.ops[0]), node.comparators[0]
        if kind in (ast.Is, ast.IsNot):
            if len(node.ops) > 1 or isinstance(right, ast.Constant):
                return node
            found = self.through("same", node, node.left, right)
            return found if kind is ast.Is else ast.copy_location(ast.UnaryOp(ast.Not(), found), node)
        if kind in (ast.In, ast.NotIn):
            node.comparators[0] = self.through("iterated", right, right)
        else:
            node.left, *node.comparators = [self.through("operand", one, one) for one in (node.left, *node.comparators)]
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        self.generic_visit(node)
        if is_stored_item(node.target):
            return self.changed_item(node)
        if is_stored_attribute(node.target):
            return self.changed_attribute(node)
        if isinstance(node.target, ast.Name):
            node.value = self.through("added_to", node, ast.Name(node.target.id, ast.Load()), node.value)
        return node

    def changed_item(self, node: ast.AugAssign) -> list[ast.stmt]:
        """items[key] += value, in steps"""
        assert isinstance(node.target, ast.Subscript)
        items, key, old = (ast.Name(HELPER + name, ast.Load()) for name in ("items_changed", "key", "old"))
        parts: Any = node.target.slice
        if isinstance(parts, ast.Slice):
            parts = self.through(
                "slice", node, *[one or ast.Constant(None) for one in (parts.lower, parts.upper, parts.step)]
            )
        stores = [ast.Name(name.id, ast.Store()) for name in (items, key, old)]
        steps = [
            ast.Assign([stores[0]], node.target.value),
            ast.Assign([stores[1]], parts),
            ast.Assign([stores[2]], self.through("subscript", node, items, key)),
            ast.AugAssign(stores[2], node.op, self.through("added_to", node, old, node.value)),
            self.stored(node, old, items, key),
        ]
        return [ast.copy_location(one, node) for one in steps]

    def changed_attribute(self, node: ast.AugAssign) -> list[ast.stmt]:
        """owner.name += value, in steps"""
        assert isinstance(node.target, ast.Attribute)
        owner, old = (ast.Name(HELPER + name, ast.Load()) for name in ("items_changed", "old"))
        stores, name = [ast.Name(one.id, ast.Store()) for one in (owner, old)], node.target.attr
        steps = [
            ast.Assign([stores[0]], node.target.value),
            ast.Assign([stores[1]], self.through("attribute", node, owner, ast.Constant(name))),
            ast.AugAssign(stores[1], node.op, self.through("added_to", node, old, node.value)),
            self.set_attribute(node, old, owner, name),
        ]
        return [ast.copy_location(one, node) for one in steps]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:  # Python evaluates no annotation within a function
        node.target = self.visit(node.target)
        node.value = node.value and self.visit(node.value)
        return node


# Changes outside of a function


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
    """A `while` whose counter goes up by a step in each turn, to a bound."""

    name: str
    bound: ast.expr
    step: int
    inclusive: bool


def counted(loop: ast.While) -> Counted | None:
    """The counter of a loop such as `while i < n:`, which ends with `i += 1`; None for any other loop."""
    test, last = loop.test, loop.body[-1]
    if loop.orelse or not isinstance(test, ast.Compare) or not isinstance(test.left, ast.Name) or len(test.ops) > 1:
        return None
    if not isinstance(test.ops[0], (ast.Lt, ast.LtE)) or not isinstance(last, ast.AugAssign):
        return None
    name, bound = test.left.id, test.comparators[0]
    stored = [one for part in loop.body for one in names_stored(part)]
    plain = all(isinstance(part, BOUNDS) for part in ast.walk(bound))
    calls = [part for part in ast.walk(bound) if isinstance(part, ast.Call)]
    step = last.value.value if isinstance(last.value, ast.Constant) else None
    fits = (
        isinstance(last.target, ast.Name) and last.target.id == name and isinstance(last.op, ast.Add)
        and type(step) is int and step > 0 and stored.count(name) == 1 and plain
        and all(getattr(call.func, "id", "") == "len" for call in calls)
        and not any(isinstance(part, ast.Name) and part.id in stored for part in ast.walk(bound))
        and not any(isinstance(part, ast.Continue) for one in loop.body for part in own_parts(one))
    )  # fmt: skip
    return Counted(name, bound, step, isinstance(test.ops[0], ast.LtE)) if fits and isinstance(step, int) else None


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


class ContinueReturns(ast.NodeTransformer):
    """Puts a return in the place of each `continue` of a loop."""

    def __init__(self, result: ast.Return):
        self.result = result

    def visit_Continue(self, node: ast.Continue) -> ast.stmt:
        return ast.copy_location(copy.deepcopy(self.result), node)

    def skip(self, node: Any) -> Any:
        return node

    visit_For = visit_While = visit_FunctionDef = skip  # noqa: N815


def leaves_loop(body: list[ast.stmt]) -> bool:
    """Whether a statement leaves the loop whose body this is."""
    for one in body:
        if isinstance(one, ast.Break):
            return True
        if not isinstance(one, (ast.For, ast.While)):
            inner = [
                part
                for part in ast.iter_child_nodes(one)
                if isinstance(part, (ast.stmt, ast.ExceptHandler, ast.match_case))
            ]
            if leaves_loop(inner):  # type: ignore[arg-type]
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
            names = {one.id for one in ast.walk(part) if isinstance(one, ast.Name)} - own
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
    found = {}
    for one in loop.body:
        if (
            isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name) and stored.count(one.target.id) == 1
            and isinstance(one.op, (ast.Add, ast.Sub)) and isinstance(one.value, ast.Constant)
            and type(one.value.value) is int and one.value.value
        ):  # fmt: skip
            found[one.target.id] = one.value.value if isinstance(one.op, ast.Add) else -one.value.value
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
            if any(isinstance(part, (ast.Continue, ast.Raise)) for part in ast.walk(one)):
                break
    return found


def is_changed(part: ast.AST, outer: set[str]) -> bool:
    """Whether this is an item, an attribute or an outer name, and gets something else here."""
    if isinstance(part, (ast.Subscript, ast.Attribute, ast.Name)):
        outside = not isinstance(part, ast.Name) or part.id in outer
        return outside and not isinstance(part.ctx, ast.Load)
    return any(getattr(part, name, None) in outer for name in ("name", "asname", "rest"))  # def, import, case


def is_call_of(node: ast.expr, helper: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == HELPER + helper


def pattern_of(target: ast.expr, names: list[str]) -> Any:
    """The nesting of loop variables: () for a single one, a tuple of patterns for several; None for anything else."""
    if isinstance(target, ast.Name):
        names.append(target.id)
        return ()
    if isinstance(target, (ast.Tuple, ast.List)) and target.elts:
        patterns = tuple(pattern_of(one, names) for one in target.elts)
        return None if None in patterns else patterns
    return None


def function_of(names: list[str], result: ast.expr) -> ast.expr:
    return ast.Lambda(parameters_of(names), result)


def parameters_of(names: list[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


class Sources:
    """The files that were parsed and the functions that were rewritten.

    Args:
        helpers: the names of the helpers; a rewritten function has them as variables from around it.
    """

    def __init__(self, helpers: Iterable[str]):
        self.helpers = tuple(helpers)
        self.codes: dict[CodeType, CodeType | None] = {}  # None: there is no source
        self.at_once: dict[CodeType, CodeType | None] = {}  # of generators
        self.files: dict[str, File] = {}
        self.told = False  # that without a source recording takes long

    def rewritten(self, function: FunctionType) -> CodeType | None:
        """The code of a function with helpers in it, or as it is if it has them; None if it has no source."""
        code = function.__code__
        if code not in self.codes:
            self.codes[code] = found = self.rewrite(code, function.__globals__) if may_be_rewritten(code) else None
            if found is not None:
                self.codes |= {done: done for done in codes_within(found)}
        return self.codes[code]

    def all_at_once(self, function: FunctionType) -> CodeType | None:
        """The code of a generator function, rewritten so that it returns a list of all items; None if it cannot be."""
        code = function.__code__
        if code not in self.at_once:
            found = self.rewrite(code, function.__globals__, True) if may_be_rewritten(code) else None
            self.at_once[code] = found
            self.codes |= {done: done for done in codes_within(found)} if found else {}
        return self.at_once[code]

    def rewrite(self, code: CodeType, module_globals: dict[str, Any], at_once: bool = False) -> CodeType | None:
        lines = linecache.getlines(code.co_filename, module_globals)
        file = self.files.get(code.co_filename)
        if file is None or file.lines is not lines:
            file = self.files[code.co_filename] = File(lines)
        for node in file.functions.get((code.co_name, code.co_firstlineno), []):
            try:
                # Several lambdas can begin in one line, and the file may not be any more what was imported.
                if same_code(self.compiled(node, code, file), code):
                    changed = copy.deepcopy(node)
                    if at_once and not Gathered().gather(changed):
                        return None
                    changed = Rewriting(code.co_filename).visit(changed)
                    return self.compiled(ast.fix_missing_locations(changed), code, file)
            except (SyntaxError, ValueError):
                continue
        return None

    def compiled(self, node: Any, code: CodeType, file: "File") -> CodeType:
        """The code of a definition, within a function that has its outer variables and the helpers."""
        parameters = [ast.arg(name) for name in (*code.co_freevars, *self.helpers)]
        if isinstance(node, ast.Lambda):
            result: ast.stmt = ast.Return(node)
            body: list[ast.stmt] = [result]
        else:
            bare = type(node)(**{**dict(ast.iter_fields(node)), "decorator_list": [], "returns": None})
            bare.args = without_annotations(bare.args)
            body = [ast.copy_location(bare, node), ast.Return(ast.Name(node.name, ast.Load()))]
            if node.name not in code.co_freevars:  # a function of a module, which finds itself there
                body = [ast.Global([node.name]), *body]
        around = function("around", ast.arguments([], parameters, None, [], [], None, []), body)
        # Python compiles a call of a function of an imported module in another way if it sees the import.
        imports: list[ast.stmt] = [ast.Import([ast.alias(name)]) for name in file.imported]
        module = ast.fix_missing_locations(ast.Module([*imports, around], []))
        flags = code.co_flags & 0x1FF0000  # the imports of the file from __future__
        outer = compile(module, code.co_filename, "exec", flags, dont_inherit=True)
        (inside,) = [constant for constant in outer.co_consts if isinstance(constant, CodeType)]
        return next(
            constant
            for constant in inside.co_consts
            if isinstance(constant, CodeType) and constant.co_name == code.co_name
        )


class File:
    """A file, parsed: its functions by their name and first line, and the names that it imports."""

    def __init__(self, lines: list[str]):
        self.lines = lines
        self.functions: dict[tuple[str, int], list[Any]] = {}
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            tree = ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                self.functions.setdefault((node.name, first), []).append(node)
            elif isinstance(node, ast.Lambda):
                self.functions.setdefault(("<lambda>", node.lineno), []).append(node)
        self.imported = imports_of(tree)


def imports_of(tree: ast.Module) -> list[str]:
    """The names that a module imports outside of its functions and classes."""
    found: set[str] = set()
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            left += ast.iter_child_nodes(node)
    return sorted(found - {"*"})


def may_be_rewritten(code: CodeType) -> bool:
    """Whether code belongs to no installed package, and depends on no class that it stands in."""
    names = {*code.co_names, *code.co_varnames, *code.co_freevars}
    private = any(name.startswith("__") and not name.endswith("__") for name in names)
    foreign = code.co_filename.startswith(FOREIGN) and not code.co_filename.startswith(OWN)
    asynchronous = code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    return not (private or foreign or asynchronous or "__class__" in code.co_freevars)


def codes_within(code: CodeType) -> Iterator[CodeType]:
    """A code and those of the functions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_within(constant)


def same_code(a: CodeType, b: CodeType) -> bool:
    """Whether two codes do the same: the same instructions, on the same names and constants, and so all within them."""
    if any(getattr(a, part) != getattr(b, part) for part in PARTS) or len(a.co_consts) != len(b.co_consts):
        return False
    pairs = list(zip(a.co_consts, b.co_consts, strict=True))
    if "__qualname__" in a.co_names:  # a class names the function that it stands in, here another one
        pairs = [pair for pair in pairs if pair != (a.co_qualname, b.co_qualname)]
    return all(
        same_code(x, y)
        if isinstance(x, CodeType) and isinstance(y, CodeType)
        else (type(x), repr(x)) == (type(y), repr(y))
        for x, y in pairs
    )


def without_annotations(arguments: ast.arguments) -> ast.arguments:
    """Parameters without annotations and defaults, which the function has already."""
    bare = {
        name: [ast.copy_location(ast.arg(one.arg), one) for one in getattr(arguments, name)]
        for name in ("posonlyargs", "args", "kwonlyargs")
    }
    rest = [one and ast.copy_location(ast.arg(one.arg), one) for one in (arguments.vararg, arguments.kwarg)]
    return ast.arguments(
        bare["posonlyargs"], bare["args"], rest[0], bare["kwonlyargs"], [None] * len(bare["kwonlyargs"]), rest[1], []
    )
