"""The documents of a text: its lines, such as names, or the whole text, that is prose.

If every line of the text fits in the context, each line is a document ("lines"), and empty lines are left out.
Otherwise the whole text is one document ("stream").
"""

import re

from microgpt.errors import counted
from microgpt.learning.reading import Text
from microgpt.learning.text import BOUNDARY

FEW = 0.05  # of all lines: so many exceptions do not change the kind of a text
LONGEST, MANY = 64, 100  # characters of a line, and lines, for `room_for_lines`
STOP = "[\u3002\uff01\uff1f]"  # the full stop, exclamation mark and question mark of Chinese and Japanese
SAMPLE, PLACES = 1_000_000, 100  # characters in which `room_for_lines` looks at lines, and the places they are from


def kind_of_documents(text: Text, n_positions: int) -> str:
    """Return the kind of documents in a text: "lines" unless `why_prose` has a reason against it, else "stream"."""
    return "stream" if why_prose(text, n_positions) else "lines"


def why_prose(text: Text, n_positions: int) -> str:
    """Return why the lines of a text cannot be its documents; empty if they can.

    They can if all fit in the context, and if hardly any is empty or an empty line separates all others.
    """
    lines = text.lines
    if too_long := lines.too_long(n_positions):
        number, length = too_long
        return f"line {number:,} has {counted(length, 'character')} ({n_positions - 1:,} at most for lines)"
    every, close = lines.full + lines.empty, lines.full - lines.blocks  # close: without an empty one before it
    if lines.empty < FEW * every or close <= FEW * lines.full:
        return ""
    return f"{lines.empty:,} of {every:,} lines are empty, but do not separate all others"


def room_for_lines(text: Text, n_positions: int) -> int:
    """Return the context for lines: `n_positions`, or more if the lines clearly are documents.

    For more, there must be at least `MANY` different lines of at most `LONGEST` characters. Hardly any may be longer
    than usual, or they must look like names, not sentences or table rows. Hardly any name has a space, a comma, a
    semicolon or a bar. Chinese and Japanese sentences have no spaces. So few lines may go on after a full stop, unless
    most lines stop at one. In a long text all this is said of a sample of its lines.
    """
    longest = text.lines.longest
    if not n_positions <= longest <= LONGEST:
        return n_positions
    different = some_lines(text) - {""}

    def share(pattern: str) -> float:
        return sum(re.search(pattern, line) is not None for line in different) / len(different)

    wrapped = share(f"{STOP}.") > FEW and share(rf"{STOP}\W*$") < 0.5
    named = share(r"[\s,;|]") <= FEW and not wrapped
    usual = share(f".{{{n_positions}}}") <= FEW
    return longest + 1 if len(different) >= MANY and (named or usual) else n_positions


def some_lines(text: Text) -> set[str]:
    """Return the different lines of a text or, if it is long, those of evenly spread parts of it."""
    if len(text) <= SAMPLE:
        return set(str(text).split(BOUNDARY))
    found, size = set(), SAMPLE // PLACES
    for i in range(PLACES):
        start = i * (len(text) - size) // (PLACES - 1)
        found |= set(text.between(start, start + size).split(BOUNDARY)[1:-1])  # those at both ends may be cut
    return found
