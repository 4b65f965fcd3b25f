"""Rewrites the source of a function, so that its loops, calls, subscripts and changes go through helpers.

Python has no way to ask before it runs a comprehension: so `[f(x) for x in items]` becomes `_microgpt_mapped(...)`.
"""

import ast
import copy
from typing import Any

from microgpt.engines.compiled.bodies import (
    JumpReturns,
    SingleTargets,
    WithoutJumps,
    changes_objects,
    changes_outside,
    counted,
    counters_of,
    depth_of,
    is_changed,
    is_stored_attribute,
    is_stored_item,
    names_captured,
    names_stored,
    surely_assigned,
    tested_first,
)
from microgpt.engines.compiled.branches import HELPER, SEES_FRAME, ChoiceRewriting, function, own_parts

STAYS = (ast.Lambda, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # these keep a comprehension as it is
LEAVES = (  # a body with one of these stays a statement
    ast.Return, ast.Yield, ast.YieldFrom, ast.Await, ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.Import,
    ast.ImportFrom, ast.Delete, ast.Global, ast.Nonlocal, ast.Try, ast.Match,
)  # fmt: skip
DEEP = 6  # loops, one in the other, of which the body would be rewritten twice each
REPEATED = (
    ast.Name,
    ast.Constant,
    ast.Attribute,
    ast.Subscript,
    ast.Compare,
    ast.operator,
    ast.cmpop,
    ast.expr_context,
)
NUMBERS = {"bool", "int", "float", "complex", "Number", "Real", "Rational", "Integral", "Value"}  # classes
PLAIN = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp)  # their operands have been through a helper
PARTS_OF: dict[type, tuple[str, Any]] = {  # a helper, and which parts of a node go through it
    ast.BinOp: ("operand", ("left", "right")), ast.UnaryOp: ("operand", ("operand",)),
    ast.AugAssign: ("operand", ("value",)), ast.If: ("operand", ("test",)), ast.While: ("operand", ("test",)),
    ast.IfExp: ("operand", ("test",)), ast.Assert: ("operand", ("test",)),
    ast.withitem: ("operand", ("context_expr",)), ast.For: ("iterated", ("iter",)),
    ast.comprehension: ("iterated", ("iter",)), ast.Starred: ("spread", ("value",)),
    ast.YieldFrom: ("iterated", ("value",)),
}  # fmt: skip


class Rewriting(ChoiceRewriting):
    """Puts helpers in the place of comprehensions, calls, attributes, subscripts and operands of a function.

    Where a function changes something outside of itself, a guard comes first: no loop that calls it is an axis.
    """

    branches_change = True

    def __init__(self, file: str):
        self.file = file
        self.captured: list[list[tuple[int, int, set[str]]]] = []  # of each function around, see names_captured

    def after_guard(self, node: ast.expr) -> ast.expr:
        """An expression that is no part of an axis. (The guard returns None.)"""
        return ast.copy_location(ast.BoolOp(ast.Or(), [self.through("changes", node), node]), node)

    # Functions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.captured.append(names_captured(node))
        for simplified in (SingleTargets(), WithoutJumps()):
            node.body = simplified.visit(ast.Module(node.body, [])).body
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
            is_super = isinstance(node.func, ast.Name) and name == "super" and not node.args
            return node if is_super else self.after_guard(node)
        if name.startswith(HELPER):
            return node
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
        body, kept = None, list[Any]()
        if len(node.generators) == 1 and not loop.is_async:
            body = self.body_of_loop(node, loop.target, node.elt)
            tests = [ast.BoolOp(ast.And(), loop.ifs)] if len(loop.ifs) > 1 else loop.ifs
            kept = [self.body_of_loop(node, loop.target, one) for one in tests]
        if body is None or None in kept:
            found = self.visit_loops(node)
            return self.through("made", node, found) if isinstance(node, ast.ListComp) else found
        return self.through(helper, node, body, self.visit(loop.iter), self.site(node), *kept)

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

    visit_SetComp = visit_loops  # noqa: N815

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        return self.through("new_dict", node, self.visit_loops(node))

    # A `for` statement becomes a function of a turn, too, beside the statement: if it is no axis, the statement runs.

    def visit_While(self, node: ast.While) -> Any:
        """A `while` with a counter is a `for` over a range, too."""
        tested = tested_first(node)
        found = counted(tested)
        if found is None:
            return self.generic_visit(node)
        bound = ast.Name(f"{HELPER}bound_{node.lineno}_{node.col_offset}", ast.Load())
        test = self.through("same_bound", node, bound, copy.deepcopy(found.bound))
        items = self.through(
            "counted", node, ast.Name(found.name, ast.Load()), bound, ast.Constant(found.step), ast.Constant(found.test)
        )
        body = [self.copy_of(one) for one in (*tested.body, ast.copy_location(ast.Expr(test), node))]
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
        last = ast.Return(
            self.through("last_turn", node, ast.Tuple([ast.Name(name, ast.Load()) for name in known], ast.Load()))
        )
        body = [JumpReturns(result, last).visit(self.copy_of(one)) for one in node.body]
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
            forks |= {known[id(one)]: fork for one, fork in list(forks.items()) if id(one) in known}
        return found

    def assigned_in_turn(self, loop: ast.For) -> dict[str, None] | None:
        """The names that the body of a loop assigns; None if the loop has to stay a statement."""
        if loop.orelse or not self.captured or depth_of(loop) > DEEP:
            return None
        parts = [part for one in loop.body for part in own_parts(one)]
        targets = list(own_parts(loop.target))
        if (
            any(isinstance(part, LEAVES) for part in parts)
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
        iterates = helper in ("iterated", "spread")
        parts = [part for part in parts if iterates or not isinstance(getattr(node, part), PLAIN)]
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
        longer = None if more else made_longer(target, node.value)
        if longer is not None:
            helper, first, second, in_front = longer
            node.value = self.through(helper, node, self.visit(first), self.visit(second), ast.Constant(in_front))
            node.targets = [self.visit(target)]
        else:
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
        unpacks = [target for target in node.targets if isinstance(target, (ast.Tuple, ast.List))]
        if unpacks:
            all_at_once = any(isinstance(part, ast.Starred) for part in ast.walk(unpacks[0]))
            node.value = self.through("spread" if all_at_once else "iterated", node.value, node.value)
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
        return self.through("new_dict", node, node)

    def visit_Compare(self, node: ast.Compare) -> Any:
        is_asked = any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops)
        if is_asked and len(node.ops) > 1 and all(map(may_be_repeated, node.comparators[:-1])):  # a is b and b is c
            pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
            parts: list[ast.expr] = [ast.Compare(copy.deepcopy(a), [op], [b]) for a, op, b in pairs]
            return self.visit(ast.copy_location(ast.BoolOp(ast.And(), parts), node))
        chain = self.visit_chain(node)
        if chain is not None:
            return chain
        self.generic_visit(node)
        kind, right = type(node.ops[0]), node.comparators[0]
        if kind in (ast.Is, ast.IsNot):
            if len(node.ops) > 1:
                return node
            found = self.through("same", node, node.left, right)
            return found if kind is ast.Is else ast.copy_location(ast.UnaryOp(ast.Not(), found), node)
        if kind in (ast.In, ast.NotIn):
            node.left = self.through("member", node.left, node.left)
            node.comparators[0] = self.through("searched", right, right)
        else:
            node.left, *node.comparators = [self.through("operand", one, one) for one in (node.left, *node.comparators)]
        return node

    # Texts, patterns, and errors

    def visit_Try(self, node: ast.Try) -> ast.Try:
        self.generic_visit(node)
        if node.handlers:
            caught = [one.type or ast.Name("BaseException", ast.Load()) for one in node.handlers]
            tried = self.through("tried", node, function_of([], ast.Tuple(copy.deepcopy(caught), ast.Load())))
            node.body = [ast.copy_location(ast.With([ast.withitem(tried)], node.body), node)]
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        node.values = self.visit_all(node.values)
        return self.through("text", node, node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        node.value = self.through("operand", node.value, self.visit(node.value))
        if isinstance(node.format_spec, ast.JoinedStr):
            node.format_spec.values = self.visit_all(node.format_spec.values)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        is_text = isinstance(node.op, ast.Mod) and isinstance(getattr(node.left, "value", None), str)
        self.generic_visit(node)
        if isinstance(node.op, ast.BitOr):
            return self.through("new_dict", node, node)
        return self.through("text", node, node) if is_text else node

    def visit_Match(self, node: ast.Match) -> ast.Match:
        patterns = [part for case in node.cases for part in ast.walk(case.pattern)]
        self.generic_visit(node)
        if any(asks_kind(pattern) for pattern in patterns):
            node.subject = self.through("matched", node.subject, node.subject)
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


def made_longer(target: ast.expr, value: ast.expr) -> tuple[str, ast.expr, ast.expr, bool] | None:
    """A helper, and what it adds up: the list of a name, which gets this name, and another one; None for anything else.

    Such are x = x + [a], x = [a] + x, x = [*x, a] and x = [a, *x]. The other one may come in front.
    """
    first: ast.expr | None = None
    helper = "longer_list"
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        helper, first, second = "longer", value.left, value.right
    elif isinstance(value, ast.List) and len(value.elts) > 1:
        if isinstance(value.elts[0], ast.Starred):
            first, second = value.elts[0].value, ast.List(value.elts[1:], ast.Load())
        elif isinstance(value.elts[-1], ast.Starred):
            first, second = ast.List(value.elts[:-1], ast.Load()), value.elts[-1].value
    if first is None or not isinstance(target, ast.Name):
        return None
    same = [isinstance(one, ast.Name) and one.id == target.id for one in (first, second)]
    if not any(same):
        return None
    return helper, ast.copy_location(first, value), ast.copy_location(second, value), not same[0]


def asks_kind(pattern: ast.AST) -> bool:
    """Whether a pattern asks what kind of number something is, or whether it is True."""
    if isinstance(pattern, ast.MatchSingleton):
        return pattern.value is not None
    return (
        isinstance(pattern, ast.MatchClass) and getattr(pattern.cls, "id", getattr(pattern.cls, "attr", "")) in NUMBERS
    )


def may_be_repeated(node: ast.expr) -> bool:
    """Whether it is the same to evaluate an expression twice."""
    return all(isinstance(part, REPEATED) for part in ast.walk(node))


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
