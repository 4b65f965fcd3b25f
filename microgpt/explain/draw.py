"""A small graph of Values as text: every operation with its operands under it, its number and its gradient.

>>> from microgpt import Value
>>> a, b = Value(2.0), Value(-3.0)
>>> c = a * b + a**2
>>> c.backward()
>>> print(draw(c, a=a, b=b))
+ = -2   gradient 1
├─ * = -6   gradient 1
│  ├─ a = 2   gradient 1
│  └─ b = -3   gradient 2
└─ ** 2 = 4   gradient 1
   └─ a = 2   gradient 1
"""

from collections.abc import Iterator

from microgpt.value import Value


def draw(result: Value, **names: Value) -> str:
    """A value and all that it was made of, as lines of text; what is used twice stands twice, with the same numbers.

    `names` are how leaves are called; one without a name is called a constant.
    """
    of = {value: name for name, value in names.items()}
    return "\n".join(lines(result, of))


def lines(value: Value, of: dict[Value, str], first: str = "", rest: str = "") -> Iterator[str]:
    """The lines of one value; `first` stands before its own line, `rest` before those of its operands."""
    name = of.get(value) or value.operation or "constant"
    yield f"{first}{name} = {value.data:.4g}   gradient {value.grad:.4g}"
    for i, operand in enumerate(value.inputs):
        is_last = i == len(value.inputs) - 1
        yield from lines(operand, of, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))
