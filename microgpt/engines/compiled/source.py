"""The source of a function, rewritten so that its loops, calls, subscripts and changes go through helpers.

Python has no way to ask before it runs a comprehension. So the source of a function is looked up, parsed and rewritten:
`[f(x) for x in items]` becomes `_microgpt_mapped(...)`, and the result is compiled again. The function itself stays as
it is. A function without a source, or with a source that is not its own, is not rewritten.
"""

import ast
import copy
import inspect
import linecache
import sysconfig
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from microgpt import value
from microgpt.engines.compiled.branches import HELPER, SEES_FRAME, ChoiceRewriting, function, own_parts

STAYS = (ast.Lambda, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # these keep a comprehension as it is
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

    def after_guard(self, node: ast.expr) -> ast.expr:
        """An expression that is no part of an axis. (The guard returns None.)"""
        return ast.copy_location(ast.BoolOp(ast.Or(), [self.through("changes", node), node]), node)

    # Functions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        guarded = changes_outside(node)
        node.args.defaults = [self.visit(one) for one in node.args.defaults]
        node.args.kw_defaults = [one and self.visit(one) for one in node.args.kw_defaults]
        node.decorator_list = [self.through("calling", one, self.visit(one)) for one in node.decorator_list]
        node.body = self.visit_body(node)
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

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        if any(isinstance(target, (ast.Tuple, ast.List)) for target in node.targets):
            node.value = self.through("iterated", node.value, node.value)
        return node

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
        if isinstance(node.target, ast.Name):
            node.value = self.through("added_to", node, ast.Name(node.target.id, ast.Load()), node.value)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:  # Python evaluates no annotation within a function
        node.target = self.visit(node.target)
        node.value = node.value and self.visit(node.value)
        return node


# Changes outside of a function


def changes_outside(function: ast.FunctionDef) -> bool:
    """Whether the code of a function stores into items, attributes, or names that belong to others."""
    parts = [part for statement in function.body for part in own_parts(statement)]
    outer = {name for part in parts if isinstance(part, (ast.Global, ast.Nonlocal)) for name in part.names}
    return any(is_changed(part, outer) for part in parts)


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
    return ast.Lambda(ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, []), result)


class Sources:
    """The files that were parsed and the functions that were rewritten.

    Args:
        helpers: the names of the helpers; a rewritten function has them as variables from around it.
    """

    def __init__(self, helpers: Iterable[str]):
        self.helpers = tuple(helpers)
        self.codes: dict[CodeType, CodeType | None] = {}  # None: there is no source
        self.files: dict[str, File] = {}

    def rewritten(self, function: FunctionType) -> CodeType | None:
        """The code of a function with helpers in it, or as it is if it has them; None if it has no source."""
        code = function.__code__
        if code not in self.codes:
            self.codes[code] = found = self.rewrite(code, function.__globals__) if may_be_rewritten(code) else None
            if found is not None:
                self.codes |= {done: done for done in codes_within(found)}
        return self.codes[code]

    def rewrite(self, code: CodeType, module_globals: dict[str, Any]) -> CodeType | None:
        lines = linecache.getlines(code.co_filename, module_globals)
        file = self.files.get(code.co_filename)
        if file is None or file.lines is not lines:
            file = self.files[code.co_filename] = File(lines)
        for node in file.functions.get((code.co_name, code.co_firstlineno), []):
            try:
                # Several lambdas can begin in one line, and the file may not be any more what was imported.
                if same_code(self.compiled(node, code, file), code):
                    changed = Rewriting(code.co_filename).visit(copy.deepcopy(node))
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
