"""Rewrites the source of a function, so that each of its lines tells what it made, and choices make both branches.

    h = w * x                h = w * x
                             _microgpt_note(_microgpt_here, 12, "h", h)

The choices are rewritten as the compiler does it (engines/compiled/branches.py). following.py has the helpers.
"""

import ast
from typing import Any

from microgpt.engines.compiled.branches import HELPER, SEES_FRAME, ChoiceRewriting, own_parts

HERE = HELPER + "here"  # the variable of a function that knows this call of it
LOOPS: dict[tuple[str, int, str], list[tuple[int, int]]] = {}  # of a function, by place: first and last lines of loops


class Noting(ChoiceRewriting):
    """Puts notes behind the statements of a function, and helpers in the place of its calls and choices."""

    def __init__(self, file: str):
        self.file = file

    def told(self, helper: str, node: Any, *arguments: ast.expr) -> ast.expr:
        """A call of a helper that gets this call of the function, and the line."""
        return self.through(helper, node, ast.Name(HERE, ast.Load()), ast.Constant(node.lineno), *arguments)

    def note(self, node: Any, targets: list[ast.expr], helper: str = "note") -> list[ast.stmt]:
        """Statements that note what these targets have now."""
        known = [part for target in targets for part in parts_of(target) if can_be_read_again(part)]
        if not known and helper in ("note", "given"):
            return []
        read = [as_read(part) for part in known]
        words: Any = tuple([ast.unparse(part) for part in known])
        return [ast.copy_location(ast.Expr(self.told(helper, node, ast.Constant(words), *read)), node)]

    # Functions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        parts = [part for statement in node.body for part in own_parts(statement)]
        spans = [(part.lineno, part.end_lineno or 0) for part in parts if isinstance(part, (ast.For, ast.While))]
        LOOPS[self.file, first, node.name] = spans
        node.args.defaults = [self.visit(one) for one in node.args.defaults]
        node.args.kw_defaults = [one and self.visit(one) for one in node.args.kw_defaults]
        body = self.visit_body(node)
        names: list[ast.expr] = [*names_of(node.args)]
        begin = ast.Assign([ast.Name(HERE, ast.Store())], self.begun(node, first, node.name))
        start: list[ast.stmt] = [ast.copy_location(begin, node), *self.note(node, names, "given")]
        if any(isinstance(part, (ast.Global, ast.Nonlocal)) for part in parts):
            start.append(self.changing(node))
        node.body = [*start, *body]
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self.generic_visit(node)
        names = names_of(node.args)
        words: Any = tuple([name.id for name in names])
        given = self.told("given", node, ast.Constant(words), *names)  # which gives None
        body = ast.copy_location(ast.BoolOp(ast.Or(), [given, self.told("returned", node, node.body)]), node)
        inside = ast.Lambda(ast.arguments([], [ast.arg(HERE)], None, [], [], None, []), body)
        node.body = ast.copy_location(
            ast.Call(ast.copy_location(inside, node), [self.begun(node, node.lineno, "<lambda>")], []), node
        )
        return node

    def begun(self, node: Any, first: int, name: str) -> ast.expr:
        place: Any = (self.file, first, name, node.end_lineno or first)
        return self.through("begin", node, ast.Constant(place))

    def changing(self, node: Any) -> ast.stmt:
        """A statement before one that changes an object."""
        return ast.copy_location(ast.Expr(self.through("changes", node)), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        self.generic_visit(node)
        if name in SEES_FRAME:
            return node
        found = self.told("call", node, node.func, *node.args)
        found.keywords = node.keywords  # type: ignore[attr-defined]
        return found

    # Choices

    def test(self, node: ast.expr) -> Any:
        return self.told("asked", node, ast.Constant(ast.unparse(node)), super().test(node))

    def visit_If(self, node: ast.If) -> Any:
        if self.scope is not None and node in self.scope.forks:
            return super().visit_If(node)
        node.test = self.test(node.test)
        node.body, node.orelse = self.visit_all(node.body), self.visit_all(node.orelse)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        chain = self.visit_chain(node)
        if chain is not None:
            return chain
        self.generic_visit(node)
        (kind, *more), (right, *_) = node.ops, node.comparators
        if more or not isinstance(kind, (ast.Is, ast.IsNot)) or isinstance(right, ast.Constant):
            return node
        found = self.through("same", node, node.left, right)
        return found if isinstance(kind, ast.Is) else ast.copy_location(ast.UnaryOp(ast.Not(), found), node)

    def visit_plain_operands(self, node: ast.BoolOp) -> Any:
        self.generic_visit(node)
        return node

    # Statements

    def visit_While(self, node: ast.While) -> Any:
        node.test = self.test(node.test)
        node.body = [*self.note(node, [], "turn"), *self.visit_all(node.body)]
        node.orelse = self.visit_all(node.orelse)
        return node

    def visit_For(self, node: ast.For) -> Any:
        node.iter = self.visit(node.iter)
        node.body = [*self.note(node, [node.target], "turn"), *self.visit_all(node.body)]
        node.orelse = self.visit_all(node.orelse)
        return node

    def assigned(self, node: Any, targets: list[ast.expr]) -> list[ast.stmt]:
        """An assignment, with what it changes before it and the note behind it."""
        changed = any(isinstance(one, (ast.Subscript, ast.Attribute)) for target in targets for one in ast.walk(target))
        notes = self.note(node, targets)  # before the targets are rewritten
        self.generic_visit(node)
        return [*([self.changing(node)] if changed else []), node, *notes]

    def visit_Assign(self, node: ast.Assign) -> Any:
        return self.assigned(node, node.targets)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        return self.assigned(node, [node.target])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return self.assigned(node, [node.target]) if node.value is not None else node

    def visit_Delete(self, node: ast.Delete) -> Any:
        self.generic_visit(node)
        return [self.changing(node), node]

    def visit_Expr(self, node: ast.Expr) -> Any:
        grown = node.value if isinstance(node.value, ast.Call) else None
        owner = grown.func.value if grown and isinstance(grown.func, ast.Attribute) else None
        notes = self.note(node, [owner]) if isinstance(owner, ast.Name) and grown and grown.args else []
        self.generic_visit(node)
        return [node, *notes]

    def visit_Return(self, node: ast.Return) -> Any:
        value = ast.Constant(None) if node.value is None else self.visit(node.value)
        node.value = self.told("returned", node, value)
        if self.scope is not None and self.scope.early:
            in_branch = self.scope.in_branch
            node.value = ast.Tuple([node.value], ast.Load()) if in_branch else self.result_of(node, node.value)
        return node

    def visit_Yield(self, node: ast.Yield) -> Any:
        value = ast.Constant(None) if node.value is None else self.visit(node.value)
        return ast.copy_location(ast.Yield(self.told("yielded", node, value)), node)


def names_of(arguments: ast.arguments) -> list[ast.Name]:
    """The parameters of a function, to be read."""
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    found += [one for one in (arguments.vararg, arguments.kwarg) if one]
    return [ast.Name(one.arg, ast.Load()) for one in found]


def parts_of(target: ast.expr) -> list[ast.expr]:
    """The single targets in one that may be a tuple."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return [part for one in target.elts for part in parts_of(one)]
    return parts_of(target.value) if isinstance(target, ast.Starred) else [target]


def can_be_read_again(target: ast.expr) -> bool:
    """Whether a target can be read once more without any other effect."""
    plain = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.BinOp, ast.UnaryOp)
    other = (ast.operator, ast.unaryop, ast.expr_context)
    return all(isinstance(part, (*plain, *other)) for part in ast.walk(target))


def as_read(target: ast.expr) -> ast.expr:
    """An expression that reads a target."""
    found: Any = ast.parse(ast.unparse(target), mode="eval").body
    return found
