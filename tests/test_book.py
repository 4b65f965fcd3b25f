"""The promise to the reader: the files of the book rest on nothing but the five operations and each other."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import microgpt

PACKAGE = Path(microgpt.__file__).parent


def imports(file: str) -> set[tuple[str, str]]:
    """All that a file of the package imports, wherever in it, as (module, name); the name of a whole module is ''."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {("." * node.level + (node.module or ""), alias.name) for alias in node.names}
    return found


def modules(file: str) -> set[str]:
    return {module for module, _ in imports(file)}


@pytest.mark.parametrize("file", ["functions.py", "gpt.py"])
def test_the_network_is_made_of_the_five_operations(file):
    allowed = {"microgpt.value", "microgpt.functions", "typing", "dataclasses", "collections.abc", "math"}
    assert modules(file) <= allowed


@pytest.mark.parametrize("file", ["functions.py", "gpt.py"])
def test_of_mathematics_the_network_takes_constants_only(file):
    assert {name for module, name in imports(file) if module == "math"} <= {"sqrt", "pi"}


def test_the_functions_do_not_know_the_model():
    assert "microgpt.gpt" not in modules("functions.py")


def test_the_engine_rests_on_python_alone():
    assert modules("value.py") <= set(sys.stdlib_module_names) | {"collections.abc"}


def test_adam_rests_on_arithmetic_alone():
    assert modules("adam.py") == {"typing"}


@pytest.mark.parametrize("file", ["value.py", "functions.py", "gpt.py", "adam.py"])
def test_nothing_is_imported_behind_the_readers_back(file):
    names = {node.id for node in ast.walk(ast.parse((PACKAGE / file).read_text())) if isinstance(node, ast.Name)}
    assert not names & {"__import__", "importlib", "eval", "exec"}


@pytest.mark.parametrize("heavy", ["torch", "llvmlite", "transformers", "matplotlib"])
def test_importing_the_package_loads_no_framework(heavy):
    code = f"import sys, microgpt; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def lines_of_code(file: str) -> int:
    """The lines of a file without comments, docstrings and empty lines."""
    source = (PACKAGE / file).read_text(encoding="utf-8")
    no_code = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in no_code]
    code = {line for t in tokens for line in range(t.start[0], t.end[0] + 1)}
    strings = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Expr)]
    docstrings = [n for n in strings if isinstance(n, ast.Constant)]
    return len(code - {line for n in docstrings for line in range(n.lineno, n.end_lineno + 1)})


def test_the_readme_counts_the_lines_of_the_book():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    said = re.search(r"(\d+) lines of Python", readme.replace("\n", " "))
    assert int(said[1]) == sum(map(lines_of_code, ["value.py", "functions.py", "gpt.py", "adam.py"]))
