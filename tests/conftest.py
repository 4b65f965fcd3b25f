"""How thorough the tests with generated examples are, what would take time, and a browser for all."""

import gc
import os
from collections import Counter

import pytest
from browsing import BROWSER, QUIET
from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=2000)  # pytest --hypothesis-profile=thorough
settings.load_profile("suite")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and threads that wait for a core only spin
gc.disable()  # until all is imported, a million objects that stay


def pytest_collection_modifyitems(items):
    """Let long files come first: what is begun last leaves the other core idle."""
    tests = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (slow[item.path], tests[item.path]), reverse=True)


def pytest_collection_finish():
    """Let the collector of garbage begin, and never look through what was imported."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield browser
        browser.close()
