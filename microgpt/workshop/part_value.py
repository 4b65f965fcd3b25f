"""Part 1: a number that remembers how it was made. The learner writes value.py."""

from microgpt.workshop.exercise import Exercise, Question, case, wrong

PART = 1

REMEMBER = Exercise(
    name="remember",
    part=PART,
    file="value.py",
    writes=("Value.__init__",),
    reading="""
A network learns by changing numbers so that a result gets better. So it
must know how each number acts on the result. For that we need a number
that remembers how it was made. Here it is born.

A Value keeps five things:

    data         the number itself, a float
    grad         the derivative of a later result to it; 0.0 until
                 backward() is called
    operation    what made it, such as "+"; "" if it was not computed
    inputs       the Values that it was computed from
    derivatives  for each input: how fast this number grows if that
                 input grows

A number that you type in is a leaf: it has no inputs. Its data must be a
plain real number. The function `number`, further down in this file, makes
a float of it, or refuses it. For a result that was computed it is not
needed: its data is a float already.

    Value(2.0)                               a leaf
    Value(-6.0, "*", (a, b), (-3.0, 2.0))    what a * b will make
""",
    cases=(
        case("Value(2.0).data"),
        case("Value(2.0).grad"),
        case("Value(-1.5).data"),
        case("str(Value(3).data)", why="A leaf's data is a float, so 3 becomes 3.0."),
        case("Value(-6.0, '*').operation"),
        case("Value(-6.0, '*', (Value(2.0), Value(-3.0)), (-3.0, 2.0)).data"),
        case("Value(-6.0, '*', (Value(2.0), Value(-3.0)), (-3.0, 2.0)).inputs"),
        case("Value(-6.0, '*', (Value(2.0), Value(-3.0)), (-3.0, 2.0)).derivatives"),
        case("Value(2.0).inputs"),
        case("Value(2.0).derivatives"),
        case("Value('two')"),
        case("Value(-6.0, '*', (Value(2.0), Value(-3.0)), (-3.0, 2.0)).grad"),
    ),
    mistakes=(
        wrong(
            "A gradient of {got} at birth would be counted into every sum. Nothing has been asked yet: begin at "
            "{expected}.",
            ("self.grad = 0.0", "self.grad = 1.0"),
        ),
        wrong(
            "Your grad begins as the number itself, {got}. The gradient is another number: how a result grows with "
            "this one. It begins at {expected}.",
            ("self.grad = 0.0", "self.grad = self.data"),
        ),
        wrong(
            "Your grad begins as {got}. backward() will add to it, and nothing can be added to {got}: begin at "
            "{expected}.",
            ("self.grad = 0.0", "self.grad = None"),
        ),
        wrong(
            "Nothing has set `self.grad`. Every Value needs it, with 0.0 in it.",
            ("        self.grad = 0.0\n", ""),
        ),
        wrong(
            "The operation that was given, {expected}, is not kept. Put the argument into `self.operation`.",
            ("= operation", '= ""'),
        ),
        wrong(
            "You keep {got} inputs where {expected} were given. Without its inputs a result cannot pass anything "
            "back: put the argument into `self.inputs`.",
            ("= inputs", "= ()"),
        ),
        wrong(
            "You keep {got} as derivatives where {expected} were given. Put the argument into `self.derivatives`.",
            ("= derivatives", "= ()"),
        ),
        wrong(
            "Inputs and derivatives have changed places: the first are Values, here 2.0 and -3.0; the second are "
            "plain numbers, here -3.0 and 2.0.",
            ("= inputs", "= derivatives"),
            ("...] = derivatives", "...] = inputs"),
        ),
        wrong(
            "You keep what is given, whatever it is: {got}. Let a leaf's data go through `number(...)`, which makes a "
            "float of it.",
            ("data if inputs else number(data)", "data"),
        ),
        wrong(
            "`float` makes a number even of some texts, and tells nothing of what went wrong. `number(...)` makes a "
            "float of a real number, and refuses everything else in its own words. For 2.5 both are the same.",
            ("data if inputs else number(data)", "float(data)"),
        ),
        wrong(
            "int() cuts off what is after the point: {got} in place of {expected}. Use `number(...)`.",
            ("data if inputs else number(data)", "int(data)"),
        ),
        wrong(
            "Your data is {got}, whatever was given. Keep the argument `data`.",
            ("data if inputs else number(data)", "0.0"),
        ),
        wrong(
            "Your data has lost its sign: {got}. A Value may be negative.",
            ("data if inputs else number(data)", "abs(number(data))"),
        ),
        wrong(
            "The default values, {got}, win over what was given. Copy each argument as it comes.",
            ("= operation", '= ""'),
            ("= inputs", "= ()"),
            ("...] = derivatives", "...] = ()"),
        ),
    ),
    hints=(
        "Which five things must a Value still know when it is looked at later? Each is a line `self.name = ...`.",
        "self.grad = 0.0; the operation, the inputs and the derivatives are kept as they come.",
        "For the data: `self.data = data if inputs else number(data)`. The other four lines are shorter.",
    ),
    good_for="From now on a number has a place for its history: all else in this file writes into these five.",
)

ADD = Exercise(
    name="add",
    part=PART,
    file="value.py",
    writes=("Value.__add__",),
    reading="""
Python calls this function for a + b, with a as self and b as other.

The result is a new Value: its data is the sum, its operation "+", and its
inputs are both numbers. Then come the derivatives, one for each input. If
a grows by h, how much does the sum grow?

    (a + h) + b  -  (a + b)  =  h

It grows as fast as a: the derivative is 1. It is the same for b. In
formulas, with s = a + b:    ds/da = 1    ds/db = 1

The other number may be a plain one, as in a + 2.5. `self.lift(other)`
makes a Value of it, and leaves a Value as it is.

    Value(data, operation, inputs, derivatives)
""",
    cases=(
        case("a + b", a=2.0, b=-3.0, why="2.0 + -3.0 is -1.0."),
        case("a + b", a=1.5, b=1.5),
        case("a + 2.5", a=1.0, why="1.0 + 2.5 is 3.5."),
        case("a + a", a=3.0),
        case("a + b + c", a=1.0, b=20.0, c=300.0),
    ),
    mistakes=(
        wrong(
            "Each input got its own number as the derivative. That belongs to another operation. How fast does the "
            "sum grow with an input? Does that depend on the number?",
            ("(1.0, 1.0)", "(self.data, other.data)"),
        ),
        wrong(
            "You passed each input the other one's number, as a product does. A sum grows as fast as its input.",
            ("(1.0, 1.0)", "(other.data, self.data)"),
        ),
        wrong(
            "A derivative of 0 says that the result does not depend on a. It does: see the change.",
            ("(1.0, 1.0)", "(0.0, 0.0)"),
        ),
        wrong(
            "The second derivative is that of a difference. In a sum, b counts as a does.",
            ("(1.0, 1.0)", "(1.0, -1.0)"),
        ),
        wrong(
            "You shared the 1 between both inputs. Each of them moves the sum by its whole change.",
            ("(1.0, 1.0)", "(0.5, 0.5)"),
        ),
        wrong(
            "The derivative is the sum itself. How fast it grows is another question than how large it is.",
            ("(1.0, 1.0)", "(self.data + other.data, self.data + other.data)"),
        ),
        wrong(
            "You computed the product: {got}. Here the two numbers are added.",
            ("self.data + other.data", "self.data * other.data"),
        ),
        wrong(
            "You computed the difference: {got}. Here the two numbers are added.",
            ("self.data + other.data", "self.data - other.data"),
        ),
        wrong(
            "Your result is a number of its own: it has no inputs, so nothing can be passed back to a. Give "
            "`(self, other)` and `(1.0, 1.0)` to the new Value.",
            ('Value(self.data + other.data, "+", (self, other), (1.0, 1.0))', "Value(self.data + other.data)"),
        ),
        wrong(
            "You return the plain sum, {got}. It has forgotten where it comes from: make a Value of it.",
            ('Value(self.data + other.data, "+", (self, other), (1.0, 1.0))', "self.data + other.data"),
        ),
        wrong(
            "A plain number such as 2.5 has no `.data`. Let `other` go through `self.lift` first.",
            ("other = self.lift(other)", "pass"),
        ),
        wrong(
            "Only the first input is kept, so b is never reached: {got} comes to it. Both are inputs.",
            ("(self, other), (1.0, 1.0)", "(self,), (1.0,)"),
        ),
        wrong(
            "Only the second input is kept, so a is never reached. Both are inputs.",
            ("(self, other), (1.0, 1.0)", "(other,), (1.0,)"),
        ),
        wrong(
            "The data of the new Value is a Value. Add the numbers inside: `self.data + other.data`.",
            ("self.data + other.data", "self"),
        ),
        wrong(
            "You changed a itself, and returned it. A result is a new Value: a may be used again.",
            body="""
other = self.lift(other)
self.data += other.data
return self
""",
        ),
        wrong('The operation is {got!r}, but this is a "+".'.replace("{got!r}", "{got}"), ('"+"', '"*"')),
        wrong('The operation has no name. Give "+" as the second argument: it is what a drawing shows.', ('"+"', '""')),
        wrong(
            "The inputs are plain numbers. Keep the Values themselves, `(self, other)`: what is passed back must "
            "arrive there.",
            ("(self, other)", "(self.data, other.data)"),
        ),
    ),
    hints=(
        "What are the four things that Value(...) takes, for a sum?",
        "With s = a + b: ds/da = 1 and ds/db = 1.",
        'After `other = self.lift(other)`: `return Value(..., "+", (self, other), (1.0, 1.0))`.',
    ),
    good_for="In a network, + joins paths: what comes back goes on to both inputs, undivided.",
    questions=(
        Question(
            "sum of itself",
            "b = a + a. If a grows by 0.001, by how much does b grow?",
            ("0.002",),
            "a is in the sum twice, and each of both passes on its change.",
            (("0.001", "That is what one a adds. How many are in the sum?"),),
        ),
    ),
)

MULTIPLY = Exercise(
    name="multiply",
    part=PART,
    file="value.py",
    writes=("Value.__mul__",),
    reading="""
Python calls this function for a * b. What does a product do if one of its
inputs grows a little, by h?

    (a + h) * b  -  a * b  =  h * b

So it grows b times as fast as a. With a = 2 and b = -3: if a grows by
0.001, the product goes from -6 to -6.003. It changes by -0.003, which is
-3 times as much. With p = a * b:    dp/da = b    dp/db = a

The derivatives are plain numbers, in the order of the inputs.
""",
    cases=(
        case("a * b", a=2.0, b=-3.0, why="2.0 * -3.0 is -6.0."),
        case("a * b", a=0.5, b=4.0),
        case("a * 2.5", a=3.0),
        case("a * a", a=3.0),
        case("a * b + a", a=2.0, b=-3.0),
        case("a * b * c", a=2.0, b=-3.0, c=10.0),
        case("a * 0", a=2.0),
    ),
    mistakes=(
        wrong(
            "You passed each input its own number: which one does the other see?",
            ("(other.data, self.data)", "(self.data, other.data)"),
        ),
        wrong(
            "These are the derivatives of a sum. A product grows by the change times the other number.",
            ("(other.data, self.data)", "(1.0, 1.0)"),
        ),
        wrong(
            "You passed the product itself, {got}, to both. Divide it by the input in thought: what is left?",
            ("(other.data, self.data)", "(self.data * other.data, self.data * other.data)"),
        ),
        wrong(
            "Both inputs got b. For a that is right; but b sees a.",
            ("(other.data, self.data)", "(other.data, other.data)"),
        ),
        wrong(
            "Both inputs got a. For b that is right; but a sees b.",
            ("(other.data, self.data)", "(self.data, self.data)"),
        ),
        wrong(
            "A derivative of 0 says that the result does not depend on a. It does: see the change.",
            ("(other.data, self.data)", "(0.0, 0.0)"),
        ),
        wrong(
            "You passed the sum of both, {got}. Only the other number counts.",
            ("(other.data, self.data)", "(self.data + other.data, self.data + other.data)"),
        ),
        wrong(
            "The second derivative has lost its sign, or got one: dp/db is a, as it is.",
            ("(other.data, self.data)", "(other.data, -self.data)"),
        ),
        wrong(
            "You computed the sum: {got}. Here the two numbers are multiplied.",
            ("self.data * other.data", "self.data + other.data"),
        ),
        wrong(
            "You divided: {got}. Here the two numbers are multiplied.",
            ("self.data * other.data", "self.data / (other.data or 1)"),
        ),
        wrong(
            "Your result is a number of its own: it has no inputs, so nothing can be passed back to a.",
            (
                'Value(self.data * other.data, "*", (self, other), (other.data, self.data))',
                "Value(self.data * other.data)",
            ),
        ),
        wrong(
            "You return the plain product, {got}. It has forgotten where it comes from: make a Value of it.",
            ('Value(self.data * other.data, "*", (self, other), (other.data, self.data))', "self.data * other.data"),
        ),
        wrong(
            "A plain number such as 2.5 has no `.data`. Let `other` go through `self.lift` first.",
            ("other = self.lift(other)", "pass"),
        ),
        wrong(
            "Only the first input is kept, so b is never reached: {got} comes to it. Both are inputs.",
            ("(self, other), (other.data, self.data)", "(self,), (other.data,)"),
        ),
        wrong(
            "The derivatives are Values. They are to be plain numbers: `other.data`, not `other`.",
            ("(other.data, self.data)", "(other, self)"),
        ),
        wrong('The operation is {got}, but this is a "*".', ('"*"', '"+"')),
    ),
    hints=(
        "If a grows by 1, how many b more are there?",
        "With p = a * b: dp/da = b and dp/db = a.",
        'After `other = self.lift(other)`: `return Value(..., "*", (self, other), (other.data, ...))`.',
    ),
    good_for="A weight times an input is a product: this line is how a weight learns what it was multiplied with.",
    questions=(
        Question(
            "derivative of a product",
            "c = a * b with a = 2 and b = -3. What is dc/da?",
            ("-3",),
            "If a grows by 0.001, c changes by -0.003: that is b times as much.",
            (
                ("2", "That is a itself, and it is what b gets. What does a see?"),
                ("-6", "That is c. How fast does it grow if a does?"),
                ("1", "So it would be for a + b."),
            ),
        ),
    ),
)

POWER = Exercise(
    name="power",
    part=PART,
    file="value.py",
    writes=("Value.__pow__",),
    reading="""
Python calls this function for x ** k. Here k is a plain number, such as
2, -1 or 0.5; a Value as the exponent is refused with a TypeError.

    (x + h) ** 2  -  x ** 2  =  2 * x * h  +  h ** 2

and h ** 2 is next to nothing: the square grows 2 * x times as fast as x.
For any k, with p = x ** k:    dp/dx = k * x ** (k - 1)

    k = 2      2 * x           k = -1     -1 / x ** 2
    k = 0.5    0.5 / sqrt(x)   k = 0      0

A power has one input. One input in parentheses needs a comma: `(self,)`.
The operation is "** " and the exponent: f"** {k:.17g}".

Some powers do not exist: 0 ** -1, or -8 ** 0.5. Others are too large for
a float: 10 ** 400. Python raises a ZeroDivisionError or an OverflowError,
or returns a complex number. Raise a ValueError in all these cases, of the
power and of its derivative: `is_finite(x)`, below, is False for infinite
and for complex numbers. For k = 0 the derivative is 0, even at x = 0.
""",
    cases=(
        case("x**2", x=3.0, why="3.0 ** 2 is 9.0."),
        case("x**3", x=2.0, why="2.0 ** 3 is 8.0."),
        case("x**2", x=-1.5),
        case("x**-1", x=2.0),
        case("x**0.5", x=4.0),
        case("x**1", x=5.0),
        case("x**-0.5", x=0.25),
        case("x**0", x=3.0),
        case("x**2 * y", x=3.0, y=10.0),
        case("x**y", x=3.0, y=2.0),
        case("x**-1", x=0.0),
        case("x**0.5", x=-8.0),
        case("x**400", x=10.0),
        case("x**0.5", x=0.0),
        case("x**0", x=0.0),
        case("x**'2'", x=3.0),
    ),
    mistakes=(
        wrong(
            "The k in front is missing: x ** 2 grows by x twice, once for each of its two factors.",
            ("k * x ** (k - 1) if k", "x ** (k - 1) if k"),
        ),
        wrong(
            "The exponent did not go down: the derivative has one factor x less than the power.",
            ("k * x ** (k - 1)", "k * x**k"),
        ),
        wrong(
            "Python takes a power before a minus: k * x ** k - 1 is (k * x ** k) - 1. The exponent k - 1 needs its "
            "parentheses.",
            ("k * x ** (k - 1)", "k * x**k - 1"),
        ),
        wrong(
            "The exponent went up. That is how one goes back, to the function with this derivative; it goes down.",
            ("k * x ** (k - 1)", "k * x ** (k + 1)"),
        ),
        wrong(
            "The factor in front is the old exponent k, not k - 1.",
            ("k * x ** (k - 1) if k", "(k - 1) * x ** (k - 1) if k"),
        ),
        wrong(
            "That is the derivative of a square. It serves k = 2 alone: here k is another.",
            ("k * x ** (k - 1) if k else 0.0", "2 * x"),
        ),
        wrong(
            "That is k * x. It is right for squares alone: in a power of k, there are k - 1 other factors x.",
            ("k * x ** (k - 1) if k", "k * x if k"),
        ),
        wrong(
            "The derivative is only k. For large x a power grows faster: k * x ** (k - 1).",
            ("k * x ** (k - 1) if k", "k if k"),
        ),
        wrong(
            "A derivative of 1 would say that x ** k grows as x itself does. That is so for k = 1 alone.",
            ("k * x ** (k - 1) if k else 0.0", "1.0"),
        ),
        wrong(
            "That is x * k, {got}: x taken k times as a summand. In a power it is a factor k times.",
            ("power, derivative = x**k,", "power, derivative = x * k,"),
        ),
        wrong(
            "Base and exponent have changed places: {got} is k ** x.",
            ("power, derivative = x**k,", "power, derivative = k**x,"),
        ),
        wrong(
            "That is the derivative to the exponent, x ** k * log(x). Here x grows, and k stays.",
            ("k * x ** (k - 1) if k else 0.0", "x**k * math.log(abs(x) or 1)"),
        ),
        wrong(
            "The derivative lost its sign or got one: for k = -1 it is negative, for k = 2 and x > 0 positive.",
            ("k * x ** (k - 1) if k", "-k * x ** (k - 1) if k"),
        ),
        wrong(
            "The derivative is the power itself, as for exp. A power of x has k * x ** (k - 1).",
            ("k * x ** (k - 1) if k else 0.0", "x**k"),
        ),
        wrong(
            "Your exponent became an integer: 0.5 became 0. So the root of 4.0 is {got}.",
            ("number(exponent)", "int(number(exponent))"),
        ),
        wrong(
            "The result has no inputs: nothing can be passed back to x.",
            ('f"** {{k:.17g}}", (self,), (derivative,)'.replace("{{", "{").replace("}}", "}"), ""),
        ),
        wrong(
            'The operation is called {got}: write f"** {{k:.17g}}", because a drawing shows it.',
            ('f"** {k:.17g}"', '"*"'),
        ),
        wrong(
            "A float to the power of a Value asks that Value again, which asks you again, without end. Refuse a Value "
            "as the exponent, with a TypeError.",
            ("isinstance(exponent, Value)", "isinstance(exponent, str)"),
            ("number(exponent)", "exponent"),
        ),
        wrong(
            "You take a Value as the exponent. Its own derivative would be lost: refuse it with a TypeError.",
            ("isinstance(exponent, Value)", "False"),
            ("number(exponent)", "number(getattr(exponent, 'data', exponent))"),
        ),
        wrong(
            "Python's own error comes through. Catch ZeroDivisionError and OverflowError, and raise a ValueError: 0.0 "
            "and 10.0 ** 400 are bad values, whatever happened inside.",
            ("(ZeroDivisionError, OverflowError)", "(KeyError)"),
        ),
        wrong(
            "{got} came through: the root of a negative number is complex. Ask `is_finite` of the power.",
            ("if not is_finite(power) or not is_finite(derivative):", "if power == math.inf:"),
        ),
        wrong(
            "At x = 0 your derivative of x ** 0 divides by 0. For k = 0 it is 0.0, whatever x is.",
            (" if k else 0.0", ""),
        ),
    ),
    hints=(
        "x ** 3 is x * x * x. If x grows by h, each of the 3 factors does. What is each multiplied with?",
        "dp/dx = k * x ** (k - 1), and 0.0 if k is 0.",
        'With x = self.data, k = number(exponent): `return Value(x**k, f"** {k:.17g}", (self,), (k * ...,))`; before '
        "it `try:` and `except (ZeroDivisionError, OverflowError):` for what has no float.",
    ),
    good_for="Division is a power of -1, a root one of 0.5: three operations in one.",
    questions=(
        Question(
            "derivative of one through x",
            "y = x ** -1. What is dy/dx at x = 2?",
            ("-0.25", "-1/4"),
            "k * x ** (k - 1) is -1 * 2 ** -2, which is -1/4: if x grows, 1/x falls.",
            (
                ("0.25", "The size is right. Does 1/x rise or fall if x grows?"),
                ("-0.5", "The exponent goes down by one: from -1 to -2."),
                ("0.5", "That is y itself."),
            ),
        ),
    ),
)

LOGARITHM = Exercise(
    name="logarithm",
    part=PART,
    file="value.py",
    writes=("Value.log",),
    reading="""
The natural logarithm asks: which power of e = 2.718... gives x? The loss
of a language model is made of it: the surprise at something that has the
chance p is -log(p).

    log(1) = 0      log(e) = 1      log(0.5) = -0.693...

If x grows by h, log(x) grows by about h / x: the larger x is, the less it
matters. With y = log(x):    dy/dx = 1 / x

The function `log` below the class computes it for a plain number, and
refuses 0 and negative numbers with a ValueError. Inside of this method,
`log(self.data)` calls that function. The operation is "log".
""",
    cases=(
        case("x.log()", x=1.0, why="e ** 0 is 1, so log(1) is 0."),
        case("x.log()", x=2.0),
        case("x.log()", x=0.5),
        case("x.log()", x=10.0),
        case("x.log() * y", x=4.0, y=3.0),
        case("x.log()", x=-2.0),
        case("x.log()", x=0.0),
        case("x.log()", x=1e-9),
    ),
    mistakes=(
        wrong(
            "You passed x back. The larger x is, the less a step matters: it is 1 / x.", ("1 / self.data", "self.data")
        ),
        wrong(
            "A derivative of 1 is right at x = 1 alone. At x = {x} the logarithm grows 1 / {x} times as fast.",
            ("1 / self.data", "1.0"),
        ),
        wrong("You passed the logarithm itself back. How fast it grows is 1 / x.", ("1 / self.data", "log(self.data)")),
        wrong(
            "That is the derivative of 1 / x. The derivative of log(x) is 1 / x itself.",
            ("1 / self.data", "-1 / self.data**2"),
        ),
        wrong(
            "The logarithm always rises: its derivative, 1 / x, is positive for each x > 0.",
            ("1 / self.data", "-1 / self.data"),
        ),
        wrong("exp(x) is the derivative of exp. For log it is 1 / x.", ("1 / self.data", "math.exp(self.data)")),
        wrong(
            "That is the logarithm to base 2: {got}. The natural one has base e.",
            ("log(self.data)", "math.log2(self.data)"),
        ),
        wrong(
            "That is the logarithm to base 10: {got}. The natural one has base e.",
            ("log(self.data)", "math.log10(self.data)"),
        ),
        wrong("That is log(1 + x): {got}.", ("log(self.data)", "math.log1p(self.data)")),
        wrong(
            "You divided by the logarithm. The derivative is 1 / x: divide by the number itself.",
            ("1 / self.data", "1 / (log(self.data) or 1)"),
        ),
        wrong("The result has no inputs: nothing can be passed back to x.", (', "log", (self,), (1 / self.data,)', "")),
        wrong(
            "You return a plain number, {got}: it has forgotten x. Make a Value of it.",
            ('Value(log(self.data), "log", (self,), (1 / self.data,))', "log(self.data)"),
        ),
        wrong('The operation is {got}: call it "log".', ('"log"', '"exp"')),
        wrong(
            "The logarithm of a negative number is taken as if it were positive. There is none: let `log` refuse it.",
            ("log(self.data)", "log(abs(self.data))"),
        ),
        wrong(
            "A chance of 0 is a mistake that should be seen: let `log` refuse it with its ValueError.",
            ("log(self.data)", "log(self.data or 1e-300)"),
            ("1 / self.data", "1 / (self.data or 1e-300)"),
        ),
        wrong(
            "You shrank the derivative to at most 1. It may be large: at x = 0.5 it is 2.",
            ("1 / self.data", "1 / max(self.data, 1.0)"),
        ),
    ),
    hints=(
        "From x = 1 to x = 2 the logarithm grows by 0.693; from 100 to 101 by 0.00995. What does that depend on?",
        "dy/dx = 1 / x",
        'return Value(log(self.data), "log", (self,), (... / self.data,))',
    ),
    good_for="The loss of every model here ends in this line: a chance goes in, a surprise comes out.",
)

EXPONENTIAL = Exercise(
    name="exponential",
    part=PART,
    file="value.py",
    writes=("Value.exp",),
    reading="""
exp(x) is e ** x, with e = 2.718... It turns any number into a positive
one, so that a network can make chances of its numbers.

    exp(0) = 1      exp(1) = 2.718...      exp(-1) = 0.367...

What makes e special: this function grows exactly as fast as it is large.
With y = exp(x):    dy/dx = y

The function `exp` below the class computes it for a plain number. It
stays at the largest float where math.exp would raise an OverflowError.
Compute it once, and use it twice. The operation is "exp".
""",
    cases=(
        case("x.exp()", x=0.0, why="Any number to the power of 0 is 1."),
        case("x.exp()", x=1.0),
        case("x.exp()", x=-1.0),
        case("x.exp()", x=2.5),
        case("x.exp() * y", x=0.5, y=3.0),
        case("x.exp().log()", x=1.5),
        case("x.exp()", x=1000.0),
        case("x.exp()", x=-1000.0),
    ),
    mistakes=(
        wrong(
            "That is the rule for x ** k, where the exponent is constant. Here x is the exponent: exp passes on what "
            "it is itself.",
            ("(power,)", "(self.data * exp(self.data - 1),)"),
        ),
        wrong("A derivative of 1 is right at x = 0 alone. exp grows as fast as it is large.", ("(power,)", "(1.0,)")),
        wrong("You passed x back. exp grows as fast as exp(x) is large.", ("(power,)", "(self.data,)")),
        wrong("1 / x is the derivative of log. exp has itself.", ("(power,)", "(1 / (self.data or 1),)")),
        wrong("exp rises everywhere: its derivative is positive, and your sign is not.", ("(power,)", "(-power,)")),
        wrong("That is exp(x) - 1, {got}.", ("exp(self.data)", "exp(self.data) - 1")),
        wrong(
            "That is 2 ** x, {got}. The base is e = 2.718...",
            ("power = exp(self.data)", "power = 2.0 ** min(self.data, 1023)"),
        ),
        wrong(
            "That is 10 ** x, {got}. The base is e = 2.718...",
            ("power = exp(self.data)", "power = 10.0 ** min(self.data, 308)"),
        ),
        wrong(
            "The math.exp of Python cannot take a number as large as 1000. The function `exp` below the class stays at "
            "the largest float.",
            ("power = exp(self.data)", "power = math.exp(self.data)"),
        ),
        wrong(
            "You computed exp(-x), {got}. Was a sign left from another formula?", ("exp(self.data)", "exp(-self.data)")
        ),
        wrong("The result has no inputs: nothing can be passed back to x.", (', "exp", (self,), (power,)', "")),
        wrong(
            "You return a plain number, {got}: it has forgotten x. Make a Value of it.",
            ('Value(power, "exp", (self,), (power,))', "power"),
        ),
        wrong('The operation is {got}: call it "exp".', ('"exp"', '"log"')),
        wrong(
            "The derivative is the square of the power. It is the power itself, once.",
            ("(power,)", "(power * min(power, 1e9),)"),
        ),
        wrong("The derivative has one exp too many: exp(exp(x)). It is exp(x) once.", ("(power,)", "(exp(power),)")),
    ),
    hints=(
        "Which function is its own derivative?",
        "dy/dx = y, with y = exp(x)",
        'power = exp(self.data), and then `return Value(power, "exp", (self,), (...,))`.',
    ),
    good_for="exp makes chances, tanh and gelu: that was the last of the five operations.",
    questions=(
        Question(
            "exp of log",
            "y = log(exp(x)). What is dy/dx at x = 7?",
            ("1",),
            "log undoes exp, so y is x. In the graph: exp passes on exp(7), and log divides by exp(7).",
            (("7", "That is y itself. How fast does it grow?"),),
        ),
    ),
)

MINUS = Exercise(
    name="minus",
    part=PART,
    file="value.py",
    writes=("Scalar.__neg__", "Scalar.__sub__", "Scalar.__truediv__"),
    reading="""
No new derivatives from here on: what is composed of the five operations
gets its gradient from them. These three stand in the class Scalar, which
Value inherits. They use only +, * and **, so they serve any kind of
number that has these (the compiler has one of its own).

    -a       a times -1
    a - b    a plus the negative of b
    a / b    a times b to the power of -1

`self.lift(other)` makes one of our numbers of a plain one. (1 / b and 1 -
b come with the next exercise: they ask the number on the left.) Do not
touch `.data` here: a number computed from it has no history.
""",
    cases=(
        case("-a", a=2.0, why="2.0 times -1 is -2.0."),
        case("a - b", a=5.0, b=3.0, why="5.0 + -3.0 is 2.0."),
        case("a / b", a=6.0, b=4.0, why="6.0 times 4.0 ** -1, which is 0.25, is 1.5."),
        case("-a", a=-0.5),
        case("a - 1.5", a=1.0),
        case("a / 4", a=6.0),
        case("a - a", a=3.0),
        case("a / a", a=3.0),
        case("-(a - b) / c", a=1.0, b=4.0, c=2.0),
        case("a / b", a=1.0, b=0.0),
    ),
    mistakes=(
        wrong("-a is a as it was: {got}. It is a times -1.", ("self * -1", "self * 1")),
        wrong("You took 1 away from a: {got}. It is a times -1, not plus -1.", ("self * -1", "self + -1")),
        wrong(
            "-a is made of `.data`, so its history is lost. Write it with *.", ("self * -1", "self.lift(-self.data)")
        ),
        wrong("-a is a plain number, {got}. `self * -1` is one that remembers.", ("self * -1", "-self.data")),
        wrong(
            "a - b is a + b: {got}. The second number needs its minus.",
            ("self + -self.lift(other)", "self + self.lift(other)"),
        ),
        wrong(
            "a - b is b - a: {got}. What is taken away is `other`.",
            ("self + -self.lift(other)", "-self + self.lift(other)"),
        ),
        wrong(
            "a - b is made of `.data`, so its history is lost. Write it with +.",
            ("self + -self.lift(other)", "self.lift(self.data - self.lift(other).data)"),
        ),
        wrong(
            "Both became negative: {got}. Only `other` gets a minus.",
            ("self + -self.lift(other)", "-self + -self.lift(other)"),
        ),
        wrong(
            "a / b is a * b: {got}. The second number needs the power of -1.",
            ("self.lift(other) ** -1", "self.lift(other)"),
        ),
        wrong(
            "a / b is upside down: {got}. The power of -1 belongs to `other`.",
            ("self * self.lift(other) ** -1", "self**-1 * self.lift(other)"),
        ),
        wrong(
            "a / b is a times -b: {got}. A power of -1 is not a product with -1.",
            ("self.lift(other) ** -1", "(self.lift(other) * -1)"),
        ),
        wrong(
            "a / b is made of `.data`, so its history is lost. Write it with * and **.",
            ("self * self.lift(other) ** -1", "self.lift(self.data / self.lift(other).data)"),
        ),
        wrong("You divide by b twice: {got}. The power is -1.", ("** -1", "** -2")),
        wrong(
            "The power of -1 takes all of a * b: {got}. Take it of `other` alone, then multiply.",
            ("self * self.lift(other) ** -1", "(self * self.lift(other)) ** -1"),
        ),
        wrong(
            "a - b is the product of both and -1: {got}. Add them, after b got its minus.",
            ("self + -self.lift(other)", "self * -self.lift(other)"),
        ),
    ),
    hints=(
        "How would you write each of the three with +, * and ** only?",
        "-a = a * -1;  a - b = a + (-b);  a / b = a * b ** -1",
        "Three lines: `return self * -1`, `return self + -self.lift(other)`, `return self * ...`",
    ),
    good_for="Composed operations get their derivatives for nothing. So will a whole GPT.",
)

REFLECTED = Exercise(
    name="reflected",
    part=PART,
    file="value.py",
    writes=("Scalar.__radd__", "Scalar.__rmul__", "Scalar.__rsub__", "Scalar.__rtruediv__"),
    reading="""
a + 2 works: Python asks a. But 2 + a asks the number 2 first, which knows
nothing of Values. Then Python asks a for the reflected operation: it
calls a.__radd__(2), with a as self and the number as other.

    2 + a    a.__radd__(2)          2 - a    a.__rsub__(2)
    2 * a    a.__rmul__(2)          2 / a    a.__rtruediv__(2)

`other` stood on the LEFT. Lift it, and let the operation that you have do
the rest. (sum() needs this as well: it begins with 0 + the first value.)
""",
    cases=(
        case("2.0 + a", a=3.0, why="2.0 + 3.0 is 5.0."),
        case("2 * a", a=3.0, why="2 * 3.0 is 6.0."),
        case("2 - a", a=3.0, why="2 - 3.0 is -1.0."),
        case("6 / a", a=4.0, why="6 / 4.0 is 1.5."),
        case("sum([a, b, c])", a=1.0, b=20.0, c=300.0),
        case("1 - a * a", a=0.5),
        case("1 / (1 + a)", a=3.0),
        case("0.5 * a - 1", a=3.0),
        case("0 / a", a=2.0),
    ),
    mistakes=(
        wrong(
            "2 - a became a - 2: {got}. `other` stood on the left.",
            ("self.lift(other) - self", "self - self.lift(other)"),
        ),
        wrong(
            "6 / a became a / 6: {got}. `other` stood on the left.",
            ("self.lift(other) / self", "self / self.lift(other)"),
        ),
        wrong(
            "`other + self` asks the plain number, which asks you again: 2.0 + a without end. Lift `other` first.",
            ("self.lift(other) + self", "other + self"),
        ),
        wrong(
            "`other * self` asks the plain number again, which asks you again: 2 * a without end. Lift `other` first.",
            ("self.lift(other) * self", "other * self"),
        ),
        wrong(
            "`other - self` asks the plain number again, which asks you again: 2 - a without end. Lift `other` first.",
            ("self.lift(other) - self", "other - self"),
        ),
        wrong(
            "`other / self` asks the plain number again, which asks you again: 6 / a without end. Lift `other` first.",
            ("self.lift(other) / self", "other / self"),
        ),
        wrong("2 - a became 2 + a: {got}.", ("self.lift(other) - self", "self.lift(other) + self")),
        wrong("6 / a became 6 * a: {got}.", ("self.lift(other) / self", "self.lift(other) * self")),
        wrong("2.0 + a became 2.0 * a: {got}.", ("self.lift(other) + self", "self.lift(other) * self")),
        wrong("2 * a became 2 + a: {got}.", ("self.lift(other) * self", "self.lift(other) + self")),
        wrong("2.0 + a gives a alone, {got}: the number on the left is lost.", ("self.lift(other) + self", "self")),
        wrong("2 - a gives -a, {got}: the number on the left is lost.", ("self.lift(other) - self", "-self")),
        wrong("6 / a gives 1 / a, {got}: the number on the left is lost.", ("self.lift(other) / self", "self**-1")),
        wrong("2 * a gives a, {got}: the number on the left is lost.", ("self.lift(other) * self", "self")),
        wrong(
            "2.0 + a is made of `.data`: it has forgotten a. Add the Values themselves.",
            ("self.lift(other) + self", "self.lift(other + self.data)"),
        ),
        wrong(
            "2 * a is made of `.data`: it has forgotten a. Multiply the Values themselves.",
            ("self.lift(other) * self", "self.lift(other * self.data)"),
        ),
    ),
    hints=(
        "In 2 - a, which one is `self`, which one `other`, and which one stands on the left?",
        "a.__rsub__(2) is 2 - a, which is lift(2) - a.",
        "Four lines of the same form: `return self.lift(other) + self`.",
    ),
    good_for="Now formulas can be written as on paper: 1 - 2 / (exp(2 * x) + 1).",
)

ORDER_HELPERS = '''
def name_of(value):
    return f"{value.operation or 'leaf'} = {value.data}"

def order_of(result):
    """What is wrong with the topological order of a result."""
    order = result.topological_order()
    if not isinstance(order, list):
        return f"no list, but a {type(order).__name__}"
    if not order or order[-1] is not result:
        return f"a list of {len(order)} that does not end with the result itself"
    if not all(hasattr(value, "inputs") for value in order):
        return "a list in which something is no Value"
    places = {id(value): place for place, value in enumerate(order)}
    if len(places) < len(order):
        twice = min(name_of(value) for place, value in enumerate(order) if places[id(value)] != place)
        return f"a list of {len(order)} in which '{twice}' stands twice"
    reached, stack = {}, [result]
    while stack:
        value = stack.pop()
        if id(value) not in reached:
            reached[id(value)] = value
            stack.extend(value.inputs)
    missing = [name_of(value) for value in reached.values() if value.inputs and id(value) not in places]
    if missing:
        return f"a list of {len(order)} without '{min(missing)}'"
    early = [
        f"'{name_of(value)}' stands before its input '{name_of(made_of)}'"
        for value in order for made_of in value.inputs
        if places.get(id(made_of), -1) > places[id(value)]
    ]
    if early:
        return f"a list in which {min(early)}"
    return "each value once, after its inputs"

def chained(x, count):
    """A result that is so many operations deep."""
    for i in range(count):
        x = x + 1 if i % 2 else x * 1
    return x

def doubled(x, count):
    """A result that uses each value twice."""
    for _ in range(count):
        x = x + x
    return x
'''

ORDER = Exercise(
    name="order",
    part=PART,
    file="value.py",
    writes=("Value.topological_order",),
    helpers=ORDER_HELPERS,
    reading="""
Before gradients can flow, all values must be put in order: a value may
pass on its gradient only when everything that used it has had its turn.
So we list the graph with each value AFTER all that it was made of.
backward() will walk that list from its end.

    c = a * b        topological:  c, d, e      (leaves may be left out)
    d = c + a        wrong:        d, c, e      d was made of c
    e = c * d

The way to it: to order a value, first order its inputs, then append it.
One that was seen before is not visited again: c is used twice, and may
stand in the list once. Put values into a set, `seen`, to know them again.

You can write this as a function that calls itself for each input. Or keep
a list of what is still to do, and take from its end:

    stack = [(self, False)]
    take (node, inputs_are_ordered) off the stack
        if its inputs are ordered:  append node to the order
        else, if it was not seen:   note it as seen; put (node, True) on
                                    the stack, then each of its inputs
                                    with False, which so come first
""",
    cases=(
        case("order_of(a * b)", shown="(a * b).topological_order()", a=2.0, b=-3.0),
        case("order_of(a * b + c)", shown="(a * b + c).topological_order()", a=2.0, b=-3.0, c=1.0),
        case("order_of(c + a * b)", shown="(c + a * b).topological_order()", a=2.0, b=-3.0, c=1.0),
        case("order_of(a * b + a * c)", shown="(a * b + a * c).topological_order()", a=2.0, b=-3.0, c=5.0),
        case("order_of(d)", before="c = a * b\nd = c + c", shown="d.topological_order()", a=2.0, b=-3.0),
        case("order_of(e)", before="c = a * b\nd = c + a\ne = c * d", shown="e.topological_order()", a=2.0, b=-3.0),
        case("order_of(e)", before="c = a * b\nd = c + a\ne = d * c", shown="e.topological_order()", a=2.0, b=-3.0),
        case(
            "order_of(f)",
            before="c = a * b\nd = c + 1\ne = d * 2\nf = e + c",
            shown="f.topological_order()",
            a=2.0,
            b=-3.0,
        ),
        case(
            "order_of(f)",
            before="c = a * b\nd = c + 1\ne = d * 2\nf = c + e",
            shown="f.topological_order()",
            a=2.0,
            b=-3.0,
        ),
        case("order_of(a * b + b * a)", shown="(a * b + b * a).topological_order()", a=2.0, b=-3.0),
        case("order_of(doubled(a, 10))", shown="topological_order() of a doubled 10 times", a=1.0),
        case("order_of(chained(a, 200))", shown="topological_order() of a chain of 200", a=1.0),
    ),
    mistakes=(
        wrong(
            "Your list begins with the result. That is the order in which backward() goes; here the inputs come first.",
            ("return order", "return order[::-1]"),
        ),
        wrong(
            "You append a value when you first see it, before its inputs. Append it after them.",
            body="""
order, seen, stack = [], set(), [self]
while stack:
    node = stack.pop()
    if node not in seen:
        seen.add(node)
        order.append(node)
        stack.extend(node.inputs)
return order
""",
        ),
        wrong(
            "You turned round a list in which each value stood before its inputs. That serves a tree. A value that is "
            "used by two others may then come too late: append it after its inputs instead.",
            body="""
order, seen, stack = [], set(), [self]
while stack:
    node = stack.pop()
    if node not in seen:
        seen.add(node)
        order.append(node)
        stack.extend(node.inputs)
return order[::-1]
""",
        ),
        wrong(
            "You go level by level from the result. A value that is near to it on one path may be far on another: "
            "append each one after all its inputs.",
            body="""
order, seen, queue = [], set(), [self]
while queue:
    node = queue.pop(0)
    if node not in seen:
        seen.add(node)
        order.append(node)
        queue.extend(node.inputs)
return order[::-1]
""",
        ),
        wrong(
            "A value that is used twice is visited twice, and stands in your list twice. Keep a set of what was seen.",
            body="""
order, stack = [], [(self, False)]
while stack:
    node, ready = stack.pop()
    if ready:
        order.append(node)
    else:
        stack.append((node, True))
        stack.extend((made_of, False) for made_of in node.inputs)
return order
""",
        ),
        wrong(
            "The result itself is missing. It comes last, after all that it was made of.",
            ("return order", "return order[:-1]"),
        ),
        wrong("Your function gives back {got}: is there a `return` at the end?", ("return order", "return None")),
        wrong(
            "You list only the inputs of the result. Each of them has inputs of its own: go on from there.",
            body="return [*(x for x in dict.fromkeys(self.inputs) if x.inputs), self]",
        ),
        wrong(
            "You follow the first input alone. A sum has two: go through all of `node.inputs`.",
            body="""
order, seen, stack = [], set(), [(self, False)]
while stack:
    node, ready = stack.pop()
    if ready:
        order.append(node)
    elif node not in seen:
        seen.add(node)
        stack.append((node, True))
        stack.extend((made_of, False) for made_of in node.inputs[:1])
return order
""",
        ),
        wrong(
            "You note a value as seen when you put it on the stack. Then one that another path needs earlier is left "
            "where it is. Note it when you take it off.",
            body="""
order, seen, stack = [], {self}, [(self, False)]
while stack:
    node, ready = stack.pop()
    if ready:
        order.append(node)
        continue
    stack.append((node, True))
    for made_of in node.inputs:
        if made_of not in seen:
            seen.add(made_of)
            stack.append((made_of, False))
return order
""",
        ),
        wrong(
            "You know values again by their number. Two values may have the same number: keep the Values themselves.",
            body="""
order, seen, stack = [], set(), [(self, False)]
while stack:
    node, ready = stack.pop()
    if ready:
        order.append(node)
    elif node.data not in seen:
        seen.add(node.data)
        stack.append((node, True))
        stack.extend((made_of, False) for made_of in node.inputs if made_of.inputs)
return order
""",
        ),
        wrong(
            "You list the leaves. They have nothing to pass on: what was computed is needed, up to the result.",
            body="""
order, seen, stack = [], set(), [self]
while stack:
    node = stack.pop()
    if node not in seen:
        seen.add(node)
        if not node.inputs:
            order.append(node)
        stack.extend(node.inputs)
return order
""",
        ),
        wrong(
            "Your list has names of operations in it. It is to hold the Values themselves.",
            ("return order", "return [*(node.operation for node in order[:-1]), self]"),
        ),
        wrong(
            "You sorted by size. The order is by who was made of whom, and the numbers do not matter.",
            ("return order", "return [*sorted(order[:-1], key=lambda node: -node.data), self]"),
        ),
        wrong(
            "Your list is a set in the end, which has no order. Return the list.", ("return order", "return set(order)")
        ),
    ),
    hints=(
        "When may e be appended? What has to be in the list before?",
        "order(node) = order(each input of node), then node; each node once.",
        "def visit(node): if node not in seen: seen.add(node); for made_of in node.inputs: visit(made_of); and only "
        "then order.append(node). Call visit(self), return order.",
    ),
    good_for="Compilers, spreadsheets and `make` order their work in the same way.",
    questions=(
        Question(
            "topological order",
            "c = a * b; d = c + a; e = c * d. Which of c, d, e must pass on its gradient last in backward()?",
            ("c",),
            "c was used by d and by e: both must have had their turn before what has reached c is complete.",
            (("e", "e is the result: it begins."), ("d", "d was made of c. Which one waits for the other?")),
        ),
    ),
)

BACKWARD = Exercise(
    name="backward",
    part=PART,
    file="value.py",
    writes=("Value.backward",),
    reading="""
The heart of all learning, in some six lines. Every value knows how fast
it grows with each of its inputs. The chain rule makes of that how fast
the result grows with anything before it: derivatives along a path
multiply.

    d = c * 10        c grows -3 times as fast as a, d 10 times as fast
    c = a * b         as c: so d grows -30 times as fast as a

So it goes, from the result to the beginning:

 1. The values in between start afresh: their grad is 0.0. (Leaves keep
    theirs. A leaf has no inputs.)
 2. The result grows as fast as itself: add 1.0 to its own grad.
 3. Go through topological_order() in reverse. Each node passes to each
    of its inputs:  the derivative to that input  *  its own grad

    gradient of an input  gets  derivative * gradient of the node

`zip(node.inputs, node.derivatives)` gives each input with its derivative.
""",
    cases=(
        case("a * b", own=True, a=2.0, b=-3.0),
        case("a + b", own=True, a=2.0, b=-3.0),
        case("(a * b) * 10", own=True, a=2.0, b=-3.0),
        case("(a * b + c) * d", own=True, a=2.0, b=-3.0, c=10.0, d=4.0),
        case("a**3", own=True, a=2.0),
        case("(a.exp() + 1).log()", own=True, a=0.5),
        case("1 / (a - b)", own=True, a=3.0, b=1.0),
        case(
            "c.grad",
            before="c = a * b\nd = c * 10\nd.backward()",
            a=2.0,
            b=-3.0,
            why="d = c * 10 grows 10 times as fast as c.",
        ),
        case(
            "d.grad",
            before="c = a * b\nd = c * 10\nd.backward()",
            a=2.0,
            b=-3.0,
            why="The result grows as fast as itself.",
        ),
        case("a.data", before="c = a * b\nc.backward()", a=2.0, b=-3.0),
    ),
    mistakes=(
        wrong(
            "Nothing begins: the grad of the result is 0 when you walk, so 0 is passed on. It grows as fast as "
            "itself: 1.0.",
            ("self.grad += 1.0", "pass"),
        ),
        wrong(
            "Only what is next to the result gets something: a node has its turn before its own grad is there. Walk "
            "the order in reverse.",
            ("reversed(order)", "order"),
        ),
        wrong(
            "You pass on the derivative alone. What has reached the node itself must be multiplied with it: that is "
            "the chain rule.",
            ("derivative * node.grad", "derivative"),
        ),
        wrong(
            "You pass on the node's gradient as it is. It must be multiplied with the derivative to that input.",
            ("derivative * node.grad", "node.grad"),
        ),
        wrong(
            "Derivatives along a path multiply; you added them.", ("derivative * node.grad", "derivative + node.grad")
        ),
        wrong(
            "The gradient is taken away in place of added: the sign is wrong at every second step.",
            ("made_of.grad +=", "made_of.grad -="),
        ),
        wrong(
            "You multiply with the input's number. The derivative knows already what is needed.",
            ("derivative * node.grad", "made_of.data * node.grad"),
        ),
        wrong(
            "The result begins with its own number. How fast does it grow if it grows itself? As fast: 1.0.",
            ("self.grad += 1.0", "self.grad += self.data"),
        ),
        wrong(
            "The result itself never has its turn: you left out the end of the list.",
            ("reversed(order)", "reversed(order[:-1])"),
        ),
        wrong(
            "You passed it to the node itself. It belongs to the input: `made_of.grad`.",
            ("made_of.grad += derivative", "node.grad += derivative"),
        ),
        wrong(
            "Only the first input of each node gets something. Go through all of them.",
            ("zip(node.inputs, node.derivatives, strict=True)", "list(zip(node.inputs, node.derivatives))[:1]"),
        ),
        wrong(
            "You divided by the derivative. A result that grows 10 times as fast passes on 10 times as much.",
            ("derivative * node.grad", "node.grad / (derivative or 1)"),
        ),
        wrong(
            "You added to the input's own number. A gradient goes into `grad`; `data` stays as it is.",
            ("made_of.grad += derivative", "made_of.data += derivative"),
        ),
    ),
    hints=(
        "When a node has its turn, what does it know already? What does each of its inputs still need?",
        "made_of.grad gets derivative * node.grad, for each node in reverse order",
        "for node in reversed(order): for made_of, derivative in zip(node.inputs, node.derivatives): "
        "made_of.grad += ...",
    ),
    good_for="This is backpropagation. PyTorch has the same lines, for tables of numbers.",
    questions=(
        Question(
            "chain rule",
            "c = a * b; d = c + 5; e = d * 4. With a = 2 and b = -3: what is de/da?",
            ("-12",),
            "e passes 4 to d, d passes 4 * 1 to c, and c passes 4 * b to a, which is 4 * -3.",
            (
                ("4", "So much reaches c. What does c pass on to a?"),
                ("-3", "That is dc/da. What comes from e to c before?"),
                ("-7", "Derivatives along a path multiply."),
            ),
        ),
    ),
)

TWICE = Exercise(
    name="twice",
    part=PART,
    file="value.py",
    writes=("Value.backward",),
    trial=True,
    reading="""
A value that is used twice acts on the result by two paths. If a grows,
both grow the result: so what comes over the paths is added.

    d = a * b + a      a grows by h: the product by -3 * h, and a itself
                       by h. Together -2 * h, so a.grad is -3 + 1 = -2.

And a value passes on its gradient only when all of it is there.

A second backward() adds to the gradients of the leaves, so that several
losses can share a step. The values in between start afresh each time.
""",
    cases=(
        case("a + a", own=True, a=3.0),
        case("a * a", own=True, a=3.0),
        case("a * b + a", own=True, a=2.0, b=-3.0),
        case("c * c", before="c = a * b", own=True, a=2.0, b=-3.0),
        case("c * d", before="c = a * b\nd = c + a", own=True, a=2.0, b=-3.0),
        case("d * c", before="c = a * b\nd = c + a", own=True, a=2.0, b=-3.0),
        case("e + c", before="c = a * b\nd = c * 2\ne = d * d", own=True, a=2.0, b=-3.0),
        case("a * b + a * c", own=True, a=2.0, b=-3.0, c=5.0),
        case("a - a", own=True, a=3.0),
        case(
            "a.grad",
            before="c = a * b\nc.backward()\nc.backward()",
            a=2.0,
            b=-3.0,
            why="Each of two backward() adds -3.0 to the gradient of the leaf a.",
        ),
        case(
            "a.grad",
            before="c = a * b\nd = c * 10\nd.backward()\nd.backward()",
            a=2.0,
            b=-3.0,
            why="Each of two backward() adds -30.0; what is in between, c, begins at 0.0 again.",
        ),
        case("c.grad", before="c = a * b\nd = c * 10\nd.backward()\nd.backward()", a=2.0, b=-3.0),
        case(
            "a.grad",
            before="c = a * b\nd = c * 10\nc.backward()\nd.backward()",
            a=2.0,
            b=-3.0,
            why="c adds -3.0 to a, and d adds -30.0.",
        ),
    ),
    mistakes=(
        wrong(
            "The last path wins: `=` overwrites what another path has brought. Write `+=`.",
            ("made_of.grad += derivative", "made_of.grad = derivative"),
        ),
        wrong(
            "The values in between keep what the first backward() left in them, and pass it on again. Set their grad "
            "to 0.0 before you begin.",
            ("node.grad = 0.0", "pass"),
        ),
        wrong(
            "Each backward() begins anew only at the result. What is in between still holds what the first one left, "
            "and passes it on again. Set the grad of all that has inputs to 0.0 first.",
            ("node.grad = 0.0", "pass"),
            ("self.grad += 1.0", "self.grad = 1.0"),
        ),
        wrong(
            "You set the gradients of leaves to 0, too. So a second loss wipes out the first. Only what has inputs "
            "starts afresh.",
            (
                "node.grad = 0.0",
                "node.grad = 0.0\n            for made_of in node.inputs:\n                made_of.grad = 0.0",
            ),
        ),
        wrong(
            "Only the first path counts: what comes later is dropped. Add all of it.",
            ("made_of.grad += derivative * node.grad", "made_of.grad = made_of.grad or derivative * node.grad"),
        ),
        wrong(
            "You keep the larger of two contributions. Both move the result: add them.",
            (
                "made_of.grad += derivative * node.grad",
                "made_of.grad = max(made_of.grad, derivative * node.grad, key=abs)",
            ),
        ),
        wrong(
            "You take the mean of what comes. Both paths move the result by their whole part: add them.",
            (
                "made_of.grad += derivative * node.grad",
                "made_of.grad = (made_of.grad + derivative * node.grad) / (2 if made_of.grad else 1)",
            ),
        ),
        wrong(
            "a * a has the same input twice, and a set or a dict keeps it once. Go through the pairs themselves.",
            (
                "zip(node.inputs, node.derivatives, strict=True)",
                "dict(zip(node.inputs, node.derivatives, strict=True)).items()",
            ),
        ),
        wrong(
            "You pass a gradient on each time something arrives, and all of it again: so it counts twice. Wait until "
            "it is complete: go through topological_order() in reverse.",
            body="""
for node in self.topological_order():
    if node.inputs:
        node.grad = 0.0
self.grad += 1.0
queue = [self]
while queue:
    node = queue.pop(0)
    for made_of, derivative in zip(node.inputs, node.derivatives, strict=True):
        made_of.grad += derivative * node.grad
        queue.append(made_of)
""",
        ),
        wrong(
            "You pass a gradient on when a value is first met, before all of it is there. Go through "
            "topological_order() in reverse.",
            body="""
for node in self.topological_order():
    if node.inputs:
        node.grad = 0.0
self.grad += 1.0
queue, seen = [self], set()
while queue:
    node = queue.pop(0)
    if node in seen:
        continue
    seen.add(node)
    for made_of, derivative in zip(node.inputs, node.derivatives, strict=True):
        made_of.grad += derivative * node.grad
        queue.append(made_of)
""",
        ),
        wrong(
            "What comes over two paths is multiplied. Along a path derivatives multiply; paths add up.",
            ("made_of.grad += derivative * node.grad", "made_of.grad = (made_of.grad or 1) * derivative * node.grad"),
        ),
        wrong(
            "The second path is taken away from the first. Both move the result: add them.",
            (
                "made_of.grad += derivative * node.grad",
                "made_of.grad = derivative * node.grad - made_of.grad",
            ),
        ),
    ),
    hints=(
        "a + a: which two numbers reach a, and what becomes of the first one when the second arrives?",
        "gradient of a = the sum over all paths; so `+=`, and 0.0 at the beginning for all that has inputs.",
        "In the inner loop: `made_of.grad += derivative * node.grad`. Before: `if node.inputs: node.grad = 0.0`.",
    ),
    good_for="A weight is used at each position of a text: all that it did there is added up in its grad.",
    questions=(
        Question(
            "a used twice",
            "d = a * b + a with a = 2 and b = -3. What is a.grad after d.backward()?",
            ("-2",),
            "Over the product comes b = -3, over the sum 1: together -2.",
            (
                ("-3", "That comes over the product. There is a second path."),
                ("1", "That comes over the sum. There is a second path."),
                ("2", "That is a itself."),
            ),
        ),
        Question(
            "no zero",
            "A loss is computed and backward() called, 3 times, and nobody sets w.grad to 0. Each time 0.5 comes. What "
            "is w.grad?",
            ("1.5",),
            "Gradients of leaves add up. So a training loop sets them to 0 before each step.",
            (("0.5", "That is what comes each time. What was there before?"),),
        ),
    ),
)

DEEP = Exercise(
    name="deep",
    part=PART,
    file="value.py",
    writes=("Value.topological_order",),
    helpers=ORDER_HELPERS,
    trial=True,
    seconds=10.0,
    reading="""
A text of some words leads to a graph of 100,000 operations, one after the
other. Python lets functions call one another about 1,000 deep, and no
deeper. And a value that is used twice, 60 times in a row, is reached by
2 ** 60 paths, more than anybody can walk.

If your order was written with a function that calls itself, write it now
with a list of what is still to do; the page above it shows how.
""",
    cases=(
        case("order_of(e)", before="c = a * b\nd = c + a\ne = d * c", shown="e.topological_order()", a=2.0, b=-3.0),
        case(
            "order_of(f)",
            before="c = a * b\nd = c + 1\ne = d * 2\nf = c + e",
            shown="f.topological_order()",
            a=2.0,
            b=-3.0,
        ),
        case("order_of(d)", before="c = a * b\nd = c + c", shown="d.topological_order()", a=2.0, b=-3.0),
        case("order_of(chained(a, 2000))", shown="topological_order() of a chain of 2,000 operations", a=1.0),
        case("order_of(chained(a, 100_000))", shown="topological_order() of a chain of 100,000 operations", a=1.0),
        case("order_of(doubled(a, 60))", shown="topological_order() of a doubled 60 times", a=1.0),
        case("doubled(a, 60)", own=True, shown="a doubled 60 times", a=1.0),
        case("chained(a, 10_000)", own=True, shown="a chain of 10,000 operations", a=1.0),
    ),
    mistakes=(
        wrong(
            "Your function calls itself for each input: {call} is too deep for that. Keep a list of what is still to "
            "do, and take from its end.",
            body="""
order, seen = [], set()
def visit(node):
    if node not in seen:
        seen.add(node)
        for made_of in node.inputs:
            visit(made_of)
        order.append(node)
visit(self)
return order
""",
        ),
        wrong(
            "You stop after 10,000 steps. A graph may be larger than any number you choose: go on while there is "
            "something to do.",
            body="""
order, seen, stack = [], set(), [(self, False)]
for _ in range(10_000):
    if not stack:
        break
    node, ready = stack.pop()
    if ready:
        order.append(node)
    elif node not in seen:
        seen.add(node)
        stack.append((node, True))
        stack.extend((made_of, False) for made_of in node.inputs if made_of.inputs)
if self not in order:
    order.append(self)
return order
""",
        ),
        *(ORDER.mistakes[i] for i in (0, 1, 2, 3, 5, 6, 8, 10)),
    ),
    hints=(
        "What does Python keep for you while a function calls itself? Could you keep it in a list?",
        "stack = [(self, False)]; while stack: take the last one off.",
        "A node comes off twice: first with False, when it puts (node, True) and its inputs on; then with True, when it"
        " is appended to the order.",
    ),
    good_for="Your Value holds for graphs of any size: value.py is complete.",
)

EXERCISES = (
    REMEMBER,
    ADD,
    MULTIPLY,
    POWER,
    LOGARITHM,
    EXPONENTIAL,
    MINUS,
    REFLECTED,
    ORDER,
    BACKWARD,
    TWICE,
    DEEP,
)
