"""The public face: what `from microgpt import ...` offers is explained, and hides none of the modules."""

import importlib
import inspect
import pkgutil
import types
from pathlib import Path

import pytest

import microgpt

ROOT = Path(__file__).parents[1]
OFFERED = [getattr(microgpt, name) for name in microgpt.__all__]


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(microgpt.__path__)])
def test_no_name_hides_a_module(name):
    if name not in ("__main__", "pytorch"):
        importlib.import_module(f"microgpt.{name}")
        assert isinstance(getattr(microgpt, name), types.ModuleType)
    assert name not in microgpt.__all__


@pytest.mark.parametrize("name", microgpt.__all__)
def test_what_is_offered_is_said_in_the_sign_of_the_package_and_explained(name):
    offered = getattr(microgpt, name)
    assert name in microgpt.__doc__.replace(",", " ").split()
    assert inspect.getdoc(offered)
    assert not inspect.getdoc(offered).startswith(f"{name}("), "a dataclass without words of its own"


@pytest.mark.parametrize("function", [offered for offered in OFFERED if inspect.isfunction(offered)])
def test_every_argument_has_a_type(function):
    signature = inspect.signature(function)
    assert inspect.Signature.empty not in [*(p.annotation for p in signature.parameters.values())]
    assert signature.return_annotation is not inspect.Signature.empty
