"""The house shows what it is: its folders say what is in them, no imports go in circles, and PyTorch stays an extra."""

import ast
import subprocess
import sys
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


FLOORS = [  # each imports only from those above it
    "value errors surroundings",
    "functions adam",
    "gpt",
    "engines.trees engines.collector",
    "engines.tracing engines.scalar",
    "engines.compiled",
    "engines.pytorch",
    "engines.select",
    "engines.checking",
    "engines.engine",
    "learning",
    "runs",
    "explain",
    "names",
    "workshop",
    "commands",
    "__main__",
]


def test_every_file_imports_from_above_alone():
    floor = {f"microgpt.{room}": i for i, rooms in enumerate(FLOORS) for room in rooms.split()}

    def room_of(name):
        return next((room for room in floor if name == room or name.startswith(f"{room}.")), None)

    for name, path in MODULES.items():
        if path.name != "__init__.py":
            assert room_of(name) is not None, f"{name} has no floor"
            for other in map(room_of, map(module_of, imported(path))):
                assert other is None or other == room_of(name) or floor[other] < floor[room_of(name)], (name, other)


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
        references = "on_device.py", "transformers_logits.py"
        assert not uses or path.parent.name == "pytorch" or path.name in references, path


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_names_all_that_is_inside(room):
    sign = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    named = {line.split()[0] for line in sign.splitlines() if line.split()[:1] and line.split()[0].endswith(".py")}
    assert named == {path.name for path in room.glob("*.py")} - {"__init__.py"}


def test_every_public_name_is_found():
    for name in [*microgpt.__all__, "__version__"]:
        assert getattr(microgpt, name) is not None
    assert set(microgpt.__all__) <= set(dir(microgpt))
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = microgpt.trian


def test_a_command_imports_only_what_it_needs():
    command = [sys.executable, "-c", "import sys, sample; print(*sys.modules)"]
    imported = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True).stdout.split()
    assert "microgpt.learning.sampling" in imported
    assert not {"microgpt.names", "microgpt.learning.training", "llvmlite", "tqdm", "filelock"} & set(imported)
