"""What the tests of the page share: a trained model, and its page, watched."""

import pytest
from browsing import SIZE, Watched
from running import call, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A directory with a small trained run and a page about `anna`."""
    directory = tmp_path_factory.mktemp("page")
    options = ["--n-embd", "8", "--n-head", "2", "--n-layer", "2", "--steps", "40", "--warmup", "4", "--skip-check"]
    train(directory, *options)
    result = call("explain.py", "--text", "anna", "--out", "anna.html", cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory


@pytest.fixture(scope="session")
def shared(browser, trained):
    return Watched(browser, trained / "anna.html")


@pytest.fixture
def page(shared):
    """The page about `anna`; whatever a test does with it, nothing may go wrong or out to the network."""
    shared.page.set_viewport_size(SIZE)
    shared.open()
    shared.ask("inside.choose(2)")
    yield shared
    assert shared.troubles == []
    assert shared.requests == [shared.path.resolve().as_uri()]
