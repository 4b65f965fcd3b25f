"""The book's own lines: what a learner finds in a file at first, each hole, and the lines that belong there."""

import ast
import textwrap
from functools import cache
from pathlib import Path

from microgpt.errors import InputError
from microgpt.workshop.exercise import Exercise, Mistake

PACKAGE = Path(__file__).parents[1]
BOOK = {name: PACKAGE / name for name in ("value.py", "functions.py", "gpt.py", "adam.py")}
BOOK |= {name: Path(__file__).with_name(name) for name in ("moons.py", "learning.py")}
WIDTH = 80
ORDERED = '''    def topological_order(self) -> "list[Value]":
        """All that this value was made of, and itself at the end: each after all that it was made of.

        Leaves may be left out, because they have nothing to pass on.
        """
'''
EMBEDDED = 'add(pick(params["wte.weight"], token), pick(params["wpe.weight"], position))'
EMBEDDING = f'''def embedding(params: Parameters, token: int, position: int) -> Vector:  # ..., two integers -> [n_embd]
    """All that is known of a character before anything is read: which one it is, and where it stands."""
    return {EMBEDDED}
'''


@cache
def book_text(file: str) -> str:
    """Return the source of a file of the book. Two parts of functions are functions of their own here.

    They are the first half of `backward`, and the first line of `gpt`.
    """
    text = BOOK[file].read_text(encoding="utf-8")
    if file == "gpt.py":
        text = text.replace(EMBEDDED, "embedding(params, token, position)")
        return text.replace("def gpt(", f"{EMBEDDING}\n\ndef gpt(")
    if file != "value.py":
        return text
    lines, node = text.splitlines(keepends=True), definition(text, "Value.backward")
    walk = next(i for i, statement in enumerate(node.body) if isinstance(statement, ast.While))
    first, last, end = node.body[1].lineno - 1, end_of(node.body[walk]), node.lineno - 1
    head = ["        order = self.topological_order()\n"]
    return "".join(
        [*lines[:end], ORDERED, *lines[first:last], "        return order\n\n", *lines[end:first], *head, *lines[last:]]
    )


def end_of(node: ast.stmt) -> int:
    """Return the number of a statement's last line."""
    return node.end_lineno or node.lineno


def scope_of(tree: ast.Module, name: str) -> list[ast.stmt]:
    """Return the statements among which a function stands: those of its class, or of the module."""
    for owner in name.split(".")[:-1]:
        found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner]
        return found[-1].body if found else []
    return tree.body


def has_place(text: str, name: str) -> bool:
    """Return whether a text has the class that a function belongs to, if it belongs to one."""
    return "." not in name or bool(scope_of(ast.parse(text), name))


def find(text: str, name: str) -> ast.FunctionDef | None:
    """Return a function of a text by its name, such as "Value.__mul__"; None if there is none. The last one counts."""
    own = name.split(".")[-1]
    nodes = [node for node in scope_of(ast.parse(text), name) if isinstance(node, ast.FunctionDef) and node.name == own]
    return nodes[-1] if nodes else None


def definition(text: str, name: str) -> ast.FunctionDef:
    """Return a function that must be there."""
    node = find(text, name)
    if node is None:
        raise LookupError(f"no function {name}")
    return node


def begins(node: ast.FunctionDef) -> int:
    """Return the index of the first line of a function, with its decorators."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1


def body_of(text: str, name: str) -> str:
    """Return the lines of a function after its docstring, indented as they stand."""
    node = definition(text, name)
    rest = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return "".join(text.splitlines(keepends=True)[rest[0].lineno - 1 : end_of(node)])


def is_empty(node: ast.FunctionDef) -> bool:
    """Return whether a function has nothing but a docstring, `...` and `pass`."""
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in node.body
    )


def stub(file: str, name: str) -> str:
    """Return the hole of a function: its signature without types, its docstring, and three dots."""
    text = book_text(file)
    node, lines = definition(text, name), text.splitlines(keepends=True)
    indent = " " * node.col_offset
    header = lines[node.lineno - 1 : node.body[0].lineno - 1]
    comment = header[-1].partition("#")[2].strip()
    bare = definition(text, name)
    bare.returns, bare.body, bare.decorator_list = None, [ast.Pass()], []
    for argument in [*bare.args.args, *bare.args.kwonlyargs]:
        argument.annotation = None
    signature = ast.unparse(bare).splitlines()[0]
    if len(indent + signature) > WIDTH:
        inside = signature[signature.index("(") + 1 : signature.rindex(")")]
        wrapped = textwrap.fill(inside, WIDTH - 8, initial_indent="    ", subsequent_indent="    ")
        signature = f"{signature[: signature.index('(') + 1]}\n{wrapped}\n):"
    if comment:
        together = f"{signature}  # {comment}"
        signature = together if len(indent + together) <= WIDTH else f"# {comment}\n{signature}"
    said = "" if ast.get_docstring(node) is None else "".join(lines[node.body[0].lineno - 1 : end_of(node.body[0])])
    return f"{textwrap.indent(signature, indent)}\n{said}{indent}    ...\n"


def page(exercise: Exercise) -> str:
    """Return the reading of an exercise as comments, indented as its function is."""
    indent = " " * definition(book_text(exercise.file), exercise.writes[0]).col_offset
    lines = [f"--- {exercise.name} ".ljust(60, "-"), *exercise.reading.strip().splitlines()]
    return "".join(f"{indent}# {line}".rstrip() + "\n" for line in lines)


def frame(file: str, holes: list[str]) -> str:
    """Return what a learner's file holds at first: the book's without the functions that are left to write."""
    text = book_text(file)
    lines = text.splitlines(keepends=True)
    for name in holes:
        node, before = definition(text, name), 0
        for other in scope_of(ast.parse(text), name):
            if end_of(other) < node.lineno:
                before = end_of(other)
        for i in range(before, end_of(node)):  # with the comments above it: the page takes their place
            lines[i] = ""
    return "".join(lines).replace("from microgpt.", "from mine.").rstrip() + "\n"


def key_of(statement: ast.stmt) -> str:
    """Return what a statement defines, or its kind."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return statement.name
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return ast.unparse(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)
    return type(statement).__name__


def place(text: str, file: str, name: str) -> int:
    """Return after which line of a learner's text a function belongs, so that the order is the book's."""
    before = []
    for statement in scope_of(ast.parse(book_text(file)), name):
        if key_of(statement) == name.split(".")[-1]:
            break
        before.append(key_of(statement))
    there = {key_of(statement): end_of(statement) for statement in scope_of(ast.parse(text), name)}
    for key in reversed(before):
        if key in there:
            return there[key]
    return max(there.values(), default=len(text.splitlines()))


def with_hole(text: str, exercise: Exercise) -> str:
    """Return a learner's text with the holes of an exercise, and its page above the first of them."""
    above = page(exercise)
    for name in exercise.writes:
        if find(text, name) is None and has_place(text, name):
            lines, at = text.splitlines(keepends=True), place(text, exercise.file, name)
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            gap = "\n" if "." in name else "\n\n"
            text = "".join([*lines[:at], gap, above, stub(exercise.file, name), *lines[at:]])
            above = ""
    return text


def emptied(text: str, exercise: Exercise) -> str:
    """Return a learner's text in which the functions of an exercise are holes again."""
    for name in exercise.writes:
        if not has_place(text, name):
            raise LookupError(f"no class for {name}")
        node = find(text, name)
        if node is not None:
            lines = text.splitlines(keepends=True)
            text = "".join([*lines[: begins(node)], stub(exercise.file, name), *lines[end_of(node) :]])
    return with_hole(text, exercise)


def answers(exercise: Exercise) -> str:
    """Return the book's lines of an exercise."""
    text = book_text(exercise.file)
    lines = text.splitlines(keepends=True)
    nodes = [definition(text, name) for name in exercise.writes]
    return "\n".join(textwrap.dedent("".join(lines[begins(node) : end_of(node)])) for node in nodes)


def filled(text: str, exercise: Exercise) -> str:
    """Return a text in which the functions of an exercise have the book's lines as their bodies."""
    for name in exercise.writes:
        text = with_body(text, name, body_of(book_text(exercise.file), name))
    return text


def with_body(text: str, name: str, body: str) -> str:
    """Return a text in which a function has another body; its docstring stays."""
    node, lines = definition(text, name), text.splitlines(keepends=True)
    first = node.body[0]
    keep = end_of(first) if ast.get_docstring(node) is not None else first.lineno - 1
    return "".join([*lines[:keep], body, *lines[end_of(node) :]])


def variant(exercise: Exercise, mistake: Mistake) -> str:
    """Return the source of the book's file with a mistake in it."""
    text = book_text(exercise.file)
    if mistake.body:
        indent = " " * (definition(text, exercise.writes[0]).col_offset + 4)
        body = textwrap.indent(textwrap.dedent(mistake.body).strip("\n"), indent)
        return with_body(text, exercise.writes[0], body + "\n")
    for old, new in mistake.changes:
        found = 0
        for name in exercise.writes:
            body = body_of(text, name)
            if old in body:
                found, text = found + 1, with_body(text, name, body.replace(old, new))
        if found != 1:
            raise InputError(f"{exercise.name}: {old!r} stands in {found} functions of the book")
    return text
