"""The house shows what it is: its folders say what is in them, no imports go in circles, and PyTorch stays an extra."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import microgpt

PACKAGE = Path(microgpt.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
ROOMS = sorted(path.parent for path in PACKAGE.rglob("*/__init__.py"))


def imported(path):
    """All that a module imports, at its beginning or later."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def module_of(name):
    """The module that an imported name is, or is in."""
    return name if name in MODULES else name.rpartition(".")[0]


def test_no_imports_go_in_a_circle():
    graph = {name: {module_of(other) for other in imported(path)} & set(MODULES) for name, path in MODULES.items()}
    assert any(graph.values())
    TopologicalSorter(graph).prepare()  # raises a CycleError that names the circle


def test_the_book_imports_nothing_but_itself():
    book = {"value", "functions", "gpt", "adam"}
    for name in book:
        ours = {module_of(other) for other in imported(PACKAGE / f"{name}.py") if other.startswith("microgpt")}
        assert ours <= {f"microgpt.{chapter}" for chapter in book}, name


def test_pytorch_is_imported_in_its_room_alone():
    for path in MODULES.values():
        uses = any(other.split(".")[0] == "torch" for other in imported(path))
        assert not uses or path.parent.name == "pytorch" or path.name == "on_device.py", path


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_the_sign_on_a_room_names_all_that_is_in_it(room):
    sign = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    named = {line.split()[0] for line in sign.splitlines() if line.split()[:1] and line.split()[0].endswith(".py")}
    assert named == {path.name for path in room.glob("*.py")} - {"__init__.py"}
