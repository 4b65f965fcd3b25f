"""How one comes between a function and Python: through its source.

Python has no way to ask before it runs a comprehension. So the source of a function is looked up, parsed and rewritten:
comprehensions, calls, subscripts and changes of it become calls of helpers (`_microgpt_mapped(...)`), and the result is
compiled again. The function itself is not touched. Where there is no source, or it is not that of the function, there
is no rewritten one either.
"""

import ast
import copy
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from microgpt import value

HELPER = "_microgpt_"  # how the names of all helpers begin
STAYS = (ast.Lambda, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # what keeps a comprehension as it is
PLAIN = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp)  # of what these give the operands are known
SEES_FRAME = {  # what looks at the frame that it is called from
    "super", "locals", "globals", "vars", "dir", "eval", "exec", "__class__", "currentframe", "_getframe", "stack",
}  # fmt: skip
PARTS = (
    "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_posonlyargcount",
    "co_kwonlyargcount", "co_exceptiontable",
)  # fmt: skip
FOREIGN = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Rewriting(ast.NodeTransformer):
    """Puts helpers in the place of comprehensions, calls and subscripts of a function, and before its changes."""

    def __init__(self, file: str):
        self.file = file
        self.outer: set[str] = set()  # names of the function that belong to others

    def visit(self, node: ast.AST) -> Any:
        """A node, rewritten; before a statement that changes what is outside of the function there is a guard."""
        changes = isinstance(node, ast.stmt) and any(self.is_changed(part) for part in own_parts(node))
        visited = super().visit(node)
        guard = ast.copy_location(ast.Expr(self.through("changes", node)), node)
        return [guard, *as_statements(visited)] if changes else visited

    def is_changed(self, part: ast.AST) -> bool:
        """Whether this is an item, an attribute or a name outside of the function, and gets something else here."""
        if isinstance(part, (ast.Subscript, ast.Attribute, ast.Name)):
            outside = not isinstance(part, ast.Name) or part.id in self.outer
            return outside and not isinstance(part.ctx, ast.Load)
        return any(getattr(part, name, None) in self.outer for name in ("name", "asname", "rest"))  # def, import, case

    def through(self, name: str, node: ast.AST, *arguments: ast.expr) -> ast.expr:
        return ast.copy_location(ast.Call(ast.Name(HELPER + name, ast.Load()), list(arguments), []), node)

    def visit_comprehension_of(self, node: Any, helper: str) -> ast.expr:
        loop = node.generators[0]
        names: list[str] = []
        pattern = pattern_of(loop.target, names)
        if (
            len(node.generators) != 1 or loop.ifs or loop.is_async or pattern is None
            or any(isinstance(inner, STAYS) for inner in ast.walk(node.elt))
            or any(isinstance(inner, ast.Name) and inner.id in SEES_FRAME for inner in ast.walk(node))
        ):  # fmt: skip
            return self.visit_loops(node)
        place: Any = (self.file, node.lineno, node.col_offset)
        site = ast.Constant(place)
        iterable, body = self.visit(loop.iter), self.visit(node.elt)
        parameters = [ast.arg(name) for name in names]
        function: ast.expr = ast.Lambda(ast.arguments([], parameters, None, [], [], None, []), body)
        if pattern:
            item = ast.Name("_item", ast.Load())
            entries = self.through("unpacked", node, item, ast.Constant(pattern))
            function = ast.Lambda(
                ast.arguments([], [ast.arg("_item")], None, [], [], None, []),
                ast.Call(function, [ast.Starred(entries, ast.Load())], []),
            )
        return self.through(helper, node, function, iterable, site)

    def visit_loops(self, node: Any) -> ast.expr:
        """A comprehension that stays one."""
        changes = any(map(self.is_changed, own_parts(node)))
        self.generic_visit(node)
        for loop in node.generators:
            loop.iter = self.through("iterated", loop.iter, loop.iter)
        return self.after_guard(node) if changes else node

    visit_SetComp = visit_DictComp = visit_loops  # noqa: N815

    def after_guard(self, node: ast.expr) -> ast.expr:
        return ast.copy_location(ast.BoolOp(ast.Or(), [self.through("changes", node), node]), node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self.visit_comprehension_of(node, "mapped")

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self.visit_comprehension_of(node, "generated")

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in SEES_FRAME:  # it must be called from this very frame; `changes()`, which is None, gives up an axis
            return self.after_guard(node)
        self.generic_visit(node)
        if len(node.args) == 1 and isinstance(node.args[0], ast.Starred) and isinstance(node.func, ast.Name):
            rows = self.through("zipped_rows", node, node.func, node.args[0].value)
            rows.keywords = node.keywords  # type: ignore[attr-defined]
            return rows
        through = self.through("call", node, node.func, *node.args)
        through.keywords = node.keywords  # type: ignore[attr-defined]
        return through

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        key = node.slice
        if isinstance(key, ast.Slice):
            parts = [part or ast.Constant(None) for part in (key.lower, key.upper, key.step)]
            key = ast.copy_location(ast.Call(ast.Name(HELPER + "slice", ast.Load()), parts, []), node)
        return self.through("subscript", node, node.value, key)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        private = node.attr.startswith("__") and not node.attr.endswith("__")  # Python renames it within a class
        if private or not isinstance(node.ctx, ast.Load):
            return node
        return self.through("attribute", node, node.value, ast.Constant(node.attr))

    def operands(self, node: Any, *fields: str) -> Any:
        """A node whose operands go through a helper: those that may be anything."""
        known = [name for name in fields if not isinstance(getattr(node, name), PLAIN)]
        self.generic_visit(node)
        for name in known:
            setattr(node, name, self.through("operand", node, getattr(node, name)))
        return node

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        return self.operands(node, "left", "right")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        return self.operands(node, "operand")

    def visit_If(self, node: Any) -> Any:
        return self.operands(node, "test")

    visit_While = visit_IfExp = visit_Assert = visit_If  # noqa: N815

    def visit_FormattedValue(self, node: ast.FormattedValue) -> Any:
        return self.operands(node, "value")

    def visit_withitem(self, node: ast.withitem) -> Any:
        return self.operands(node, "context_expr")

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
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
        self.generic_visit(node)
        right = node.comparators[0]
        if isinstance(node.ops[0], (ast.In, ast.NotIn)):
            node.comparators[0] = self.through("iterated", right, right)
        elif not isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            node.left, *node.comparators = [self.through("operand", one, one) for one in (node.left, *node.comparators)]
        if len(node.ops) == 1 and isinstance(node.ops[0], (ast.Is, ast.IsNot)) and not isinstance(right, ast.Constant):
            found = self.through("same", node, node.left, right)
            return (
                ast.copy_location(ast.UnaryOp(ast.Not(), found), node) if isinstance(node.ops[0], ast.IsNot) else found
            )
        return node

    def visit_For(self, node: ast.For) -> Any:
        self.generic_visit(node)
        node.iter = self.through("iterated", node.iter, node.iter)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        node.target = self.visit(node.target)
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        self.operands(node, "value")
        if not isinstance(node.target, ast.Name):
            return node
        before = self.through("changes_in_place", node, ast.Name(node.target.id, ast.Load()))
        return [ast.copy_location(ast.Expr(before), node), node]

    def visit_Starred(self, node: ast.Starred) -> Any:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.value = self.through("iterated", node.value, node.value)
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> Any:
        self.generic_visit(node)
        node.value = self.through("iterated", node.value, node.value)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        if any(isinstance(target, (ast.Tuple, ast.List)) for target in node.targets):
            node.value = self.through("iterated", node.value, node.value)
        return node

    def visit_Global(self, node: ast.Global) -> Any:
        self.outer |= set(node.names)
        return node

    visit_Nonlocal = visit_Global  # type: ignore[assignment]  # noqa: N815

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.args.defaults = [self.visit(one) for one in node.args.defaults]
        node.args.kw_defaults = [one and self.visit(one) for one in node.args.kw_defaults]
        node.decorator_list = [self.through("calling", one, self.visit(one)) for one in node.decorator_list]
        before, self.outer = self.outer, set()
        node.body = [one for statement in node.body for one in as_statements(self.visit(statement))]
        self.outer = before
        return node


def own_parts(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, without the statements in it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            yield from own_parts(child)


def as_statements(visited: Any) -> list[Any]:
    return visited if isinstance(visited, list) else [visited]


def pattern_of(target: ast.expr, names: list[str]) -> Any:
    """The nesting of loop variables: () for a single one, a tuple of patterns for several; None for anything else."""
    if isinstance(target, ast.Name):
        names.append(target.id)
        return ()
    if isinstance(target, (ast.Tuple, ast.List)) and target.elts:
        patterns = tuple(pattern_of(one, names) for one in target.elts)
        return None if None in patterns else patterns
    return None


def rewritten_code(function: FunctionType, helpers: Iterable[str]) -> CodeType | None:
    """The code of a function with calls of helpers in it, by their names; None if that cannot be had."""
    code = function.__code__
    names = {*code.co_names, *code.co_varnames, *code.co_freevars}
    private = any(name.startswith("__") and not name.endswith("__") for name in names)
    if code.co_filename.startswith(FOREIGN) and not code.co_filename.startswith(
        str(value.__file__)[: -len("value.py")]
    ):
        return None
    if (
        private
        or "__class__" in code.co_freevars
        or code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    ):
        return None
    for node in definitions(code.co_filename, function.__globals__).get((code.co_name, code.co_firstlineno), []):
        try:
            # Several lambdas can begin in one line, and the file may not be any more what was imported.
            if not same_code(compiled(node, code, helpers), code):
                continue
            changed = Rewriting(code.co_filename).visit(copy.deepcopy(node))
            return compiled(ast.fix_missing_locations(changed), code, helpers)
        except (SyntaxError, ValueError):
            continue
    return None


def same_code(a: CodeType, b: CodeType) -> bool:
    """Whether two codes do the same: the same instructions, on the same names and constants, and so all within them."""
    if any(getattr(a, part) != getattr(b, part) for part in PARTS) or len(a.co_consts) != len(b.co_consts):
        return False
    pairs = list(zip(a.co_consts, b.co_consts, strict=True))
    if "__qualname__" in a.co_names:  # of a class: it says in which function the class stands, here another one
        pairs = [pair for pair in pairs if pair != (a.co_qualname, b.co_qualname)]
    return all(
        same_code(x, y)
        if isinstance(x, CodeType) and isinstance(y, CodeType)
        else (type(x), repr(x)) == (type(y), repr(y))
        for x, y in pairs
    )


def compiled(node: Any, code: CodeType, helpers: Iterable[str]) -> CodeType:
    """The code of a definition; the variables that it has from around it, and the helpers, are around it here, too."""
    parameters = [ast.arg(name) for name in (*code.co_freevars, *helpers)]
    if isinstance(node, ast.Lambda):
        result: ast.stmt = ast.Return(node)
        body: list[ast.stmt] = [result]
    else:
        bare = type(node)(**{**dict(ast.iter_fields(node)), "decorator_list": [], "returns": None})
        bare.args = without_annotations(bare.args)
        body = [ast.copy_location(bare, node), ast.Return(ast.Name(node.name, ast.Load()))]
        if node.name not in code.co_freevars:  # a function of a module, which finds itself there
            body = [ast.Global([node.name]), *body]
    around = ast.FunctionDef("around", ast.arguments([], parameters, None, [], [], None, []), body, [], None)
    if sys.version_info >= (3, 12):
        around.type_params = []
    # Python compiles a call of a function of an imported module in another way if it sees the import.
    imports: list[ast.stmt] = [ast.Import([ast.alias(name)]) for name in imported_names(code.co_filename)]
    module = ast.fix_missing_locations(ast.Module([*imports, around], []))
    flags = code.co_flags & 0x1FF0000  # what the file took from __future__
    outer = compile(module, code.co_filename, "exec", flags, dont_inherit=True)
    (inside,) = [constant for constant in outer.co_consts if isinstance(constant, CodeType)]
    return next(
        constant for constant in inside.co_consts if isinstance(constant, CodeType) and constant.co_name == code.co_name
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


FILES: dict[str, tuple[list[str], dict[tuple[str, int], list[Any]], list[str]]] = {}


def imported_names(file: str) -> list[str]:
    """The names that a module imports, outside of its functions."""
    return FILES[file][2]


def imports_of(tree: ast.Module) -> list[str]:
    found: set[str] = set()
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            left += ast.iter_child_nodes(node)
    return sorted(found - {"*"})


def definitions(file: str, module_globals: dict[str, Any]) -> dict[tuple[str, int], list[Any]]:
    """All functions in a file by their name and first line."""
    lines = linecache.getlines(file, module_globals)
    if file not in FILES or FILES[file][0] is not lines:
        found: dict[tuple[str, int], list[Any]] = {}
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            tree = ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found.setdefault((node.name, first), []).append(node)
            elif isinstance(node, ast.Lambda):
                found.setdefault(("<lambda>", node.lineno), []).append(node)
        FILES[file] = lines, found, imports_of(tree)
    return FILES[file][1]
