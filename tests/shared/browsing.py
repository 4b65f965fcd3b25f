"""A page that is open in a browser, and watched."""

import shutil

NAMES_OF_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for path in map(shutil.which, NAMES_OF_BROWSERS) if path), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SIZE = {"width": 1300, "height": 900}


class Watched:
    """A page that is open in a browser, and what went wrong or out to the network there."""

    def __init__(self, browser, path, unfold=True, **options):
        self.path = path
        self.page = browser.new_page(**{"viewport": SIZE} | options)
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.troubles.append("a dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.open(unfold)

    def open(self, unfold=True):
        """Open the page anew, as it was at first, with all sections unfolded or none."""
        self.page.goto("about:blank")
        self.troubles, self.requests = [], []
        self.page.goto(self.path.resolve().as_uri())
        self.page.wait_for_selector("body[data-ready]")
        if unfold:
            self.page.evaluate("inside.unfold()")

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
