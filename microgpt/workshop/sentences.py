"""The sentences of an answer: the numbers that show a mistake, and what can be said of one that nobody foresaw."""

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from microgpt.workshop.exercise import Case
from microgpt.workshop.observation import Difference, Seen, named_numbers, same

NUDGE = 0.001
NUMBER_ON_THE_LEFT = (
    "A plain number on the left knows nothing of Values: Python asks the Value on its right for a reflected operation, "
    "such as `__radd__`. Is it written already? (sum() begins with 0 + the first.)"
)
CRASHES = {  # what an error says -> what may have happened
    "must be real number, not Value": "A function of math met a Value, and knows floats only. `exp` and `log` of your "
    "value.py know both; a root is a power of 0.5.",
    "NoneType": "Something is None there. Does one of your functions give nothing back?",
    "'Value' object has no attribute": "Besides its methods a Value has data, grad, operation, inputs and "
    "derivatives, and no more (see `__slots__`). Each is there once it was set, with `self.` in front and one `=`.",
    "should return None": "`__init__` sets, and gives nothing back: leave out the `return`.",
    "positional argument": "Count what you give, and compare it with the `def` line of that function. What belongs "
    "together goes into parentheses of its own, such as `(self, other)`.",
    "for ^": "A power is `**` in Python; `^` is something else.",
    "'int' and 'Value'": NUMBER_ON_THE_LEFT,
    "'float' and 'Value'": NUMBER_ON_THE_LEFT,
    "name 'math'": "math is not imported here, and knows floats only: `exp` and `log` of your value.py know Values.",
    "KeyError": "The dict has no entry of that name: the page above the hole says how they are called.",
    "NameError": "Python does not know this name here. Is it spelled as above? Or does it belong to self?",
    "UnboundLocalError": "This name gets its number later in the function, or only in some cases.",
    "found list": "A list takes part as if it were a number: go through its items.",
    "'list' and": "A list takes part as if it were a number: go through its items.",
    "and 'list'": "A list takes part as if it were a number: go through its items.",
    "multiply sequence": "A list takes part as if it were a number: go through its items.",
    "'method' object": "A function itself takes part, where what it returns is meant: call it.",
    "function": "A function itself takes part, where the number that it returns is meant: call it.",
    "not callable": "What is no function is called with parentheses. Is an operator or a comma missing?",
    "is not iterable": "One number is taken as if it were several. Is a list needed there?",
    "'float' object has no attribute": "A plain number takes part as if it were a Value: lift it first.",
    "RecursionError": "The lines below call one another without end. Is another operation meant there, or the plain "
    "number inside?",
}
SIMPLE = {0.1, 0.25, 0.5, 2.0, 3.0, 4.0, 10.0}  # factors that may tell something of a single number
LONGEST = 150  # characters of a result that is shown


def shown(x: Any) -> str:
    """Return a result as a short text."""
    if isinstance(x, bool) or x is None or isinstance(x, str):
        return repr(x) if isinstance(x, str) and x and " " not in x and x != "NotImplemented" else str(x)
    if isinstance(x, float):
        return repr(x) if len(repr(x)) <= 7 else f"{x:.5g}"
    if isinstance(x, list):
        text = "[" + ", ".join(map(shown, x)) + "]"
        return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return f"{x!r:.{LONGEST}}"


def apart(got: Any, expected: Any) -> tuple[str, str]:
    """Return two results as texts; with all digits where five do not tell them apart."""
    a, b = shown(got), shown(expected)
    return (a, b) if a != b else (repr(got)[:LONGEST], repr(expected)[:LONGEST])


def of_inputs(one: Case) -> str:
    """Return "With a = 2.0 and b = -3.0, " for a case; nothing where there is none, or where they are long."""
    texts = [
        f"{name} = {shown(x)}" for name, x in one.given.items() if not isinstance(x, dict) or len(repr(x)) < LONGEST
    ]
    if not texts or len(" ".join(texts)) > 300:
        return ""
    return "With " + (" and ".join(texts) if len(texts) < 3 else ", ".join(texts[:-1]) + f" and {texts[-1]}") + ", "


def called(one: Case) -> str:
    """Return the call of a case, after the statements that run first."""
    lines, name = one.before.strip().splitlines(), one.shown or one.call
    return (f"`{name}`" if is_python(name) else name) + (
        f" (after `{'; '.join(lines)}`)" if lines and len(lines) < 7 else ""
    )


def is_python(text: str) -> bool:
    """Return whether a text is an expression, and no words."""
    try:
        return bool(ast.parse(text, mode="eval"))
    except SyntaxError:
        return False


def evidence(one: Case, found: Difference, seen: Seen, right: Seen, book: Callable[[Case], Seen]) -> str:
    """Return what shows that lines are wrong: a case, what came, what was expected, and why."""
    start, got, expected = of_inputs(one), *apart(found.got, found.expected)
    if found.kind == "error":
        return of_error(start, one, seen, right)
    if found.kind == "slope":
        return of_slope(one, found, book)
    if found.kind == "graph" and found.expected:
        return f"{start}{called(one)} gives plain numbers, {shown(seen.data)}: expected Values, which remember."
    if found.kind == "graph":
        return f"{start}{called(one)} gives Values: expected plain numbers, {shown(right.data)}."
    if found.kind == "operation":
        return f"{start}{called(one)} says that its operation is {found.got!r}: expected {found.expected!r}."
    if found.kind == "changed":
        if not found.got:
            return f"{start}{called(one)} leaves {found.expected} as it was: it should change it."
        return f"{start}{called(one)} changes its input {found.got}: it should only look at it."
    of_what = " (for plain numbers)" if found.kind == "plain" and right.graph and same(seen.data, right.data) else ""
    sentence = f"{start}{called(one)} gives {got}{of_what}. Expected: {expected}."
    sentence = sentence[0].upper() + sentence[1:]
    return f"{sentence} {one.why}".strip()


def of_error(start: str, one: Case, seen: Seen, right: Seen) -> str:
    """Return a sentence on an exception that should not come, or did not."""
    if not seen.error:
        return f"{start}{called(one)} gives {shown(seen.data)}. Expected: {article(right.error)} ({right.message})."
    expected = (
        f"Expected: {article(right.error)} ({right.message})." if right.error else f"Expected: {shown(right.data)}."
    )
    if seen.error == "NoGraphError":
        return f"{start}{called(one)} cannot be walked back: {seen.message}."
    return f"{start}{called(one)} ends with {article(seen.error)}: {ended(seen.message or 'no message')} {expected}"


def ended(text: str) -> str:
    """Return a text with a point at its end, if nothing else ends it."""
    return text if text[-1:] in (".", "?", "!") else f"{text}."


def article(name: str) -> str:
    """Return a name with its article."""
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


def of_slope(one: Case, found: Difference, book: Callable[[Case], Seen]) -> str:
    """Return a sentence on a wrong derivative, with a difference quotient that shows the right one."""
    output, name = found.of
    got, expected = apart(found.got, found.expected)
    result = f"{called(one)}{output}" if output.startswith("[") else called(one)
    result = f"the sum {output} of {called(one)}" if output.startswith("1") else result
    what = f"your backward() leaves {name}.grad at {got}" if one.own else f"what reaches {name} from {result} is {got}"
    moved = replace(one, given=nudged(one.given, name), own=False)
    before, after = number_of(book(replace(one, own=False)), output), number_of(book(moved), output)
    if before is None or after is None:
        return f"{of_inputs(one)}{what}. Expected: {expected}."
    grown = f"If {name} grows by {NUDGE}, {result} changes by {after - before:.4g}"
    return f"{of_inputs(one)}{what}. {grown}: so {expected} should reach it."


def nudged(x: Any, name: str, path: str = "") -> Any:
    """Return inputs in which the number of this name is a little larger."""
    if isinstance(x, dict):
        return {key: nudged(item, name, f"{path}[{key!r}]" if path else str(key)) for key, item in x.items()}
    if isinstance(x, list):
        return [nudged(item, name, f"{path}[{i}]") for i, item in enumerate(x)]
    return x + NUDGE if path == name else x


def number_of(seen: Seen, output: str) -> float | None:
    """Return an output of a case as a number: one of several, or their weighted sum."""
    numbers = dict(named_numbers(seen.data, ""))
    if output.startswith("1"):
        return float(sum(i * x for i, x in enumerate(numbers.values(), 1)))
    x = numbers.get(output)
    return x if isinstance(x, int | float) else None


def general(found: Difference, seen: Seen) -> str:
    """Return what can be said of a mistake without knowing the exercise; nothing where there is nothing."""
    got, expected = found.got, found.expected
    if found.kind == "error":
        words = next((words for text, words in CRASHES.items() if text in f"{seen.error}: {seen.message}"), "")
        refused = "It should refuse that." if not got else "It refuses that, but not with the error that is asked for."
        return words or (refused if expected else "")
    if found.kind == "operation":
        return f"Its last step should be a {expected!r}: compose it as the page above it says."
    if any(x is None for _, x in named_numbers(got, "")):
        return "It gives nothing back: is there a `return` at the end?"
    if got == "NotImplemented":
        return "NotImplemented is what Python takes for an operation that a class does not have."
    if found.kind == "plain" and str(got).endswith("Error"):
        return "It is to serve plain numbers as well as Values: they have no `.data`, and `exp` and `log` know both."
    if found.kind == "graph":
        return "Make a Value of it. Or was it computed from `.data`, or by a function of math?"
    if isinstance(expected, list) and isinstance(got, str):
        return f"It is {got}. A list keeps the order, and one can go through it again."
    if isinstance(expected, list) != isinstance(got, list):
        return f"One number or several? Expected {'several, in a list' if isinstance(expected, list) else 'one'}."
    if isinstance(got, list) and len(got) != len(expected):
        return f"There are {len(got)} items: expected {len(expected)}."
    return of_numbers(flat(got), flat(expected), found.kind)


def flat(x: Any) -> list[float]:
    """Return the numbers of nested lists."""
    return [float(item) for _, item in named_numbers(x, "") if isinstance(item, int | float)]


def of_numbers(got: list[float], expected: list[float], kind: str) -> str:
    """Return how numbers differ, if it is in a simple way."""
    if len(got) != len(expected) or not got:
        return ""
    if any(x != x for x in got):
        return "NaN is not a number: it comes of infinity minus infinity, or of 0 times infinity."
    if kind == "slope" and got == [0.0]:
        return "Nothing arrives: is a derivative 0? Was `.data` used on the way, or a Value made anew from a number?"
    if same(got, [-x for x in expected]):
        return "Only the sign is wrong."
    ratios = {round(a / b, 9) for a, b in zip(got, expected, strict=True) if b}
    if len(ratios) == 1 and all(a == b == 0 or b for a, b in zip(got, expected, strict=True)):
        factor = ratios.pop()
        if factor not in (0.0, 1.0) and (len(got) > 1 or factor in SIMPLE):
            return f"{'Each is' if len(got) > 1 else 'It is'} {factor:.4g} times what it should be."
    gaps = {round(a - b, 9) for a, b in zip(got, expected, strict=True)}
    if len(got) > 1 and len(gaps) == 1:
        return f"Each is off by the same amount, {gaps.pop():.6g}."
    if len(got) > 1 and same(sorted(got), sorted(expected)):
        return "The numbers are right; their order is not."
    return ""
