"""The source of a function: where it is, and the code of what rewriting.py makes of it.

The source is looked up, parsed and rewritten, and the result is compiled again. The function itself stays as it is. A
function without a source, or with a source that is not its own, is not rewritten.
"""

import ast
import copy
import inspect
import linecache
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from microgpt import value
from microgpt.engines.compiled.bodies import Gathered
from microgpt.engines.compiled.branches import function
from microgpt.engines.compiled.rewriting import Rewriting

PARTS = (
    "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_posonlyargcount",
    "co_kwonlyargcount", "co_exceptiontable",
)  # fmt: skip
FOREIGN = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
OWN = str(value.__file__)[: -len("value.py")]


class Sources:
    """The files that were parsed and the functions that were rewritten.

    Args:
        helpers: the names of the helpers; a rewritten function has them as variables from around it.
        rewriting: how a function is rewritten, given the file that it is in.
    """

    def __init__(self, helpers: Iterable[str], rewriting: Callable[[str], ast.NodeTransformer] = Rewriting):
        self.helpers, self.rewriting = tuple(helpers), rewriting
        self.codes: dict[tuple[CodeType, str], CodeType | None] = {}  # by code and file; None: there is no source
        self.at_once: dict[tuple[CodeType, str], CodeType | None] = {}  # of generators
        self.files: dict[str, File] = {}
        self.told = False  # that without a source recording takes long

    def rewritten(self, function: FunctionType) -> CodeType | None:
        """The code of a function with helpers in it, or as it is if it has them; None if it has no source."""
        code = function.__code__
        place = code, code.co_filename  # two files may have equal code
        if place not in self.codes:
            self.codes[place] = found = self.rewrite(code, function.__globals__) if may_be_rewritten(code) else None
            if found is not None:
                self.codes |= {(done, done.co_filename): done for done in codes_within(found)}
        return self.codes[place]

    def all_at_once(self, function: FunctionType) -> CodeType | None:
        """The code of a generator function, rewritten so that it returns a list of all items; None if it cannot be."""
        code = function.__code__
        place = code, code.co_filename
        if place not in self.at_once:
            own = self.codes.get(place) is code  # it stands in a function that was rewritten
            found = self.rewrite(code, function.__globals__, True, own) if may_be_rewritten(code) else None
            self.at_once[place] = found
            self.codes |= {(done, done.co_filename): done for done in codes_within(found)} if found else {}
        return self.at_once[place]

    def rewrite(
        self, code: CodeType, module_globals: dict[str, Any], at_once: bool = False, is_known: bool = False
    ) -> CodeType | None:
        lines = linecache.getlines(code.co_filename, module_globals)
        file = self.files.get(code.co_filename)
        if file is None or file.lines is not lines:
            file = self.files[code.co_filename] = File(lines)
        nodes = file.functions.get((code.co_name, code.co_firstlineno), [])
        for node in nodes:
            try:
                # Several lambdas can begin in one line, and the file may not be any more what was imported.
                if (is_known and len(nodes) == 1) or same_code(self.compiled(node, code, file), code):
                    changed = copy.deepcopy(node)
                    if at_once and not Gathered().gather(changed):
                        return None
                    changed = self.rewriting(code.co_filename).visit(changed)
                    return self.compiled(ast.fix_missing_locations(changed), code, file)
            except (SyntaxError, ValueError):
                continue
        return None

    def compiled(self, node: Any, code: CodeType, file: "File") -> CodeType:
        """The code of a definition, within a function that has its outer variables and the helpers."""
        parameters = [ast.arg(name) for name in dict.fromkeys((*code.co_freevars, *self.helpers))]
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
    """Whether code belongs to no installed package, and has no name that Python changes for its class."""
    names = {*code.co_names, *code.co_varnames, *code.co_freevars}
    private = any(name.startswith("__") and not name.endswith("__") for name in names)
    foreign = code.co_filename.startswith(FOREIGN) and not code.co_filename.startswith(OWN)
    asynchronous = code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    return not (private or foreign or asynchronous)


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
