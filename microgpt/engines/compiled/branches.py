"""Choices in the source of a function, rewritten so that a recorded scalar can make them.

The branches of `a if x > 0 else b`, and of `if` statements that may be such choices, become functions. A helper of
choices.py runs one of them or, if the test is a recorded scalar, both. So do the operands of `and` and `or`.
"""

import ast
import linecache
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

HELPER = "_microgpt_"  # how the names of all helpers begin
EARLY, RESULT, FIRST, SECOND = (HELPER + name for name in ("early", "result", "first", "second"))
IN_PLACE = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # these mean something else within another function
SEES_FRAME = {  # these look at the frame that calls them
    "super", "locals", "globals", "vars", "dir", "eval", "exec", "__class__", "currentframe", "_getframe", "stack",
}  # fmt: skip
ASKERS = {
    "sorted": "sorted",
    "sort": "sorted",
    "any": "any or all",
    "all": "any or all",
    "filter": "filter",
}  # functions
LISTS = (ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
EQUAL = (ast.Eq, ast.NotEq)  # of the indices of two loops


class Scope:
    """A function, of which branches become functions within it.

    `forks` are its `if` statements that a scalar may decide, and the variables that each assigns. `early` says whether
    one of them returns.

    Args:
        body: its statements.
        changes: whether branches may change lists and objects, call and loop, too.
    """

    def __init__(self, body: Iterable[ast.AST] = (), changes: bool = False):
        parts = [part for statement in body for part in own_parts(statement)]
        self.outer = {name for part in parts if isinstance(part, (ast.Global, ast.Nonlocal)) for name in part.names}
        yields = any(isinstance(part, (ast.Yield, ast.YieldFrom)) for part in parts)
        sees_frame = any(isinstance(part, ast.Name) and part.id in SEES_FRAME for part in parts)
        self.changes = changes
        self.forks: dict[ast.If, tuple[str, ...]] = {}
        self.find([] if sees_frame else body, not yields)
        self.early = any(returns(fork) for fork in self.forks)
        self.in_branch = False

    def find(self, statements: Iterable[ast.AST], may_return: bool) -> None:
        """Note all forks. Within a `while`, of which a scalar could decide when it ends, they do not return."""
        for node in statements:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.expr)):
                continue
            if isinstance(node, ast.If) and may_be_scalar(node.test) and (may_return or not returns(node)):
                names, inside = set[str](), node.body + node.orelse
                if all([is_simple(one, names, self.changes) for one in inside]) and not names & self.outer:
                    self.forks[node] = tuple(sorted(names))
            self.find(ast.iter_child_nodes(node), may_return and not isinstance(node, ast.While))


class ChoiceRewriting(ast.NodeTransformer):
    """Puts helpers in the place of choices."""

    scope: Scope | None = Scope()  # None in the body of a class, whose variables no function within it sees, or async
    branches_change = False  # lists and objects, call and loop

    def through(self, name: str, node: ast.AST, *arguments: ast.expr) -> ast.expr:
        return ast.copy_location(ast.Call(ast.Name(HELPER + name, ast.Load()), list(arguments), []), node)

    def visit_all(self, statements: list[Any]) -> list[Any]:
        """Statements, each rewritten as none, one or several."""
        found: list[Any] = []
        for statement in statements:
            new = self.visit(statement)
            found += new if isinstance(new, list) else [new] if new is not None else []
        return found

    def in_scope(self, scope: Scope | None, statements: list[Any]) -> list[Any]:
        before, self.scope = self.scope, scope
        found = self.visit_all(statements)
        self.scope = before
        return found

    def visit_body(self, node: ast.FunctionDef) -> list[Any]:
        """The statements of a function, rewritten."""
        scope = Scope(node.body, self.branches_change)
        body = self.in_scope(scope, node.body)
        if scope.early:
            end: ast.stmt = ast.Return(self.result_of(node, ast.Constant(None)))
            early = ast.withitem(self.through("returns", node), ast.Name(EARLY, ast.Store()))
            failed = ast.Return(self.result_of(node, ast.Constant(math.nan)))
            body = [ast.copy_location(one, node) for one in (ast.With([early], [*body, end]), failed)]
        names = sorted({name for own in scope.forks.values() for name in own})
        # An annotation makes a variable one of this function, and does nothing else.
        return [ast.AnnAssign(ast.Name(name, ast.Store()), ast.Constant(None), None, 1) for name in names] + body

    def visit_ClassDef(self, node: Any) -> Any:
        before, self.scope = self.scope, None
        self.generic_visit(node)
        self.scope = before
        return node

    visit_AsyncFunctionDef = visit_ClassDef  # noqa: N815

    # Expressions

    def moves(self, *parts: ast.expr) -> bool:
        """Whether parts of an expression can become functions."""
        return self.scope is not None and all(map(stays, parts))

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        if not may_be_scalar(node.test) or not self.moves(node.body, node.orelse):
            return self.generic_visit(node)
        branches = [later(self.visit(one)) for one in (node.body, node.orelse)]
        return self.through("chosen", node, self.test(node.test), *branches)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """a and b and c, as (a and b) and c"""
        return self.operands(node, self.visit)

    def test(self, node: ast.expr) -> Any:
        """A test, in which Python asks each operand of `and` and `or` once for its truth."""

        def truth(one: ast.expr) -> Any:
            if isinstance(one, ast.BoolOp):
                return self.operands(one, truth)
            return self.visit(one) if isinstance(one, ast.Compare) else self.through("truth", one, self.visit(one))

        return self.operands(node, truth) if isinstance(node, ast.BoolOp) else self.visit(node)

    def operands(self, node: ast.BoolOp, visit: Callable[[ast.expr], Any]) -> Any:
        first, *rest = node.values
        if not any(map(may_be_scalar, node.values)) or not self.moves(*rest):
            return self.visit_plain_operands(node)
        found, helper = visit(first), "both" if isinstance(node.op, ast.And) else "either"
        for one in rest:
            found = self.through(helper, node, found, later(visit(one)))
        return found

    def visit_plain_operands(self, node: ast.BoolOp) -> Any:
        raise NotImplementedError

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if not isinstance(node.op, ast.Not) or not may_be_scalar(node.operand):
            return self.generic_visit(node)
        return self.through("negated", node, self.visit(node.operand))

    def visit_chain(self, node: ast.Compare) -> Any:
        """a < b < c; None if it is none."""
        first, second, *rest = node.left, *node.comparators
        if len(node.ops) < 2 or not all(isinstance(one, ORDER) for one in node.ops) or not self.moves(*rest):
            return None
        names: Any = tuple([type(one).__name__.lower().replace("te", "e") for one in node.ops])
        parts = [self.visit(first), self.visit(second), *[later(self.visit(one)) for one in rest]]
        return self.through("chained", node, ast.Constant(names), *parts)

    # Statements

    def visit_If(self, node: ast.If) -> Any:
        scope = self.scope
        if scope is None or node not in scope.forks:
            return self.generic_visit(node)
        names: Any = scope.forks[node]
        functions = [
            self.branch(name, *part) for name, part in ((FIRST, (node.body, names)), (SECOND, (node.orelse, names)))
        ]
        branches: list[ast.expr] = [ast.Name(name, ast.Load()) for name in (FIRST, SECOND)]
        early: list[ast.expr] = [ast.Name(EARLY, ast.Load())] if returns(node) else []
        call = self.through("decided", node, self.test(node.test), *branches, ast.Constant(names), *early)
        statements = [*functions, ast.Assign([ast.Name(RESULT, ast.Store())], call)]
        if returns(node):
            found: ast.expr = ast.Name(RESULT, ast.Load())
            if not scope.in_branch:
                found = self.result_of(node, ast.Subscript(found, ast.Constant(0), ast.Load()))
            statements.append(ast.If(ast.Name(RESULT, ast.Load()), [ast.Return(found)], []))
        return [ast.copy_location(one, node) for one in statements]

    def branch(self, name: str, statements: list[Any], names: tuple[str, ...]) -> ast.FunctionDef:
        """A function of a branch, which has these variables of the function around it."""
        assert self.scope is not None
        before, self.scope.in_branch = self.scope.in_branch, True
        body = self.visit_all(statements) or [ast.Pass()]
        self.scope.in_branch = before
        shared: list[Any] = [ast.Nonlocal(list(names))] if names else []
        return function(name, ast.arguments([], [], None, [], [], None, []), [*shared, *body])

    def visit_Return(self, node: ast.Return) -> Any:
        self.generic_visit(node)
        if self.scope is not None and self.scope.early and not hasattr(node, "ends_turn"):
            value = node.value or ast.Constant(None)
            node.value = ast.Tuple([value], ast.Load()) if self.scope.in_branch else self.result_of(node, value)
        return node

    def result_of(self, node: ast.AST, value: ast.expr) -> ast.expr:
        method = ast.Attribute(ast.Name(EARLY, ast.Load()), "result", ast.Load())
        return ast.copy_location(ast.Call(method, [value], []), node)


def function(name: str, arguments: ast.arguments, body: list[ast.stmt]) -> ast.FunctionDef:
    found = ast.FunctionDef(name, arguments, body, [], None)
    if sys.version_info >= (3, 12):
        found.type_params = []
    return found


def later(result: ast.expr) -> ast.expr:
    """A function that gives a result."""
    return ast.copy_location(ast.Lambda(ast.arguments([], [], None, [], [], None, []), result), result)


def own_parts(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, without the functions in it."""
    yield node
    if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
        for child in ast.iter_child_nodes(node):
            yield from own_parts(child)


def returns(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Return) for one in own_parts(node))


def may_be_scalar(test: ast.expr) -> bool:
    """Whether a recorded scalar may decide a test, by its form: not where it is `a is b`, for example."""
    if isinstance(test, ast.Compare):
        constant = any(isinstance(one, ast.Constant) for one in (test.left, *test.comparators))
        return any(isinstance(one, ORDER) or (isinstance(one, EQUAL) and not constant) for one in test.ops)
    if isinstance(test, ast.BoolOp):
        return any(map(may_be_scalar, test.values))
    if isinstance(test, ast.UnaryOp):
        return may_be_scalar(test.operand)
    if isinstance(test, ast.Call):
        return getattr(test.func, "id", "") not in ("isinstance", "len", "hasattr", "callable", "any", "all")
    return isinstance(test, (ast.Name, ast.Attribute, ast.Subscript, ast.IfExp, ast.NamedExpr))


def is_simple(statement: ast.stmt, names: set[str], changes: bool = False, in_loop: bool = False) -> bool:
    """Whether a statement only assigns variables, whose names it adds, or returns; or is an `if` of such statements.

    With `changes` it may change lists and objects, call and loop, too: whatever means the same in another function.
    """
    if isinstance(statement, ast.If) or (changes and isinstance(statement, (ast.For, ast.While))):
        loops = not isinstance(statement, ast.If)
        head = [statement.target, statement.iter] if isinstance(statement, ast.For) else [statement.test]
        names |= names_in(head[:-1])
        inside = [is_simple(one, names, changes, in_loop or loops) for one in statement.body]
        return (
            all(map(stays, head))
            and all(map(is_variable, head[:-1]))
            and all([*inside, *[is_simple(one, names, changes, in_loop) for one in statement.orelse]])
        )
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        targets = [statement.target]
    elif changes and isinstance(statement, (ast.Expr, ast.Break, ast.Continue)):
        return stays(statement.value) if isinstance(statement, ast.Expr) else in_loop
    else:
        value = getattr(statement, "value", None)
        return isinstance(statement, ast.Pass) or (
            isinstance(statement, ast.Return) and (value is None or stays(value))
        )
    names |= names_in(targets)
    single = changes and len(targets) == 1 and isinstance(targets[0], ast.Attribute)
    fits = single or all(is_variable(target, changes) for target in targets)
    return fits and all(map(stays, targets)) and statement.value is not None and stays(statement.value)


def is_variable(target: ast.expr, items: bool = False) -> bool:
    """Whether a target is a variable, or several; or an item, too, where these are asked for."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(is_variable(one, items) for one in target.elts)
    if isinstance(target, ast.Starred):
        return items and is_variable(target.value)
    return isinstance(target, ast.Name) or (items and isinstance(target, ast.Subscript))


def names_in(targets: Iterable[ast.expr]) -> set[str]:
    """The variables that targets set."""
    inner = [one for target in targets for one in ast.walk(target)]
    return {one.id for one in inner if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def stays(value: ast.expr) -> bool:
    """Whether an expression means the same within another function."""
    return not any(
        isinstance(one, IN_PLACE) or (isinstance(one, ast.Name) and one.id in SEES_FRAME) for one in ast.walk(value)
    )


def asker_at(file: str, line: int) -> str:
    """What asks for a truth at a line of a file, as record.py has remedies for it: "assert", "sorted", "while", ..."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:  # such as a line of IPython
        tree = ast.Module([], [])
    loops: list[Any] = []  # around the line
    for node in ast.walk(tree):
        inside = getattr(node, "lineno", line + 1) <= line <= (getattr(node, "end_lineno", 0) or 0)
        if isinstance(node, ast.Call) and inside:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ASKERS:
                return ASKERS[name]
        elif isinstance(node, (ast.For, ast.While)):
            loops += [node] if inside else []
        elif isinstance(node, LISTS) and inside and any(loop.ifs for loop in node.generators):
            return "filter"
        if isinstance(node, (ast.Assert, ast.While, ast.If)) and node.lineno <= line <= (node.test.end_lineno or 0):
            if not isinstance(node, ast.If):
                return type(node).__name__.lower()
            if any(isinstance(one, ast.Compare) for one in ast.walk(node.test)):
                return asker_of(node, loops)
    return "if, and, or, not"


def asker_of(fork: ast.If, loops: list[Any]) -> str:
    """The same for an `if` statement within some loops, of which the innermost is the last."""
    jumps = any(isinstance(one, (ast.Break, ast.Continue)) for one in ast.walk(fork))
    if loops and isinstance(loops[-1], ast.While) and (jumps or returns(fork)):
        return "while"
    return "break" if jumps else "if"
