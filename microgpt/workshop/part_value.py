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
        case("repr(Value(3))", why="A leaf's data is a float, so 3 becomes 3.0."),
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
        case("(a + b).inputs", a=2.0, b=-3.0),
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
        case("(a * b).inputs", a=2.0, b=-3.0),
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

EXERCISES = (REMEMBER, ADD, MULTIPLY)
