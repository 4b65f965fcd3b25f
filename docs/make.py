"""Make docs/live.html, the page of the default model, and docs/live.gif, a film of it: python docs/make.py

The model is trained like that of `python train.py`, in a temporary directory. The film shows the page in Chromium (with
playwright), where a script types, changes a number, trains, and goes through time.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1180, 700  # of the film
COLORS = 128


def make_page() -> None:
    """Train the default model, and write its page about `anna`."""
    with tempfile.TemporaryDirectory() as directory:
        for script, *options in (
            ("train.py", "--out", f"{directory}/names"),
            ("explain.py", "--run", f"{directory}/names", "--text", "anna", "--out", str(DOCS / "live.html")),
        ):
            subprocess.run([sys.executable, ROOT / script, *options], check=True)


def make_film() -> None:
    """Open the page in a browser, do what `scenes` say, and keep every picture as a frame of a GIF."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=next((path for path in map(shutil.which, BROWSERS) if path), None),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto((DOCS / "live.html").as_uri())
        page.wait_for_selector("body[data-settled=yes]")
        taken = [(Image.open(io.BytesIO(page.screenshot())), duration) for duration in scenes(page)]
        browser.close()
    palette = palette_of([image for image, _ in taken[::5]])
    first, *others = (image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for image, _ in taken)
    first.save(
        DOCS / "live.gif",
        save_all=True,
        append_images=others,
        duration=[duration for _, duration in taken],
        loop=0,
        optimize=False,
    )
    print(f"{len(taken)} frames, {sum(duration for _, duration in taken) / 1000:.0f} s")


def palette_of(images: list[Any]) -> Any:
    """The most frequent colours of some pictures, for all frames: what stands still then costs nothing."""
    from PIL import Image

    counts: Counter[tuple[int, int, int]] = Counter()
    for image in images:
        counts.update({color: count for count, color in image.convert("RGB").getcolors(WIDTH * HEIGHT)})
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for color, _ in counts.most_common(COLORS) for part in color])
    return palette


def scenes(page: Any) -> Iterator[int]:
    """Work the page; yield whenever a picture is due, with the milliseconds that it stands."""
    yield 1200
    page.evaluate("document.querySelector('.bar').scrollIntoView(); scrollBy(0, 60)")
    page.locator("#text").fill("")
    for character in "emma":  # type
        page.locator("#text").press(character)
        yield 450
    yield 800
    page.evaluate("document.querySelector('#block-0-attention h4').scrollIntoView()")
    cell = page.locator("#block-0-attention .triangle").nth(1).locator("tbody tr").nth(2).locator(".cell").nth(1)
    yield 900
    cell.click()
    yield 1200
    high = float(page.locator("#change").get_attribute("max"))
    start = float(page.locator("#value").get_attribute("data-exact"))
    for i in range(1, 13):  # change a number
        to = start + (high - start) * i / 12
        page.locator("#change").evaluate("(e, x) => { e.value = x; e.dispatchEvent(new Event('input')); }", to)
        yield 160
    yield 1600
    page.locator("#put-back").click()
    page.locator("#close").click()
    page.evaluate("document.getElementById('training').scrollIntoView()")
    page.locator("#mode-data").check()
    page.locator("#random").click()
    page.evaluate("scrollBy(0, 200)")
    yield 900
    for _ in range(18):  # train
        page.evaluate("takeSteps(70); follow()")
        yield 160
    yield 1500
    page.evaluate("document.getElementById('time').scrollIntoView(); scrollBy(0, 120)")
    for at in range(int(page.locator("#time-slider").get_attribute("max")) + 1):  # go through time
        page.locator("#time-slider").evaluate("(e, t) => { e.value = t; e.dispatchEvent(new Event('input')); }", at)
        yield 200
    yield 2000


if __name__ == "__main__":
    make_page()
    make_film()
