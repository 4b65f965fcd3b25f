"""What the tests of the page share: a browser, a trained model, and its page, watched."""

import shutil

import pytest
from test_scripts import NAMES, call

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
NAMES_OF_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for path in map(shutil.which, NAMES_OF_BROWSERS) if path), None)
skipped = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with a small trained run and a page about `anna`."""
    directory = tmp_path_factory.mktemp("page")
    (directory / "names.txt").write_text(NAMES)
    options = ["--n-embd", "8", "--n-head", "2", "--n-layer", "2", "--steps", "40", "--warmup", "4", "--skip-check"]
    assert call("train.py", "--data", "names.txt", *options, cwd=directory).returncode == 0
    result = call("explain.py", "--text", "anna", "--out", "anna.html", cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory


class Watched:
    """A page that is open in a browser, and what went wrong or out to the network there."""

    def __init__(self, browser, path, **options):
        self.path = path
        self.page = browser.new_page(**{"viewport": {"width": 1300, "height": 900}} | options)
        self.troubles, self.requests = [], []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.troubles.append("a dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.resolve().as_uri())
        self.page.wait_for_selector("body[data-ready]")

    def find(self, selector):
        self.page.wait_for_selector("body[data-settled=yes]")  # what is not on screen follows a little later
        return self.page.locator(selector)

    def ask(self, script, argument=None):
        self.page.wait_for_selector("body[data-settled=yes]")
        return self.page.evaluate(script, argument)

    def exact(self, name):
        """A number of the panel, as the page has it."""
        return float(self.find(f"#{name}").get_attribute("data-exact"))

    def title(self):
        return self.find("#opened").inner_text()


@pytest.fixture
def page(browser, trained):
    """The page about `anna`; whatever a test does with it, nothing may go wrong or out to the network."""
    watched = Watched(browser, trained / "anna.html")
    yield watched
    assert watched.troubles == []
    assert watched.requests == [watched.path.resolve().as_uri()]
    watched.page.close()
