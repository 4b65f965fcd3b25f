"""Makes a static site of the documents, the living pages and the code that they name: see make.py.

A site is a directory of plain files. It asks no other server for anything, and can be served from anywhere.
"""

import html
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_by_name, get_lexer_for_filename
from pygments.util import ClassNotFound

from microgpt.workshop.course import EXERCISES, PARTS

ROOT = Path(__file__).resolve().parents[1]
LOOK = ROOT / "docs" / "look"  # the template, the style and the search
COLORS = ROOT / "microgpt" / "explain" / "page" / "page.css"  # the living page's, which begin the file
LIVE = {"live.html": "The living page", "moons.html": "Two moons"}  # pages that are whole as they are
PICTURES = (".gif", ".svg", ".png")
STARTS = {"index.html": "README.md"}
IN_ORDER = (  # of the contents; a document that is missing here comes last
    "tour", "workshop", "teach", "break-it", "ladder", "symptoms", "models", "optimizers", "speed", "programs",
    "library", "code", "runs", "coming-from", "outgrow",
)  # fmt: skip
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
WORDS = 600  # characters of a section that the search shows of


@dataclass
class Page:
    """A page of the site.

    Attributes:
        path: where it lies in the site.
        source: its document in the repository, relative to the root; empty if it is made here.
        text: in Markdown.
    """

    path: str
    source: str
    text: str
    title: str = ""
    body: str = ""
    sections: list[dict[str, str]] = field(default_factory=list)  # for the search


def make_site(directory: Path) -> None:
    """Write the site into a directory, which is made anew. Raises ValueError for a link that leads nowhere."""
    pages = all_pages()
    site = Site(pages)
    for page in pages:
        site.render(page)
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    for page in pages:
        write(directory / page.path, site.framed(page.path, page.title, page.body))
    for path in site.code_pages():
        write(directory / site.where(path), site.framed(site.where(path), path, site.code_of(path)))
    for name in LIVE:
        write(directory / name, (ROOT / "docs" / name).read_text(encoding="utf-8"))
    for picture in site.pictures:
        shutil.copyfile(ROOT / picture, directory / Path(picture).name)
    write(directory / "look.css", style())
    sections = [section for page in pages for section in page.sections]
    found = json.dumps(sections, ensure_ascii=False).replace("</", "<\\/")
    write(directory / "search.js", f"const SECTIONS = {found};\n" + (LOOK / "search.js").read_text(encoding="utf-8"))
    (directory / ".nojekyll").touch()  # a host that would leave out what begins with _ leaves all as it is
    print(f"{len(pages)} pages, {len(site.linked)} of code, {len(sections)} sections to search: {directory}")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def all_pages() -> list[Page]:
    """The documents, in the order of the contents."""
    documents = {path.stem: f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))}
    documents["contributing"] = "CONTRIBUTING.md"
    pages = [Page("index.html", "README.md", read("README.md"))]
    for name in [*IN_ORDER, *(name for name in documents if name not in IN_ORDER)]:
        if name == "workshop":
            pages.append(Page("workshop.html", "", reading_of_workshop()))
        elif name in documents:
            pages.append(Page(f"{name}.html", documents[name], read(documents[name])))
    return pages


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def reading_of_workshop() -> str:
    """What one reads before each exercise, as one document."""
    lines = [
        "# The workshop\n\nWrite the book yourself, function by function. `python learn.py` makes the files, looks at "
        "what you write, and says what is wrong. This is what one reads on the way.\n"
    ]
    for number, title in PARTS.items():
        lines.append(f"## Part {number}: {title}\n")
        for one in EXERCISES:
            if one.part == number:
                lines.append(f"### {one.name}\n\nin `{one.file}`\n\n```text\n{one.reading.strip()}\n```\n")
    return "\n".join(lines)


class Site:
    """Turns documents into pages, and remembers the code and the pictures that they link to."""

    def __init__(self, pages: list[Page]):
        self.pages = pages
        self.of_source = {page.source: page.path for page in pages if page.source}
        self.linked: dict[str, set[str]] = {}  # paths of code, and the pages that link to them
        self.pictures: set[str] = set()

    # Documents

    def render(self, page: Page) -> None:
        """Fill in the title, the body and the sections of a page."""
        tokens = MARKDOWN.parse(page.text)
        slugs: dict[str, int] = {}
        for i, token in enumerate(tokens):
            if token.type == "heading_open":
                words = plain(tokens[i + 1])
                page.title = page.title or words
                token.attrSet("id", slug_of(words, slugs))
                page.sections.append({"page": page.path, "id": str(token.attrs["id"]), "title": words, "text": ""})
            elif token.type in ("inline", "fence", "code_block") and page.sections:
                page.sections[-1]["text"] += " " + (plain(token) if token.type == "inline" else token.content)
            for child in token.children or []:
                self.relink(page, child)
        for section in page.sections:
            section["text"] = " ".join(section["text"].split())
            section["of"] = page.title
        page.body = "".join(self.shown(tokens))
        if page.path == "index.html":
            page.body = front(page.body)

    def shown(self, tokens: list[Token]) -> Iterator[str]:
        """The HTML of tokens, with colours for code, and tables that scroll where they are wide."""
        part: list[Token] = []
        for token in tokens:
            part.append(token)
            if token.type in ("fence", "code_block"):
                yield MARKDOWN.renderer.render(part[:-1], MARKDOWN.options, {}) + colored(
                    token.content, token.info.strip()
                )
                part = []
            elif token.type == "table_open":
                yield MARKDOWN.renderer.render(part[:-1], MARKDOWN.options, {}) + '<div class="wide" tabindex="0">'
                part = [token]
            elif token.type == "table_close":
                yield MARKDOWN.renderer.render(part, MARKDOWN.options, {}) + "</div>"
                part = []
        yield MARKDOWN.renderer.render(part, MARKDOWN.options, {})

    def relink(self, page: Page, token: Token) -> None:
        """Let a link or a picture of a document lead to where that is in the site."""
        name = {"link_open": "href", "image": "src"}.get(token.type)
        if name:
            token.attrs[name] = self.target(page, unquote(str(token.attrs[name])))

    def target(self, page: Page, link: str) -> str:
        """Where a link leads in the site. Raises ValueError if it leads nowhere."""
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link) or not path:
            return link
        found = os.path.normpath(Path(page.source).parent / path).replace(os.sep, "/")
        if not (ROOT / found).exists():
            raise ValueError(f"{page.source} links to {link}: there is no such file")
        if found in self.of_source:
            to = self.of_source[found]
        elif Path(found).parent == Path("docs") and Path(found).name in LIVE:
            to = Path(found).name
        elif Path(found).suffix in PICTURES:
            self.pictures.add(found)
            to = Path(found).name
        else:
            self.linked.setdefault(found, set()).add(page.path)
            to = self.where(found)
        return to + (f"#{anchor}" if anchor else "")

    # Code

    def where(self, path: str) -> str:
        """The page of a file or a directory of the repository."""
        return f"code/{path}.html" if (ROOT / path).is_file() else f"code/{path}/index.html"

    def code_pages(self) -> list[str]:
        """The files and directories that have a page: those that are linked, and the files of such directories."""
        for path in [path for path in self.linked if (ROOT / path).is_dir()]:
            for file in files_in(path):
                self.linked.setdefault(file, set())
        return sorted(self.linked)

    def code_of(self, path: str) -> str:
        """The body of a page of code."""
        back = os.path.relpath(".", PurePosixPath(self.where(path)).parent).replace(os.sep, "/")
        titles = {page.path: page.title for page in self.pages}
        about = ", ".join(
            f'<a href="{back}/{page}">{html.escape(titles[page])}</a>' for page in sorted(self.linked[path])
        )
        lines = [f"<h1><code>{path}</code></h1>", f"<p>It is named in {about}.</p>" if about else ""]
        if (ROOT / path).is_dir():
            entries = [f'<li><a href="{Path(file).name}.html"><code>{file}</code></a></li>' for file in files_in(path)]
            return "\n".join([*lines, "<ul>", *entries, "</ul>"])
        formatter = HtmlFormatter(cssclass="colored", linenos="inline", lineanchors="line", anchorlinenos=True)
        try:
            lexer = get_lexer_for_filename(path)
        except ClassNotFound:
            lexer = TextLexer()
        return "\n".join([*lines, highlight(read(path), lexer, formatter)])

    # The frame

    def framed(self, path: str, title: str, body: str) -> str:
        """A whole page, with the contents of the site beside it."""
        up = "../" * path.count("/")
        entries = [(page.path, "Start" if page.path == "index.html" else page.title) for page in self.pages]
        entries[1:1] = LIVE.items()
        contents = "\n".join(
            f'<a href="{up}{to}"{" aria-current=page" if to == path else ""}>{html.escape(name)}</a>'
            for to, name in entries
        )
        about = (
            f"{title} · microgpt" if title != "microgpt" else "microgpt: GPT-2 from five operations on single numbers"
        )
        given = {"title": html.escape(about), "up": up, "contents": contents, "body": body}
        frame = (LOOK / "frame.html").read_text(encoding="utf-8")
        return re.sub(r"\{(\w+)\}", lambda found: given[found[1]], frame)


def plain(token: Token) -> str:
    """The words of a line, without its marks."""
    return "".join(child.content if child.type != "softbreak" else " " for child in token.children or [])


def slug_of(words: str, met: dict[str, int]) -> str:
    """The anchor of a heading, as the usual hosts of repositories make it."""
    slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
    met[slug] = met.get(slug, -1) + 1
    return f"{slug}-{met[slug]}" if met[slug] else slug


def colored(code: str, language: str) -> str:
    """A block of code, with colours if its language is known."""
    try:
        lexer: Any = get_lexer_by_name(language) if language else TextLexer()
    except ClassNotFound:
        lexer = TextLexer()
    return f'<div class="block" tabindex="0">{highlight(code, lexer, HtmlFormatter(cssclass="colored"))}</div>'


def files_in(path: str) -> list[str]:
    """The files of code in a directory."""
    kinds = (".py", ".c", ".js")
    return [f"{path}/{file.name}" for file in sorted((ROOT / path).iterdir()) if file.suffix in kinds]


def front(body: str) -> str:
    """The front page: two buttons between the first words and the film."""
    buttons = (
        '<p class="buttons"><a class="button" href="live.html">Open the page</a> '
        '<a class="button other" href="tour.html">Take the tour</a></p>\n'
    )
    head, film, rest = body.partition("<p><img")
    return f'<div class="front">{head}{buttons}</div>{film}{rest}'


def style() -> str:
    """The look of all pages: the colours of the living page, those of code, and the style."""
    colors = COLORS.read_text(encoding="utf-8").partition("\n* {")[0]
    light, dark = (HtmlFormatter(style=name).get_style_defs(".colored") for name in ("default", "github-dark"))
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"
    return "\n".join([colors, light, dark, (LOOK / "style.css").read_text(encoding="utf-8")])
