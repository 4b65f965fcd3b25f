"""Make what is generated in docs/: python docs/make.py, or a part of it, such as python docs/make.py --only film

page      live.html, the page of the default model, which is trained like that of `python train.py`
moons     moons.html, the page of examples/moons.py
film      live.gif, a film of the page in Chromium (with playwright): a script types, changes a number, trains, and
          goes through time
programs  the table of programs.md, measured by bench.py, and its programs and their listings
notebooks tour.ipynb, and a notebook for each part of the workshop
models    the table of models.md, after training each model six times
badges    badges.svg, what pyproject.toml says of versions, systems and license

python docs/make.py --site DIRECTORY makes nothing of this, but a static site of what is there: see site.py.
"""

import argparse
import importlib
import io
import json
import re
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
COLORS = 200
SCALE = 8  # of the programs
WIDTH_OF_LISTING, LINES_OF_LISTING = 120, 40
RULE = "| --- | --- | --- | --- | --- | --- | --- | --- |\n"


def make_page() -> None:
    """Train the default model, and write its page about `anna`."""
    with tempfile.TemporaryDirectory() as directory:
        for script, *options in (
            ("train.py", "--out", f"{directory}/names"),
            ("explain.py", "--run", f"{directory}/names", "--text", "anna", "--out", str(DOCS / "live.html")),
        ):
            subprocess.run([sys.executable, ROOT / script, *options], check=True)


def make_moons() -> None:
    """Write the page of two moons."""
    moons = (ROOT / "examples" / "moons.py", "--explain", str(DOCS / "moons.html"))
    subprocess.run([sys.executable, *moons], check=True)


def make_film() -> None:
    """Open the page in a browser, do what `scenes` say, and keep every picture as a frame of a GIF."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=next((path for path in map(shutil.which, BROWSERS) if path), None),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", reduced_motion="reduce"
        )
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
    yield 1600
    page.locator("#text").fill("")
    for character in "emma":  # type
        page.locator("#text").press(character)
        yield 450
    yield 1200
    x, y = page.evaluate(
        "(() => { for (let x = 200; x < 600; x++) for (let y = 100; y < 500; y += 5)"
        " if (hit(x, y)?.line?.[0] === 3) return [x, y]; })()"
    )
    page.locator("#picture").hover(position={"x": x, "y": y})  # what a head reads
    yield 1600
    page.evaluate("goToSection('block-0-attention')")
    yield 900
    page.locator("#block-0-attention .triangle").nth(1).locator("tbody tr").nth(2).locator(".cell").nth(1).click()
    yield 1200
    high = float(page.locator("#change").get_attribute("max"))
    start = float(page.locator("#value").get_attribute("data-exact"))
    for i in range(1, 11):  # change a number
        to = start + (high - start) * i / 10
        page.locator("#change").evaluate("(e, x) => { e.value = x; e.dispatchEvent(new Event('input')); }", to)
        yield 160
    yield 1400
    page.evaluate("act(putAllBack); close(); fold('block-0'); scrollTo(0, 0); startAtRandom(); learnFrom('data')")
    yield 1200
    for _ in range(18):  # train
        page.evaluate("takeSteps(70); follow()")
        yield 150
    yield 1400
    page.evaluate("act(putAllBack)")
    page.locator("#text").fill("chr")
    yield 900
    page.evaluate("pen.seed = 0; pen.temperature = 0.7")
    start = page.evaluate("typedOf(model.tokens)")
    written = page.evaluate("writtenNow().map(({ token }) => token).filter((token) => token !== closing)")
    for i in range(len(written)):  # write
        page.evaluate("tokens => readMore(tokens)", [*start, *written[: i + 1]])
        yield 300
    yield 2400


def make_programs() -> None:
    """Measure the programs of the bench, and put the table, their lines and their listings into programs.md."""
    with tempfile.TemporaryDirectory() as directory:
        measured = Path(directory, "programs.json")
        options = ("--sections", "programs", "--scale", str(SCALE), "--json", measured)
        subprocess.run([sys.executable, ROOT / "bench.py", *options], check=True)
        rows = json.loads(measured.read_text(encoding="utf-8"))["programs"]
    page = DOCS / "programs.md"
    before, *sections = re.split(r"(?m)^(?=## )", page.read_text(encoding="utf-8"))
    before = re.sub(r"(?m)^\| `.*\n", "", before).replace(RULE, RULE + "".join(map(row_of, rows, rows.values())))
    page.write_text((before + "".join(map(with_program, sections))).rstrip() + "\n", encoding="utf-8")


def row_of(name: str, row: dict[str, Any]) -> str:
    """The line of a program in the table."""
    from bench.program_rows import cells

    says = importlib.import_module(f"bench.programs.{name}").__doc__.rstrip(".")
    return f"| `{name}` | {says[0].lower()}{says[1:]} | {' | '.join(cells(row))} |\n"


def with_program(section: str) -> str:
    """A section with its words, and the present lines and the listing of the program that it is about."""
    from microgpt import value_and_grad

    name = re.search(r"bench/programs/(\w+)\.py", section)[1]
    program = importlib.import_module(f"bench.programs.{name}")
    functions = Path(program.__file__).read_text(encoding="utf-8").split("\n\n\n")
    task = program.make(SCALE)
    lines = value_and_grad(task["loss"]).listing(task["params"], *task["args"]).splitlines()
    cut = [line.rstrip() if len(line) <= WIDTH_OF_LISTING else f"{line[: WIDTH_OF_LISTING - 4]} ..." for line in lines]
    if len(cut) > LINES_OF_LISTING:
        cut[LINES_OF_LISTING:] = [f"... and {len(cut) - LINES_OF_LISTING:,} more"]
    code = "\n\n\n".join(f for f in functions if f.startswith("def") and not f.startswith(("def torch", "def make")))
    words = section.split("```")[0].rstrip()
    return "\n\n".join([words, f"```python\n{code}\n```", "```\n" + "\n".join(cut) + "\n```\n\n"])


def make_notebooks() -> None:
    """Write the notebooks, with their outputs."""
    from docs.notebooks import notebooks, run

    for name, cells in notebooks().items():
        (DOCS / name).write_text(run(cells), encoding="utf-8")
        print(f"{name}: {len(cells)} cells")


def make_models() -> None:
    """Train the models of examples/models, and put what they have learned into models.md."""
    from docs.model_table import MODELS, SEEDS, TEXTS, train, with_table

    page = DOCS / "models.md"
    for text in TEXTS:
        for model in MODELS:
            for seed in SEEDS:
                train(model, text, seed)
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


def make_badges() -> None:
    """Write the picture below the title of the front page."""
    from docs.badges import badges

    (DOCS / "badges.svg").write_text(badges(), encoding="utf-8")


MADE = {
    "page": make_page,
    "moons": make_moons,
    "film": make_film,
    "programs": make_programs,
    "notebooks": make_notebooks,
    "models": make_models,
    "badges": make_badges,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make what is generated in docs/ anew.")
    parser.add_argument("--only", choices=MADE, help="a part of it")
    parser.add_argument("--site", type=Path, help="only make a static site of what is there, in this directory")
    given = parser.parse_args()
    only = given.only
    sys.path.insert(0, str(ROOT))
    if given.site:
        from docs.site import make_site

        make_site(given.site)
        raise SystemExit
    for name, make in MADE.items():
        if only in (None, name):
            make()
