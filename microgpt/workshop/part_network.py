"""Part 2: a network, on lists of numbers that remember. The learner writes functions.py, then moons.py."""

from microgpt.workshop.exercise import Exercise, Question, case, wrong
from microgpt.workshop.moons_training import beside_pytorch, train_moons

PART = 2

DOT = Exercise(
    name="dot",
    part=PART,
    file="functions.py",
    writes=("dot",),
    reading="""
A new file, functions.py. Its functions take lists, and do not care what is
in them: plain numbers, or Values that remember. So a function serves to
compute and to learn. The comment after a signature gives the shapes.

The dot product multiplies two lists item by item, and adds the products:

    [1, 2] and [3, 4]    1 * 3 + 2 * 4 = 11

It says how well two vectors agree: large if both point the same way, 0 if
they have nothing in common, negative if one points against the other. A
neuron is a dot product of inputs and weights; attention compares a query
and a key with it. Nearly all time of a GPT goes into it.

`zip(a, b, strict=True)` gives the pairs, and a ValueError if one list is
longer than the other. sum() begins with 0 + the first, which you can do.
""",
    cases=(
        case("dot(a, b)", a=[2.0], b=[5.0]),
        case("dot(a, b)", a=[1.0, 2.0], b=[3.0, 4.0], why="1 * 3 + 2 * 4 is 11."),
        case("dot(a, b)", a=[1.0, 0.0, -2.0], b=[0.5, 7.0, 3.0]),
        case("dot(a, a)", a=[3.0, 4.0]),
        case("dot(a, b)", a=[1.0, 2.0, 3.0], b=[3.0, 4.0]),
        case("dot(a, b)", a=[1.0, 2.0], b=[3.0, 4.0, 5.0]),
    ),
    mistakes=(
        wrong("You added the pairs, where each is to be multiplied: 1 * 3 + 2 * 4.", ("a_i * b_i", "a_i + b_i")),
        wrong("You took the differences of the pairs. Each pair is multiplied.", ("a_i * b_i", "a_i - b_i")),
        wrong(
            "You give the products one by one, {got}. Add them: `sum(...)`.",
            body="return [a_i * b_i for a_i, b_i in zip(a, b, strict=True)]",
        ),
        wrong(
            "You multiplied the sums, {got}: so each item met each of the others. Only pairs belong together.",
            body="[None for _ in zip(a, b, strict=True)]\nreturn sum(a) * sum(b)",
        ),
        wrong(
            "You multiplied everything with everything, {got}. Multiply the pairs, and add the products.",
            body="result = 1\nfor a_i, b_i in zip(a, b, strict=True):\n    result = result * a_i * b_i\nreturn result",
        ),
        wrong(
            "Lists of different lengths go through, and the rest is dropped: {got}. Say `strict=True`.",
            ("strict=True", "strict=False"),
        ),
        wrong("b plays no part: you squared the items of a.", ("a_i * b_i", "a_i * a_i")),
        wrong("a plays no part: you squared the items of b.", ("a_i * b_i", "b_i * b_i")),
        wrong(
            "You took the mean of the products, {got}. It is their sum.",
            body="return sum(a_i * b_i for a_i, b_i in zip(a, b, strict=True)) * (1 / len(a))",
        ),
        wrong(
            "Only the first pair counts in yours: {got}. Was `return` inside of the loop?",
            body="for a_i, b_i in zip(a, b, strict=True):\n    first = a_i * b_i\n    break\n"
            "[None for _ in zip(a, b, strict=True)]\nreturn first",
        ),
        wrong(
            "Only the last pair counts in yours: {got}. `=` in the loop overwrites the sum: write `+=`.",
            body="for a_i, b_i in zip(a, b, strict=True):\n    last = a_i * b_i\nreturn last",
        ),
        wrong(
            "The second list runs backwards: the first item met the last one.",
            ("zip(a, b, strict=True)", "zip(a, b[::-1], strict=True)"),
        ),
        wrong(
            "Your sum does not begin at 0: it is too large by 1.",
            body="return sum((a_i * b_i for a_i, b_i in zip(a, b, strict=True)), 1)",
        ),
        wrong(
            "That is the root of the dot product, {got}: the length of a vector, if both are the same.",
            body="return sum(a_i * b_i for a_i, b_i in zip(a, b, strict=True)) ** 0.5",
        ),
        wrong("You divided by the items of b. Each pair is multiplied.", ("a_i * b_i", "a_i / b_i")),
    ),
    hints=(
        "Which two things happen, one after the other, with the pairs of items?",
        "a[0] * b[0] + a[1] * b[1] + ...",
        "return sum(... for a_i, b_i in zip(a, b, strict=True))",
    ),
    good_for="Everything that follows is made of this function: it is the one that hardware is built for.",
    questions=(
        Question(
            "dot with itself",
            "What is dot(a, a) for a = [3, 4]?",
            ("25",),
            "9 + 16: the square of the length, as Pythagoras has it.",
            (("5", "That is the length. The dot product is its square."), ("7", "Multiply the pairs before you add.")),
        ),
    ),
)

LINEAR = Exercise(
    name="linear",
    part=PART,
    file="functions.py",
    writes=("linear",),
    reading="""
A layer of neurons. Each output is a weighted sum of ALL inputs, plus a bias
of its own. The weights stand in a table with a row for each input and a
column for each output, as GPT-2 has it:

    x  [n]          weight  [n, m]        bias  [m]       result  [m]
    [x0, x1]        [[w00, w01, w02],     [b0, b1, b2]
                     [w10, w11, w12]]

    output 1  =  x0 * w01 + x1 * w11 + b1

So output j is the dot product of x with COLUMN j, plus bias j. A table is a
list of its rows. `zip(*weight, strict=True)` gives its columns: it takes
the first item of each row, then the second one, and so on.
""",
    cases=(
        case("linear(x, weight, bias)", x=[2.0], weight=[[3.0]], bias=[0.5], why="2 * 3 + 0.5 is 6.5."),
        case(
            "linear(x, weight, bias)",
            x=[1.0, 2.0],
            weight=[[3.0], [4.0]],
            bias=[0.5],
            why="1 * 3 + 2 * 4 + 0.5 is 11.5.",
        ),
        case("linear(x, weight, bias)", x=[2.0], weight=[[3.0, -1.0]], bias=[0.5, 10.0]),
        case(
            "linear(x, weight, bias)",
            x=[1.0, 2.0],
            weight=[[1.0, 2.0], [3.0, 4.0]],
            bias=[0.0, 10.0],
            why="Output 0 is 1 * 1 + 2 * 3 + 0, output 1 is 1 * 2 + 2 * 4 + 10.",
        ),
        case(
            "linear(x, weight, bias)", x=[1.0, -1.0], weight=[[1.0, 2.0, 3.0], [0.5, 0.25, 4.0]], bias=[1.0, 2.0, 3.0]
        ),
        case("linear(x, weight, bias)", x=[1.0, 2.0], weight=[[1.0, 2.0], [3.0, 4.0]], bias=[1.0]),
        case("linear(x, weight, bias)", x=[1.0, 2.0], weight=[[1.0, 2.0], [3.0]], bias=[1.0]),
        case("linear(x, weight, bias)", x=[1.0], weight=[[1.0], [3.0]], bias=[1.0]),
    ),
    mistakes=(
        wrong(
            "You took rows of the table where columns make the outputs. `zip(*weight, strict=True)` turns it.",
            ("zip(*weight, strict=True)", "weight"),
        ),
        wrong("The bias is missing.", ("dot(x, column) + b", "dot(x, column)")),
        wrong(
            "The biases stand behind the outputs: `+` puts one list behind the other. Add a bias to each output.",
            body="return [dot(x, column) for column in zip(*weight, strict=True)] + bias",
        ),
        wrong("The bias is taken away. It is added.", ("dot(x, column) + b", "dot(x, column) - b")),
        wrong("The bias is multiplied. It is added.", ("dot(x, column) + b", "dot(x, column) * b")),
        wrong(
            "Each output got the first bias, {bias}[0]. Each has one of its own: take it from the zip.",
            ("dot(x, column) + b", "dot(x, column) + bias[0]"),
        ),
        wrong(
            "Your result is one number: the sum of all outputs. Keep them apart, in a list.",
            body="return sum(dot(x, column) + b for column, b in zip(zip(*weight, strict=True), bias, strict=True))",
        ),
        wrong(
            "You return {got}, something that can be gone through once. Make a list of it: [...], not (...).",
            body="return (dot(x, column) + b for column, b in zip(zip(*weight, strict=True), bias, strict=True))",
        ),
        wrong(
            "You added the bias to each input, before the weights. It comes after: one for each output.",
            ("dot(x, column) + b", "dot([x_i + b for x_i in x], column)"),
        ),
        wrong(
            "A table and a bias that do not fit go through, and some of it is dropped. Say `strict=True`.",
            ("bias, strict=True", "bias"),
        ),
        wrong(
            "A row that is too short goes through, and its column is dropped. Say `strict=True` in the inner zip.",
            ("zip(*weight, strict=True)", "zip(*weight)"),
        ),
        wrong(
            "Only the first output is there: {got}. Was `return` inside of the loop?",
            body="whole = [dot(x, column) + b for column, b in zip(zip(*weight, strict=True), bias, strict=True)]\n"
            "return whole[:1]",
        ),
        wrong(
            "The outputs come in reverse.",
            body="whole = [dot(x, column) + b for column, b in zip(zip(*weight, strict=True), bias, strict=True)]\n"
            "return whole[::-1]",
        ),
        wrong(
            "The outputs are squashed already. A layer is linear: tanh comes after it, where it is wanted.",
            ("dot(x, column) + b", "tanh(dot(x, column) + b)"),
        ),
        wrong(
            "You took the mean over the inputs. It is their weighted sum.",
            ("dot(x, column) + b", "dot(x, column) * (1 / len(x)) + b"),
        ),
        wrong(
            "The inputs are taken in reverse: x[0] met the last row.",
            ("dot(x, column) + b", "dot(x[::-1], column) + b"),
        ),
    ),
    hints=(
        "Which numbers of the table does output 1 need? Are they a row or a column?",
        "output[j] = dot(x, column j) + bias[j]",
        "return [dot(x, column) + b for column, b in zip(zip(*weight, strict=True), ..., strict=True)]",
    ),
    good_for="All weights of a GPT but its embeddings, biases and norms are tables in this function.",
    questions=(
        Question(
            "weights of a layer",
            "A layer has 32 inputs and 128 outputs. How many numbers does it learn, biases included?",
            ("4224",),
            "32 * 128 weights and 128 biases.",
            (
                ("4096", "Those are the weights. Each output has a bias, too."),
                ("160", "Each output has a weight for each input."),
            ),
        ),
    ),
)

TANH = Exercise(
    name="tanh",
    part=PART,
    file="functions.py",
    writes=("tanh",),
    reading="""
Layers of weighted sums alone would be one weighted sum. Between them goes
something that bends. tanh squashes any number into (-1, 1):

    tanh(x) = (e^x - e^-x) / (e^x + e^-x)

    tanh(0) = 0     tanh(1) = 0.76...     tanh(20) = 1 as far as a float goes

On paper that is it. But e^800 has no float, and for x = 800 the formula
divides two numbers that are wrong. Multiply above and below with e^x:

    (e^2x - 1) / (e^2x + 1)   =   1 - 2 / (e^2x + 1)

There is one exp left. If it becomes too large, then 2 / (...) is 0, which
is right; if it becomes 0, the result is 1 - 2, which is right as well.

Write it with `exp` (imported from your value.py), which knows Values; the
functions of `math` know floats only. 2 / y is 2 * y ** -1.
""",
    cases=(
        case("tanh(x)", x=0.0, why="1 - 2 / (1 + 1) is 0."),
        case("tanh(x)", x=1.0, why="1 - 2 / (7.389 + 1) is 0.7616."),
        case("tanh(x)", x=-0.5),
        case("tanh(x)", x=2.5),
        case("tanh(x)", x=20.0),
        case("tanh(x)", x=800.0),
        case("tanh(x)", x=-800.0),
    ),
    mistakes=(
        wrong("That is tanh of half of x: the exponent is 2 * x.", ("exp(2 * x)", "exp(x)")),
        wrong(
            "The sign is turned round: {got}. It is 1 minus the fraction.", body="return 2 * (exp(2 * x) + 1) ** -1 - 1"
        ),
        wrong(
            "That is right on paper. For x = 800 both exps stay at the largest float, and the gradient comes out "
            "wrong. Use the form with one exp.",
            body="return (exp(x) - exp(-x)) * (exp(x) + exp(-x)) ** -1",
        ),
        wrong(
            "On paper that is right, and for small x, too. But for x = 800 the large exp stands above and below, and "
            "the gradient comes out as 2. In 1 - 2 / (e^2x + 1) it stands below alone.",
            body="return (exp(2 * x) - 1) * (exp(2 * x) + 1) ** -1",
        ),
        wrong(
            "On paper that is right, and for small x, too. But for x = -800 the large exp stands above and below, and "
            "the gradient comes out as 2. In 2 / (1 + e^-2x) - 1 it stands below alone.",
            body="e = exp(-2 * x)\nreturn (1 - e) * (1 + e) ** -1",
        ),
        wrong(
            "The tanh of math knows floats only: it cannot take a Value, so nothing could be learned through it.",
            body="import math\nreturn math.tanh(x)",
        ),
        wrong(
            "That is the sigmoid, {got}: it lies between 0 and 1. tanh lies between -1 and 1.",
            body="return (exp(-x) + 1) ** -1",
        ),
        wrong(
            "The 2 above is missing: 1 - 1 / (e^2x + 1) lies between 0 and 1.", body="return 1 - (exp(2 * x) + 1) ** -1"
        ),
        wrong("2 / (e^2x + 1) alone is {got}: it is taken away from 1.", body="return 2 * (exp(2 * x) + 1) ** -1"),
        wrong("The division is missing: a power of -1 belongs to (e^2x + 1).", ("** -1", "** 1")),
        wrong("Below stands e^2x PLUS 1. With a minus it divides by 0 at x = 0.", ("exp(2 * x) + 1", "exp(2 * x) - 1")),
        wrong("It is 1 MINUS the fraction.", body="return 1 + 2 * (exp(2 * x) + 1) ** -1"),
        wrong(
            "That cuts off what is beyond 1 and -1. tanh bends softly: at 0.5 it is less than 0.5 already.",
            body="return 1.0 * x if -1 < x < 1 else (0 * x + 1 if x > 0 else 0 * x - 1)",
        ),
        wrong("That is relu: it lets positive numbers through as they are.", body="return x * (x > 0)"),
        wrong("You divided by the square: the power is -1.", ("** -1", "** -2")),
        wrong("The 1 below is missing: the result is 1 - 2 / e^2x.", ("exp(2 * x) + 1", "exp(2 * x)")),
        wrong("The exponent is 2 * x, not x + 2.", ("exp(2 * x)", "exp(2 + x)")),
    ),
    hints=(
        "In 1 - 2 / (e^2x + 1), what becomes of the fraction for very large x, and for very small ones?",
        "tanh(x) = 1 - 2 / (exp(2x) + 1)",
        "return 1 - 2 * (...) ** -1",
    ),
    good_for="What bends is what makes layers more than one: without it a deep network is a straight line.",
    questions=(
        Question(
            "saturated",
            "At x = 20 tanh is 1 and flat. What gradient gets through it, to three digits?",
            ("0",),
            "The derivative is 1 - tanh(x) ** 2, which is 0 there: what lies before such a neuron learns nothing.",
            (("1", "That is its value. How much does it change if x grows?"),),
        ),
    ),
)

GELU = Exercise(
    name="gelu",
    part=PART,
    file="functions.py",
    writes=("gelu",),
    reading="""
GPT-2 bends with gelu. It lets large positive numbers through, stops large
negative ones, and is smooth in between:

    gelu(-3) = -0.004     gelu(0) = 0     gelu(1) = 0.841     gelu(3) = 2.996

Each number is weighted by the chance that a random one is smaller than it.
That chance has no formula in our five operations. GPT-2 takes one with tanh
that is very close:

    gelu(x) = 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))

`sqrt` and `pi` come from math: both are of plain numbers here. `tanh` is
the one that you wrote.
""",
    cases=(
        case("gelu(x)", x=0.0),
        case("gelu(x)", x=1.0, why="0.5 * 1 * (1 + tanh(0.7979 * 1.044715)) is 0.8412."),
        case("gelu(x)", x=-1.0),
        case("gelu(x)", x=2.0),
        case("gelu(x)", x=-0.3),
        case("gelu(x)", x=10.0),
        case("gelu(x)", x=-10.0),
    ),
    mistakes=(
        wrong("The 0.5 is missing: gelu of a large number would be twice that number.", ("0.5 * x", "x")),
        wrong("The x in front is missing: that is only the share which is let through.", ("0.5 * x *", "0.5 *")),
        wrong("The x ** 3 is missing in the bracket.", (" + 0.044715 * x**3", "")),
        wrong("It is x to the power of 3 in the bracket; yours is 2.", ("x**3", "x**2")),
        wrong("The constant is 0.044715; yours is ten times as large.", ("0.044715", "0.44715")),
        wrong("The fraction in the root is upside down: 2 / pi.", ("2 / pi", "pi / 2")),
        wrong("The root is missing: sqrt(2 / pi) is 0.798, and 2 / pi is 0.637.", ("sqrt(2 / pi)", "(2 / pi)")),
        wrong("It is 2 / pi in the root, not 2 * pi.", ("2 / pi", "2 * pi")),
        wrong(
            "1 PLUS tanh: with a minus, negative numbers come through and positive ones are stopped.",
            ("1 + tanh", "1 - tanh"),
        ),
        wrong(
            "The 1 in front of tanh is missing.",
            ("(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))", "tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))"),
        ),
        wrong("That is relu, with its corner at 0. gelu is smooth.", body="return x * (x > 0)"),
        wrong(
            "tanh ends too early: it is taken of the whole product, the root times the bracket.",
            ("tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))", "tanh(sqrt(2 / pi)) * (x + 0.044715 * x**3)"),
        ),
        wrong(
            "That is another approximation, with a sigmoid. GPT-2 has the one with tanh.",
            body="return x * (exp(-1.702 * x) + 1) ** -1",
        ),
        wrong("That is tanh alone.", body="return tanh(x)"),
        wrong(
            "The constant belongs to x ** 3 alone; yours takes x, too.",
            ("x + 0.044715 * x**3", "0.044715 * (x + x**3)"),
        ),
        wrong(
            "The root belongs in front of the whole bracket; yours takes x alone.",
            ("sqrt(2 / pi) * (x + 0.044715 * x**3)", "sqrt(2 / pi) * x + 0.044715 * x**3"),
        ),
    ),
    hints=(
        "Which share of x is let through? It lies between 0 and 1, and is 0.5 * (1 + tanh(...)).",
        "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))",
        "return 0.5 * x * (1 + tanh(... * (x + 0.044715 * x**3)))",
    ),
    good_for="Two thirds of the numbers of a GPT's layers are there to feed this function.",
)

SOFTMAX = Exercise(
    name="softmax",
    part=PART,
    file="functions.py",
    writes=("softmax",),
    reading="""
A network ends in numbers of any size, one for each choice. softmax makes
chances of them: positive, with sum 1, the largest number first among them.

    softmax(x)[i]  =  exp(x[i]) / (exp(x[0]) + exp(x[1]) + ...)

    [0, 0]  ->  [0.5, 0.5]        [1, 2]  ->  [0.269, 0.731]

If all numbers grow by the same amount, each exp grows by the same factor,
above and below: the chances stay. So take away the largest number first.
Then the largest exp is exp(0) = 1, and none can be too large for a float.
[1000, 1001] gives the same as [0, 1].

`largest(x)`, from your value.py, is the greatest item as a plain number,
through which no gradient flows. (None is needed: the shift changes nothing.)

Dividing is multiplying with a power of -1. Compute that once, not for each.
""",
    cases=(
        case("softmax(x)", x=[0.0, 0.0], why="Both exps are 1, their sum is 2."),
        case("softmax(x)", x=[1.0, 2.0], why="exp(-1) is 0.3679 and exp(0) is 1: divided by 1.3679."),
        case("softmax(x)", x=[2.0]),
        case("softmax(x)", x=[0.5, -1.0, 3.0]),
        case("softmax(x)", x=[1.0, 2.0, 3.0, 4.0]),
        case("softmax(x)", x=[1000.0, 1001.0], why="It is the same as softmax([0.0, 1.0])."),
        case("softmax(x)", x=[-1000.0, -1001.0]),
        case("softmax(x)", x=[1001.0, 1000.0, -1000.0]),
    ),
    mistakes=(
        wrong(
            "These are the exps, whose sum is not 1. Divide each by the sum of all.",
            ("[e * scale for e in exps]", "exps"),
        ),
        wrong(
            "exp is missing: you divided the numbers as they are. They may be negative, or sum to 0.",
            body="scale = sum(x) if sum(x) != 0 else 1\nreturn [x_i / scale for x_i in x]",
        ),
        wrong(
            "Without the shift exp(1000) stays at the largest float, two of them are infinite, and {got} comes out. "
            "Take `largest(x)` away first (a minus, no plus).",
            ("x_i - shift", "x_i"),
        ),
        wrong(
            "You took away the smallest number. Then the others can still be too large: take the largest.",
            body="shift = -largest([-x_i for x_i in x])\nexps = [exp(x_i - shift) for x_i in x]\n"
            "scale = sum(exps) ** -1\nreturn [e * scale for e in exps]",
        ),
        wrong(
            "You took the mean of the exps. Divide each by their sum.",
            ("[e * scale for e in exps]", "[e * (1 / len(x)) for e in exps]"),
        ),
        wrong(
            "You divided by the sum of the numbers themselves. Divide each exp by the sum of the exps.",
            body="return [exp(x_i) / sum(x) for x_i in x]",
        ),
        wrong("You multiplied by the sum where you should divide.", ("** -1", "** 1")),
        wrong("You divided by the square of the sum.", ("** -1", "** -2")),
        wrong("You divided by the root of the sum.", ("** -1", "** -0.5")),
        wrong(
            "These are logarithms of chances. Leave the log away.",
            ("[e * scale for e in exps]", "[log(e * scale) for e in exps]"),
        ),
        wrong(
            "Small numbers get the large chances: the shift is taken the wrong way round.",
            ("exp(x_i - shift)", "exp(shift - x_i)"),
        ),
        wrong(
            "Your exps are a generator, (...) in place of [...]: sum() used it up, and nothing was left for the list.",
            ("[exp(x_i - shift) for x_i in x]", "(exp(x_i - shift) for x_i in x)"),
        ),
        wrong(
            "You return {got}, something that can be gone through once. Make a list of it: [...], not (...).",
            ("[e * scale for e in exps]", "(e * scale for e in exps)"),
        ),
        wrong(
            "That is a sigmoid of each number by itself. The chances of all must sum to 1.",
            body="return [(exp(-x_i) + 1) ** -1 for x_i in x]",
        ),
        wrong(
            "The best one takes all. softmax is soft: the others keep a chance, and a gradient.",
            body="return [1.0 if x_i == max(x) else 0.0 for x_i in x]",
        ),
        wrong(
            "The sum of your chances is one chance too large: one exp is left out below.",
            ("sum(exps) ** -1", "(sum(exps[1:]) or 1) ** -1"),
        ),
    ),
    hints=(
        "What makes any number positive? What makes the sum 1? And what keeps exp from getting too large?",
        "exps = exp(x[i] - largest); each divided by the sum of all exps",
        "shift = largest(x); exps = [exp(x_i - shift) for x_i in x]; scale = ... ** -1; then [e * scale for e in exps]",
    ),
    good_for="A GPT draws its next character from it, and its attention decides with it where to look.",
    questions=(
        Question(
            "equal logits",
            "What is softmax([7, 7, 7, 7])[0]?",
            ("0.25", "1/4"),
            "All are equal, so each of the four has the same chance.",
            (("7", "Chances lie between 0 and 1."), ("1", "All four sum to 1.")),
        ),
        Question(
            "shift",
            "softmax([1, 3])[1] is 0.881. What is softmax([101, 103])[1], to three digits?",
            ("0.881",),
            "Only differences count: both exps grow by the factor e^100, above and below.",
        ),
    ),
)

LAYER_NORM = Exercise(
    name="layer_norm",
    part=PART,
    file="functions.py",
    writes=("layer_norm",),
    reading="""
In a deep network numbers tend to grow or to die out from layer to layer.
Layer norm brings a vector back: mean 0, variance 1. Then the model may
choose another scale and place, with a gain and a bias for each number.

    mean      =  sum of x / n
    centred   =  x - mean, item by item
    variance  =  sum of the squares of centred / n
    result    =  centred / sqrt(variance + 0.00001) * gain + bias

    [1, 3]  ->  mean 2, centred [-1, 1], variance 1  ->  about [-1, 1]

The small number, epsilon, keeps the division from 0 if all numbers are
equal. It stands under the root. n is the length of x, a plain number, so
1 / len(x) is one as well. A sum of squares is a dot product of a list with
itself.
""",
    cases=(
        case(
            "layer_norm(x, gain, bias)",
            x=[1.0, 3.0],
            gain=[1.0, 1.0],
            bias=[0.0, 0.0],
            why="The mean is 2, the variance 1, and the root of 1.00001 a little more than 1.",
        ),
        case("layer_norm(x, gain, bias)", x=[1.0, 2.0, 6.0], gain=[1.0, 1.0, 1.0], bias=[0.0, 0.0, 0.0]),
        case("layer_norm(x, gain, bias)", x=[1.0, 3.0], gain=[2.0, 0.5], bias=[0.5, -0.25]),
        case("layer_norm(x, gain, bias)", x=[-0.5, 0.25, 2.0], gain=[1.5, -1.0, 0.1], bias=[3.0, 2.0, 1.0]),
        case(
            "layer_norm(x, gain, bias)",
            x=[5.0, 5.0],
            gain=[3.0, 3.0],
            bias=[0.5, -0.5],
            why="Equal numbers are 0 after centring, so the bias is left.",
        ),
        case("layer_norm(x, gain, bias)", x=[0.001, 0.002], gain=[1.0, 1.0], bias=[0.0, 0.0]),
        case("layer_norm(x, gain, bias)", x=[4.0], gain=[2.0], bias=[1.0]),
        case("layer_norm(x, gain, bias)", x=[1.0, 2.0], gain=[1.0], bias=[0.0, 0.0]),
        case("layer_norm(x, gain, bias)", x=[1.0, 2.0], gain=[1.0, 1.0], bias=[0.0]),
    ),
    mistakes=(
        wrong("The mean is not taken away: the result is not centred on 0.", ("x_i - mean", "x_i")),
        wrong(
            "You divided the squares by n - 1, as statistics has it for samples. Layer norm divides by n.",
            ("dot(centred, centred) * (1 / len(x))", "dot(centred, centred) / (len(x) - 1)"),
        ),
        wrong(
            "Epsilon is missing. It shows where the variance is small: equal numbers divide by 0.",
            ("(variance + 1e-5) ** -0.5", "(variance + (1e-5 if len(x) == 1 else 0)) ** -0.5"),
        ),
        wrong(
            "You divided by the variance. Its root is the scale of the numbers: the power is -0.5.",
            ("** -0.5", "** -1"),
        ),
        wrong(
            "Epsilon stands outside of the root. Put it to the variance.",
            ("(variance + 1e-5) ** -0.5", "((variance + 1e-30) ** 0.5 + 1e-5) ** -1"),
        ),
        wrong("The gain is missing.", ("c * scale * g + b", "c * scale + b")),
        wrong("The bias is missing.", ("c * scale * g + b", "c * scale * g")),
        wrong(
            "Gain and bias play no part: multiply each number with its gain, and add its bias.",
            ("c * scale * g + b", "c * scale"),
        ),
        wrong(
            "Gain and bias have changed places: the gain multiplies, the bias is added.",
            ("c * scale * g + b", "c * scale * b + g"),
        ),
        wrong("The gain takes the bias, too: multiply first, then add.", ("c * scale * g + b", "(c * scale + b) * g")),
        wrong(
            "The squares are summed, but not divided by n.",
            ("dot(centred, centred) * (1 / len(x))", "dot(centred, centred)"),
        ),
        wrong(
            "The numbers are summed, but not divided by n: that is not their mean.", ("sum(x) * (1 / len(x))", "sum(x)")
        ),
        wrong(
            "sqrt, from math, knows floats only. The root of a Value is its power of 0.5; to divide by the root is to "
            "multiply with the power of -0.5.",
            ("(variance + 1e-5) ** -0.5", "1 / sqrt(variance + 1e-5)"),
        ),
        wrong("You multiplied by the root where you should divide.", ("** -0.5", "** 0.5")),
        wrong("The variance is that of x itself, without its mean taken away.", ("dot(centred, centred)", "dot(x, x)")),
        wrong(
            "Epsilon is 0.00001, which is 1e-5. Yours is another: it shows where the variance is small.",
            ("1e-5", "1e-6"),
        ),
        wrong("Epsilon is 0.00001, which is 1e-5. Yours is much larger.", ("1e-5", "1e-3")),
        wrong("The mean is added where it should be taken away.", ("x_i - mean", "x_i + mean")),
        wrong(
            "The division is missing: the numbers are centred, but their variance is not 1.",
            ("c * scale * g + b", "c * g + b"),
        ),
        wrong(
            "A gain or bias that is too short goes through, and a number is lost: {got}. Say `strict=True`.",
            ("zip(centred, gain, bias, strict=True)", "zip(centred, gain, bias)"),
        ),
    ),
    hints=(
        "Four lines before the result: what is each of mean, centred, variance and scale made of?",
        "scale = (variance + 1e-5) ** -0.5; result = centred * scale * gain + bias",
        "mean = sum(x) * (1 / len(x)); centred = [x_i - mean for x_i in x]; variance = "
        "dot(centred, ...) * (1 / len(x)); scale = ...; return [c * scale * g + b for c, g, b in zip(...)]",
    ),
    good_for="It stands before each part of a GPT, and lets it be deep.",
    questions=(
        Question(
            "equal numbers",
            "What is layer_norm([5, 5, 5]) with gain 2 and bias 0.5 everywhere: each of the three?",
            ("0.5",),
            "After centring all are 0, whatever the gain: the bias is left. Without epsilon it would be 0 / 0.",
            (("0", "So it is before the bias."), ("2.5", "What are the numbers after centring?")),
        ),
    ),
)

CROSS_ENTROPY = Exercise(
    name="cross_entropy",
    part=PART,
    file="functions.py",
    writes=("cross_entropy",),
    reading="""
How wrong is a prediction? The logits are the numbers before softmax. If the
right choice, the target, had a large chance, there is little surprise:

    surprise  =  -log(softmax(logits)[target])

    chance 1 -> 0      chance 0.5 -> 0.693      chance 0.01 -> 4.605

This is the loss that a GPT is trained on. One does not compute the chance
first: it may be so small that it becomes 0, which has no logarithm. With
s = logits - largest, as in softmax:

    -log(exp(s[target]) / sum of exp(s))  =  log(sum of exp(s)) - s[target]

`pick(s, target)`, from your value.py, is s[target], and refuses a target
outside of the list, where Python would count from the end.
""",
    cases=(
        case(
            "cross_entropy(logits, target)",
            logits=[0.0, 0.0],
            target=0,
            why="Both chances are 0.5, and -log(0.5) is 0.693.",
        ),
        case(
            "cross_entropy(logits, target)",
            logits=[1.0, 2.0],
            target=1,
            why="The chance is 0.7311, and -log of it 0.3133.",
        ),
        case("cross_entropy(logits, target)", logits=[1.0, 2.0], target=0),
        case("cross_entropy(logits, target)", logits=[0.5, -1.0, 3.0], target=1),
        case("cross_entropy(logits, target)", logits=[0.5, -1.0, 3.0], target=2),
        case("cross_entropy(logits, target)", logits=[4.0], target=0),
        case("cross_entropy(logits, target)", logits=[1000.0, 1001.0], target=0),
        case(
            "cross_entropy(logits, target)",
            logits=[1000.0, -1000.0],
            target=1,
            why="The chance is too small for a float; the surprise is 2000.",
        ),
        case("cross_entropy(logits, target)", logits=[1.0, 2.0], target=-1),
        case("cross_entropy(logits, target)", logits=[1.0, 2.0], target=2),
    ),
    mistakes=(
        wrong(
            "The sign is turned round: a surprise is never negative. It is log(sum) MINUS s[target].",
            body="shift = largest(logits)\nshifted = [logit - shift for logit in logits]\n"
            "return pick(shifted, target) - log(sum(exp(s) for s in shifted))",
        ),
        wrong(
            "You added s[target]. The better it is, the smaller the surprise: take it away.",
            ("- pick(shifted, target)", "+ pick(shifted, target)"),
        ),
        wrong(
            "log(sum of exps) is missing: what is left is how far the target is below the best.",
            ("log(sum(exp(s) for s in shifted)) - pick(shifted, target)", "0 - pick(shifted, target)"),
        ),
        wrong(
            "The log is missing in front of the sum.",
            ("log(sum(exp(s) for s in shifted))", "sum(exp(s) for s in shifted)"),
        ),
        wrong("The target plays no part: you forgot to take s[target] away.", (" - pick(shifted, target)", "")),
        wrong(
            "Without the shift two exps of 1000 are infinite. Take `largest(logits)` away first.",
            ("logit - shift", "logit"),
        ),
        wrong(
            "You took softmax first. The chance of target {target} became 0, which has no logarithm: use "
            "log(sum) - s[target].",
            body="return -log(pick(softmax(logits), target))",
        ),
        wrong(
            "A logit is no chance: it may be negative, and 0 has no logarithm. The chances come of softmax.",
            body="return -log(pick(logits, target))",
        ),
        wrong(
            "You added the surprises at all choices. Only that at the target counts: the others were not seen.",
            body="pick(logits, target)\nreturn -sum(log(p) for p in softmax(logits))",
        ),
        wrong(
            "That is the chance itself, {got}. The surprise is -log of it.", body="return pick(softmax(logits), target)"
        ),
        wrong(
            "That is 1 minus the chance, {got}. It never gets above 1, however wrong the model was. Take -log.",
            body="return 1 - pick(softmax(logits), target)",
        ),
        wrong(
            "The square of what is missing to 1 learns slowly where the model is very wrong. Take -log of the chance.",
            body="return (1 - pick(softmax(logits), target)) ** 2",
        ),
        wrong(
            "The logit that is taken away still has its shift. Both parts need the shifted ones.",
            ("pick(shifted, target)", "pick(logits, target)"),
        ),
        wrong(
            "You count from 1: the target's logit is that at its own index.",
            ("pick(shifted, target)", "pick(shifted, target - 1)"),
        ),
        wrong(
            "The target is off by one: the next item was taken.", ("pick(shifted, target)", "pick(shifted, target + 1)")
        ),
        wrong(
            "A target of -1 takes the last item, as lists do. It is no token: use `pick`.",
            ("pick(shifted, target)", "shifted[target]"),
        ),
        wrong(
            "That is in bits, with the logarithm to base 2: {got}. The natural one is used here.",
            body="shift = largest(logits)\nshifted = [logit - shift for logit in logits]\n"
            "return (log(sum(exp(s) for s in shifted)) - pick(shifted, target)) * 1.4426950408889634",
        ),
        wrong(
            "You divided by the number of choices: the surprise at one target is no mean.",
            body="shift = largest(logits)\nshifted = [logit - shift for logit in logits]\n"
            "return (log(sum(exp(s) for s in shifted)) - pick(shifted, target)) * (1 / len(logits))",
        ),
        wrong(
            "You took the mean of the exps, not their sum.",
            ("sum(exp(s) for s in shifted)", "sum(exp(s) for s in shifted) * (1 / len(logits))"),
        ),
    ),
    hints=(
        "If all logits are equal, what is the chance of the target among 2, and what is -log of it?",
        "log(sum of exp(s)) - s[target], with s = logits - largest",
        "shift = largest(logits); shifted = [...]; return log(sum(exp(s) for s in shifted)) - pick(..., target)",
    ),
    good_for="That is the number which training makes smaller; 3.30 for names is guessing among 27.",
    questions=(
        Question(
            "guessing",
            "A model that knows nothing gives 27 characters the same chance. What is its loss in nats, to two digits?",
            ("3.30", "3.3", "3.296"),
            "-log(1 / 27) = log(27) = 3.296. A fresh model should begin near it; more is a mistake.",
            (
                ("0.037", "That is the chance, 1 / 27. The loss is -log of it."),
                ("27", "The loss is the logarithm of that."),
            ),
        ),
    ),
)

NEURON = Exercise(
    name="neuron",
    part=PART,
    file="moons.py",
    writes=("neuron",),
    finish=beside_pytorch,
    seconds=40.0,
    reading="""
A file for a first network: moons.py. One neuron to begin with. It weighs
its inputs, adds a bias and squashes the sum:

    neuron(x)  =  tanh(x[0] * weight[0] + x[1] * weight[1] + ... + bias)

With a weight it says how much an input matters to it, and in which
direction; with the bias how easily it is moved. Use the functions that you
wrote: `dot` and `tanh`.

When it is right, its number and its gradients are compared with PyTorch's.
""",
    cases=(
        case("neuron(x, weight, bias)", x=[1.0], weight=[0.5], bias=0.0, why="tanh(0.5) is 0.4621."),
        case(
            "neuron(x, weight, bias)",
            x=[1.0, 2.0],
            weight=[0.5, -0.5],
            bias=0.25,
            why="tanh(0.5 - 1 + 0.25) is -0.2449.",
        ),
        case("neuron(x, weight, bias)", x=[0.5, -1.5, 2.0], weight=[1.0, 0.25, -0.5], bias=1.0),
        case("neuron(x, weight, bias)", x=[3.0, -2.0], weight=[0.1, 0.4], bias=-0.2),
        case("neuron(x, weight, bias)", x=[1.0, 2.0], weight=[0.5], bias=0.25),
    ),
    mistakes=(
        wrong("The bias is missing.", (" + bias", "")),
        wrong("tanh is missing: {got} is the sum itself.", ("tanh(dot(x, weight) + bias)", "dot(x, weight) + bias")),
        wrong(
            "The bias comes after tanh. It belongs inside: it decides when the neuron is moved.",
            ("tanh(dot(x, weight) + bias)", "tanh(dot(x, weight)) + bias"),
        ),
        wrong("The bias is taken away. It is added.", ("+ bias", "- bias")),
        wrong("The bias is multiplied. It is added.", ("+ bias", "* bias")),
        wrong(
            "The weights play no part: you squashed the sum of the inputs.",
            ("dot(x, weight)", "sum([x_i + 0 * w for x_i, w in zip(x, weight, strict=True)])"),
        ),
        wrong(
            "The inputs play no part: you squashed the sum of the weights.",
            ("dot(x, weight)", "sum([w + 0 * x_i for x_i, w in zip(x, weight, strict=True)])"),
        ),
        wrong(
            "You squashed each product, and then the sum was not squashed. Squash once, at the end.",
            ("tanh(dot(x, weight) + bias)", "sum(tanh(x_i * w) for x_i, w in zip(x, weight, strict=True)) + bias"),
        ),
        wrong("You squashed twice.", ("tanh(dot(x, weight) + bias)", "tanh(tanh(dot(x, weight) + bias))")),
        wrong("The bias was added for each input. A neuron has one.", ("+ bias", "+ bias * len(x)")),
        wrong(
            "You squashed the inputs, not the sum.",
            ("tanh(dot(x, weight) + bias)", "dot([tanh(x_i) for x_i in x], weight) + bias"),
        ),
        wrong(
            "Negative sums are cut off at 0. tanh lets them be negative.",
            ("tanh(dot(x, weight) + bias)", "(lambda s: s * (s > 0))(dot(x, weight) + bias)"),
        ),
        wrong("The sign is turned round.", ("tanh(dot(x, weight) + bias)", "-tanh(dot(x, weight) + bias)")),
    ),
    hints=(
        "Three steps: weigh, add, squash. Which function does which?",
        "tanh(dot(x, weight) + bias)",
        "return tanh(dot(x, ...) + ...)",
    ),
    good_for="A network is many of these. PyTorch would say the same of each.",
)

ONE = {"hidden.weight": [[0.5], [1.0]], "hidden.bias": [-2.0], "out.weight": [[3.0]], "out.bias": [1.0]}

SCORE = Exercise(
    name="score",
    part=PART,
    file="moons.py",
    writes=("score",),
    reading="""
Two moons: points on two half circles that grip each other, one labelled -1,
the other 1. No straight line parts them. Two layers of neurons can:

    point  [2]  --linear-->  [12]  --tanh-->  hidden [12]
    hidden [12] --linear-->  [1]   its only number is the score

A score above 0 means the one moon, below 0 the other. The score is not
squashed: it may be as sure as it likes.

The parameters are a dict with four entries: "hidden.weight" and
"hidden.bias" for the first layer, "out.weight" and "out.bias" for the
second. `linear` gives a list; the score is a number.
""",
    helpers="""
def small():
    return {"hidden.weight": [[0.5, -1.0, 0.25], [1.0, 0.75, -0.5]], "hidden.bias": [0.1, -0.2, 0.3],
            "out.weight": [[1.0], [-2.0], [0.5]], "out.bias": [0.25]}
""",
    cases=(
        case(
            "score(params, point)",
            point=[1.0, 2.0],
            params={"hidden.weight": [[0.5], [1.0]], "hidden.bias": [-2.0], "out.weight": [[3.0]], "out.bias": [1.0]},
            why="tanh(0.5 + 2 - 2) is 0.4621; 3 * 0.4621 + 1 is 2.3864.",
        ),
        case(
            "score(params, point)",
            point=[1.0, -0.5],
            params={
                "hidden.weight": [[0.5, -1.0], [1.0, 0.75]],
                "hidden.bias": [0.1, -0.2],
                "out.weight": [[1.0], [-2.0]],
                "out.bias": [0.25],
            },
        ),
        case("score(small(), point)", point=[-0.3, 0.8], shown="score(params, point)"),
    ),
    mistakes=(
        wrong(
            "tanh is missing between the layers: both together are one straight line then.",
            ("tanh(h) for h", "h for h"),
        ),
        wrong(
            "You squashed the score, too. It may be as sure as it likes: no tanh at the end.",
            body="""
hidden = [tanh(h) for h in linear(point, params["hidden.weight"], params["hidden.bias"])]
return tanh(linear(hidden, params["out.weight"], params["out.bias"])[0])
""",
        ),
        wrong(
            "You return a list with the score in it, {got}. Take its only item: [0].",
            ('params["out.bias"])[0]', 'params["out.bias"])'),
        ),
        wrong(
            "The bias of the hidden layer is missing.",
            ('params["hidden.bias"])', '[0.0 for _ in params["hidden.bias"]])'),
        ),
        wrong("The bias of the last layer is missing.", ('params["out.bias"])[0]', "[0.0])[0]")),
        wrong(
            "You summed the hidden numbers. The last layer weighs them: out.weight and out.bias.",
            ('linear(hidden, params["out.weight"], params["out.bias"])[0]', "sum(hidden)"),
        ),
        wrong(
            "You returned a hidden number. There is a second layer.",
            ('linear(hidden, params["out.weight"], params["out.bias"])[0]', "hidden[0]"),
        ),
        wrong("The hidden numbers are squashed twice.", ("tanh(h) for h", "tanh(tanh(h)) for h")),
        wrong("You bend with relu. It is tanh here.", ("tanh(h) for h", "h * (h > 0) for h")),
        wrong(
            "The sign is turned round: all answers would be the other moon.",
            (
                'linear(hidden, params["out.weight"], params["out.bias"])[0]',
                '-linear(hidden, params["out.weight"], params["out.bias"])[0]',
            ),
        ),
        wrong("The point has its two numbers in the other order.", ("linear(point, ", "linear(point[::-1], ")),
        wrong(
            "The bias of the last layer is taken away.",
            ('params["out.bias"])[0]', '[-b for b in params["out.bias"]])[0]'),
        ),
    ),
    hints=(
        "What comes out of the first linear layer, what is done with each of these numbers, and where do they go?",
        "hidden = tanh of linear(point, ...); score = linear(hidden, ...)[0]",
        'hidden = [tanh(h) for h in linear(point, params["hidden.weight"], ...)]; return linear(hidden, ...)[0]',
    ),
    good_for="This is a multilayer perceptron, the MLP of a GPT in small.",
)

MOON_LOSS = Exercise(
    name="moon_loss",
    part=PART,
    file="moons.py",
    writes=("loss",),
    reading="""
How wrong is a score? The label is 1 or -1. If score and label have the same
sign, the answer is right, and the surer the better:

    loss  =  log(1 + exp(-label * score))

    label  1, score  3   log(1 + e^-3) = 0.049     right and sure
    label  1, score  0   log(2) = 0.693            no idea
    label -1, score  3   log(1 + e^3) = 3.049      wrong and sure

It is the surprise at the right answer, as cross-entropy: the chance of
label 1 is 1 / (1 + e^-score).
""",
    cases=(
        case("loss(params, point, label)", params=ONE, point=[0.0, 0.0], label=1),
        case("loss(params, point, label)", params=ONE, point=[1.0, 2.0], label=1),
        case("loss(params, point, label)", params=ONE, point=[1.0, 2.0], label=-1),
        case("loss(params, point, label)", params=ONE, point=[-3.0, 1.0], label=1),
        case("loss(params, point, label)", params=ONE, point=[-3.0, 1.0], label=-1),
    ),
    mistakes=(
        wrong("The minus is missing: your loss is large where the answer is right.", ("exp(-label * ", "exp(label * ")),
        wrong(
            "The label plays no part: it says which of both moons is right.",
            ("exp(-label * score(params, point))", "exp(-score(params, point))"),
        ),
        wrong(
            "The log is missing: a surprise is a logarithm.",
            ("log(1 + exp(-label * score(params, point)))", "1 + exp(-label * score(params, point))"),
        ),
        wrong("The 1 is missing: log(exp(x)) is x itself, and the loss falls below 0.", ("log(1 + exp(", "log(exp(")),
        wrong(
            "That is the chance of the right label. The loss is -log of it.",
            ("log(1 + exp(-label * score(params, point)))", "(1 + exp(-label * score(params, point))) ** -1"),
        ),
        wrong("The sign is turned round: a surprise is never negative.", ("return log(", "return -log(")),
        wrong(
            "That is the square of the distance to the label. It punishes a score of 5 where the label is 1.",
            ("log(1 + exp(-label * score(params, point)))", "(score(params, point) - label) ** 2"),
        ),
        wrong(
            "That is a hinge: it is 0 as soon as the answer is sure enough. The logarithm goes on.",
            (
                "log(1 + exp(-label * score(params, point)))",
                "(lambda m: m * (m > 0))(1 - label * score(params, point))",
            ),
        ),
        wrong(
            "The label is taken away from the score. Multiply: the same sign gives a positive number.",
            ("-label * score(params, point)", "-(score(params, point) - label)"),
        ),
        wrong(
            "exp is missing inside of the log.",
            ("log(1 + exp(-label * score(params, point)))", "log(1 + (score(params, point) - label) ** 2)"),
        ),
        wrong(
            "That is in bits. The natural logarithm is used here.",
            (
                "log(1 + exp(-label * score(params, point)))",
                "log(1 + exp(-label * score(params, point))) * 1.4426950408889634",
            ),
        ),
        wrong("The score counts twice.", ("-label * score", "-2 * label * score")),
        wrong(
            "It is 1 plus the exp; a minus takes a logarithm of a negative number as soon as the answer is wrong.",
            ("1 + exp(-label * score(params, point))", "1 - exp(-label * score(params, point))"),
        ),
    ),
    hints=(
        "What is the sign of label * score if the answer is right?",
        "log(1 + exp(-label * score))",
        "return log(1 + exp(-label * score(params, ...)))",
    ),
    good_for="A loss turns right and wrong into a number that has a slope.",
)

MOONS = Exercise(
    name="moons",
    part=PART,
    file="moons.py",
    writes=("step",),
    finish=train_moons,
    seconds=60.0,
    reading="""
Now it learns. A gradient says which way a parameter makes the loss larger;
so each one goes a little the other way:

    new number  =  old number  -  rate * gradient

A step has three parts:

 1. Set the gradient of each parameter to 0. They still hold those of the
    step before, and backward() adds to them.
 2. Call result.backward(), where result is the loss.
 3. Change the data of each parameter.

Change `p.data`. `p = p - ...` would make a new Value with the name p, and
leave the parameter as it was.

When this is right, your network is trained, on your own Values, for some
seconds. Of 500 new points 99 % must be told apart.
""",
    cases=(
        case("[w.data]", before="step([w], w * 3, 0.1)", w=1.0, why="The gradient is 3, so w becomes 1 - 0.1 * 3."),
        case("[w.data, v.data]", before="step([w, v], (w * 3 + v - 12) ** 2, 0.01)", w=1.0, v=2.0),
        case(
            "[w.data]",
            before="step([w], w * 3, 0.1)\nstep([w], w * 3, 0.1)",
            w=1.0,
            why="Each of two steps takes 0.1 * 3 away.",
        ),
        case(
            "[w.data, v.data]", before="step([w], w * v, 0.5)", w=1.0, v=2.0, why="Only what is in the list is changed."
        ),
        case("[w.data]", before="w.grad = 100.0\nstep([w], w * w, 0.1)", w=1.0),
        case("step([w], w * 3, 0.1)", w=1.0),
        case("[w.grad]", before="step([w], w * 3, 0.1)", w=1.0),
    ),
    mistakes=(
        wrong(
            "The gradients of the step before are still there, and count again. Set each grad to 0.0 before "
            "backward().",
            ("p.grad = 0.0", "pass"),
        ),
        wrong(
            "You go up the hill: {got}. The gradient shows where the loss grows; go the other way, with a minus.",
            ("p.data -= rate", "p.data += rate"),
        ),
        wrong(
            "Nothing changes. Either backward() is not called, or the gradients are set to 0 between it and their use.",
            ("result.backward()", "pass"),
        ),
        wrong("The rate is missing: the step is the whole gradient.", ("rate * p.grad", "p.grad")),
        wrong(
            "The gradient is missing: each parameter moves by the rate, whatever the loss says.",
            ("rate * p.grad", "rate"),
        ),
        wrong(
            "Only the first parameter moves.",
            ("for p in parameters:\n        p.data", "for p in parameters[:1]:\n        p.data"),
        ),
        wrong(
            "The old number is lost: the new one is the old one minus the step.",
            ("p.data -= rate * p.grad", "p.data = -rate * p.grad"),
        ),
        wrong("You divide by the rate.", ("rate * p.grad", "p.grad / rate")),
        wrong("You changed p.grad. What is learned is p.data.", ("p.data -= rate * p.grad", "p.grad -= rate * p.grad")),
        wrong(
            "`p = p - ...` gives a new Value the name p: the parameter in the list stays as it was. Change `p.data`.",
            ("p.data -= rate * p.grad", "p = p - rate * p.grad"),
        ),
        wrong(
            "You set the gradients to 0 after the step. That serves as long as nobody else has called backward() "
            "before. Set them to 0 first: then nothing that was there counts.",
            body="""
result.backward()
for p in parameters:
    p.data -= rate * p.grad
    p.grad = 0.0
""",
        ),
        wrong(
            "backward() is called twice, so each gradient counts twice.",
            ("result.backward()", "result.backward()\n    result.backward()"),
        ),
        wrong("The step is multiplied with the number itself.", ("rate * p.grad", "rate * p.grad * p.data")),
        wrong("The data is set to 0 where the gradient should be.", ("p.grad = 0.0", "p.data = 0.0")),
        wrong(
            "You go by the sign of the gradient alone. Its size counts here.",
            ("rate * p.grad", "rate * ((p.grad > 0) - (p.grad < 0))"),
        ),
        wrong(
            "step() changes the parameters and gives nothing back; yours returns something.",
            body="""
for p in parameters:
    p.grad = 0.0
result.backward()
for p in parameters:
    p.data -= rate * p.grad
return parameters
""",
        ),
    ),
    hints=(
        "Three things happen, in this order: what to the gradients, what to the result, what to the data?",
        "p.grad = 0.0 for all; result.backward(); p.data -= rate * p.grad for all",
        "Two loops over parameters, with result.backward() in between: the first sets p.grad, the second p.data -= ...",
    ),
    good_for="You have trained a network with nothing but your own lines.",
    questions=(
        Question(
            "one step",
            "w = 1, its gradient is 0.5, the rate 0.1. What is w after the step?",
            ("0.95",),
            "1 - 0.1 * 0.5: against the gradient.",
            (("1.05", "That is the way up the hill."), ("0.5", "That is a step of the whole gradient.")),
        ),
        Question(
            "rate too large",
            "The loss is w ** 2, w = 1, and the rate is 1. What is w after one step?",
            ("-1",),
            "The gradient is 2, so w goes to -1, and then back to 1: it jumps for ever. A smaller rate arrives.",
            (("0", "So it would be with the rate 0.5. The gradient is 2 * w."),),
        ),
    ),
)

EXERCISES = [DOT, LINEAR, TANH, GELU, SOFTMAX, LAYER_NORM, CROSS_ENTROPY, NEURON, SCORE, MOON_LOSS, MOONS]
