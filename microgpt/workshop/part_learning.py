"""Part 4: learning. The learner writes adam.py, and learning.py on the way to it."""

from microgpt.workshop.exercise import Exercise, Question, case, wrong
from microgpt.workshop.own_training import train_own_book
from microgpt.workshop.part_gpt import model_of

PART = 4

DESCENT = Exercise(
    name="descent",
    part=PART,
    file="learning.py",
    writes=("gradient_descent",),
    reading="""
The gradient of a parameter says how fast the loss grows with it. We want
the loss to fall: so each parameter takes a step against its gradient.

    new = old - learning_rate * gradient

The learning rate is the length of the step. The gradient is true only
where one stands: with a step too long one lands on the other side of the
valley, higher than before. With one too short it takes for ever.

For the loss x ** 2 the gradient is 2 * x. With a rate of 0.1 each step
takes a fifth of x away: 1.0, 0.8, 0.64, ... With a rate of 1.0 it jumps
from 1.0 to -1.0 and back; with more it flies off.

This function knows one number. Whoever calls it does so for all of them.
""",
    cases=(
        case("gradient_descent(1.0, 2.0, 0.1)", plain=True, why="1.0 - 0.1 * 2.0."),
        case("gradient_descent(3.0, -4.0, 0.5)", plain=True, why="3.0 - 0.5 * -4.0."),
        case("gradient_descent(-1.5, 0.25, 2.0)", plain=True),
        case("gradient_descent(0.7, 0.0, 0.3)", plain=True),
        case("x", "x = 1.0\nfor _ in range(3):\n    x = gradient_descent(x, 2 * x, 0.1)", plain=True),
    ),
    mistakes=(
        wrong(
            "You go up: {got}. The gradient shows where the loss grows, so go against it.",
            ("parameter - learning", "parameter + learning"),
        ),
        wrong(
            "The learning rate is missing: your step is the whole gradient.", ("learning_rate * gradient", "gradient")
        ),
        wrong(
            "The gradient is missing: your step is the same wherever one stands, {got}.",
            ("learning_rate * gradient", "learning_rate"),
        ),
        wrong(
            "You divide by the rate. A small rate must give a small step.",
            ("learning_rate * gradient", "gradient / learning_rate"),
        ),
        wrong(
            "You return the step, {got}, not where it leads to: begin at the parameter.",
            ("parameter - learning_rate * gradient", "learning_rate * gradient"),
        ),
        wrong(
            "You return the step with its sign, {got}, not where it leads to: add the parameter.",
            ("parameter - learning_rate * gradient", "-learning_rate * gradient"),
        ),
        wrong(
            "You take the square of the gradient, which has no direction any more.",
            ("learning_rate * gradient", "learning_rate * gradient**2"),
        ),
        wrong(
            "You use only the size of the gradient: with -4.0 the parameter must grow.",
            ("learning_rate * gradient", "learning_rate * abs(gradient)"),
        ),
        wrong(
            "You use only the sign of the gradient. Where the slope is gentle the step should be small.",
            ("learning_rate * gradient", "learning_rate * ((gradient > 0) - (gradient < 0))"),
        ),
        wrong(
            "Your step is multiplied with the parameter. It depends on rate and gradient alone.",
            ("parameter - learning_rate * gradient", "parameter * (1 - learning_rate * gradient)"),
        ),
        wrong(
            "Rate and parameter have changed places.",
            ("parameter - learning_rate * gradient", "learning_rate - parameter * gradient"),
        ),
        wrong(
            "The rate multiplies everything. Only the gradient is multiplied with it.",
            ("parameter - learning_rate * gradient", "learning_rate * (parameter - gradient)"),
        ),
        wrong(
            "You return the parameter as it was, {got}: nothing is learned.",
            ("parameter - learning_rate * gradient", "parameter"),
        ),
    ),
    hints=(
        "In which direction does the loss fall, if it grows along the gradient?",
        "new = old - learning_rate * gradient",
        "`return parameter - ...`",
    ),
    good_for="All training is this line; what follows only chooses a better step.",
    questions=(
        Question(
            "too long a step",
            "The loss is x ** 2, x is 1, and the learning rate is 2. Where is x after one step?",
            ("-3",),
            "1 - 2 * 2 = -3: the loss went from 1 to 9.",
            (("-1", "With a rate of 1 it would be there."), ("3", "It goes down the slope, and past the valley.")),
        ),
    ),
)

MOMENTUM = Exercise(
    name="momentum",
    part=PART,
    file="learning.py",
    writes=("momentum",),
    reading="""
A step uses a few examples, so its gradient is noisy: it points a little
astray, each time in another way. A mean of the last gradients is calmer.
In a narrow valley, where gradients point to the one wall and then to the
other, they cancel out, and what stays points along the valley.

A running mean needs no list of old gradients:

    m  =  beta * m  +  (1 - beta) * gradient

With beta = 0.9 a tenth of the new one comes in, and the older ones fade:
each counts 0.9 times as much as the one after it. The step then goes
against m, and not against the gradient:

    parameter  =  parameter  -  learning_rate * m

Return both numbers, the new parameter first: the next step needs the new
m. (Some write m = beta * m + gradient; then a step is 1 / (1 - beta) times
as long.)
""",
    cases=(
        case("momentum(1.0, 2.0, 0.0, 0.1)", plain=True, why="m = 0.9 * 0.0 + 0.1 * 2.0 is 0.2; 1.0 - 0.1 * 0.2."),
        case("momentum(1.0, 2.0, 3.0, 0.1)", plain=True, why="m = 0.9 * 3.0 + 0.1 * 2.0 is 2.9; 1.0 - 0.1 * 2.9."),
        case("momentum(-1.0, -4.0, 0.5, 0.5, 0.75)", plain=True),
        case("momentum(2.0, 3.0, 1.0, 0.1, 0.0)", plain=True),
        case("momentum(2.0, 0.0, 1.0, 0.2)", plain=True),
    ),
    mistakes=(
        wrong(
            "The new gradient comes in with its whole size. In a mean it counts 1 - beta, here 0.1.",
            ("(1 - beta) * gradient", "gradient"),
        ),
        wrong(
            "beta and 1 - beta have changed places: you keep a tenth of the past and take 0.9 of the new.",
            ("beta * m + (1 - beta) * gradient", "(1 - beta) * m + beta * gradient"),
        ),
        wrong(
            "Your step still goes against the gradient alone. m is not used.",
            ("parameter - learning_rate * m, m", "parameter - learning_rate * gradient, m"),
        ),
        wrong(
            "You use the m from before: the new gradient has no part in the step.",
            body="""
new = beta * m + (1 - beta) * gradient
return parameter - learning_rate * m, new
""",
        ),
        wrong(
            "You return the old m, so nothing is ever remembered.",
            body="""
new = beta * m + (1 - beta) * gradient
return parameter - learning_rate * new, m
""",
        ),
        wrong("The past is forgotten: m is (1 - beta) * gradient.", ("beta * m + (1", "(1")),
        wrong("You go up, along m. Go against it.", ("parameter - learning", "parameter + learning")),
        wrong(
            "You return m first. The new parameter comes first.",
            ("return parameter - learning_rate * m, m", "return m, parameter - learning_rate * m"),
        ),
        wrong(
            "You return one number. The next step needs the new m, too.",
            ("return parameter - learning_rate * m, m", "return parameter - learning_rate * m"),
        ),
        wrong("The learning rate is missing in the step.", ("learning_rate * m, m", "m, m")),
        wrong(
            "The rate is in m already, and again in the step.",
            ("(1 - beta) * gradient", "(1 - beta) * learning_rate * gradient"),
        ),
        wrong("You subtract the new gradient in m. A mean adds.", ("m + (1 - beta)", "m - (1 - beta)")),
        wrong(
            "m is the mean of gradients, with their sign. You take the square, as a later exercise does.",
            ("(1 - beta) * gradient", "(1 - beta) * gradient**2"),
        ),
        wrong(
            "The old m comes in with its whole size, and would grow for ever. It counts beta.",
            ("beta * m + (1", "m + (1"),
        ),
    ),
    hints=(
        "Two lines: the new mean, and the step against it. Which m goes into the step?",
        "m = beta * m + (1 - beta) * gradient; parameter - learning_rate * m",
        "`m = beta * m + (1 - beta) * gradient`, then `return parameter - learning_rate * m, ...`",
    ),
    good_for="Momentum goes faster along a valley, and does not swing between its walls.",
    questions=(
        Question(
            "momentum",
            "The gradient is 1, again and again. To which number does m go?",
            ("1", "one"),
            "A mean of equal numbers is that number.",
            (("0.1", "That is m after the first step."), ("10", "So it would be without 1 - beta.")),
        ),
    ),
)

CORRECTION = Exercise(
    name="correction",
    part=PART,
    file="learning.py",
    writes=("corrected",),
    reading="""
The running mean m begins at 0, and so it is too small at first. If every
gradient is 1, with beta = 0.9:

    step    m          1 - beta ** step
    1       0.1        0.1
    2       0.19       0.19
    3       0.271      0.271

After n steps it has taken in 1 - beta ** n of what it should. So divide
by this, and the mean is right from the first step on. (Adam's second mean
has beta = 0.999: without this it would be a thousand times too small.)

    corrected mean  =  mean / (1 - beta ** step)

The first step is number 1. With 0 it would be a division by 0.
""",
    cases=(
        case("corrected(0.1, 0.9, 1)", plain=True, why="0.1 / (1 - 0.9) is 1, up to rounding."),
        case("corrected(0.19, 0.9, 2)", plain=True),
        case("corrected(0.003, 0.999, 3)", plain=True),
        case("corrected(-2.0, 0.5, 3)", plain=True, why="0.5 ** 3 is 0.125; -2.0 / 0.875."),
        case("corrected(4.0, 0.75, 20)", plain=True),
        case("corrected(4.0, 0.75, 0)", plain=True),
    ),
    mistakes=(
        wrong("You multiply, and so make it smaller still. It is too small: divide.", ("mean / (", "mean * (")),
        wrong(
            "You divide by beta ** step. What has come in so far is 1 minus that.", ("(1 - beta**step)", "beta**step")
        ),
        wrong("You divide by 1 - beta at every step: right at the first, too large later.", ("beta**step", "beta")),
        wrong(
            "You multiply beta with the step. Each step multiplies with beta once more: beta ** step.",
            ("beta**step", "beta * step"),
        ),
        wrong("You return the mean as it is, too small at first.", ("mean / (1 - beta**step)", "mean")),
        wrong(
            "Your steps count from 0: at step 1 you divide by 1 - beta ** 0, which is 0.",
            ("beta**step", "beta ** (step - 1)"),
        ),
        wrong("Your steps count from 2: step + 1 is one too many.", ("beta**step", "beta ** (step + 1)")),
        wrong("You add where you should subtract: the divisor is 1 minus beta ** step.", ("1 - beta", "1 + beta")),
        wrong("The sign is wrong: you divide by beta ** step - 1.", ("(1 - beta**step)", "(beta**step - 1)")),
        wrong("step ** beta is not beta ** step: beta is multiplied with itself.", ("beta**step", "step**beta")),
        wrong(
            "The parentheses are missing: mean / 1 - beta ** step divides by 1, and then subtracts.",
            ("mean / (1 - beta**step)", "mean / 1 - beta**step"),
        ),
        wrong("You divide by the step. That corrects a sum, not a running mean.", ("(1 - beta**step)", "step")),
        wrong(
            "You correct the power of the whole difference: (1 - beta) ** step. The power is of beta alone.",
            ("1 - beta**step", "(1 - beta) ** step"),
        ),
    ),
    hints=(
        "Look at the table: by what must m be divided, at each step, to give 1?",
        "corrected = mean / (1 - beta ** step)",
        "`return mean / (1 - ...)`",
    ),
    good_for="Without it Adam's first steps would be wild, because its two means are too small to different degrees.",
    questions=(
        Question(
            "correction late",
            "By what is a mean divided after thousands of steps, nearly (beta = 0.9)?",
            ("1", "one"),
            "0.9 ** 1000 is nearly 0: the beginning is forgotten.",
            (("0", "That is beta ** step. And 1 minus that?"), ("0.1", "That is at the first step.")),
        ),
    ),
)

DECAY = Exercise(
    name="decay",
    part=PART,
    file="learning.py",
    writes=("decayed",),
    reading="""
A network with large weights can bend sharply, and so learn its examples by
heart, with all their accidents. Weight decay pulls each weight a little
towards 0 in every step. So a weight stays large only if the examples ask
for it again and again.

    parameter  =  parameter  -  learning_rate * weight_decay * parameter

A large weight loses much, a small one little, and it never changes its
sign. The pull is a part of the step, so it is multiplied with the learning
rate, too.

In AdamW the pull is kept apart from the gradient. If it were added to the
gradient, Adam would divide it by the gradient's usual size, and weights
with a large gradient would hardly decay at all.
""",
    cases=(
        case("decayed(2.0, 0.1, 0.5)", plain=True, why="0.1 * 0.5 is 0.05: 2.0 loses a twentieth, 0.1."),
        case("decayed(-2.0, 0.1, 0.5)", plain=True),
        case("decayed(0.0, 0.1, 0.5)", plain=True),
        case("decayed(3.0, 0.25, 0.75)", plain=True),
        case("decayed(5.0, 0.2, 0.0)", plain=True),
    ),
    mistakes=(
        wrong(
            "The learning rate is missing: the pull is {got} far, whatever the rate.",
            ("learning_rate * weight_decay", "weight_decay"),
        ),
        wrong("The weight decay is missing: only the rate pulls.", ("learning_rate * weight_decay", "learning_rate")),
        wrong(
            "You pull by the same amount, large or small: {got}. The pull is in proportion to the parameter.",
            ("weight_decay * parameter", "weight_decay"),
        ),
        wrong("You push away from 0: {got}. Subtract.", ("parameter - learning", "parameter + learning")),
        wrong(
            "You return the pull alone, {got}. It is taken from the parameter.",
            ("parameter - learning_rate * weight_decay * parameter", "learning_rate * weight_decay * parameter"),
        ),
        wrong(
            "You keep only the part that should go: multiply with 1 - learning_rate * weight_decay.",
            ("parameter - learning_rate * weight_decay * parameter", "-learning_rate * weight_decay * parameter"),
        ),
        wrong(
            "The pull is squared in the parameter: that is one too many.",
            ("weight_decay * parameter", "weight_decay * parameter**2"),
        ),
        wrong(
            "Only the size of the parameter counts for you: a negative one must grow towards 0.",
            ("weight_decay * parameter", "weight_decay * abs(parameter)"),
        ),
        wrong(
            "You multiply with the decay instead of taking it away.",
            ("parameter - learning_rate * weight_decay * parameter", "parameter * weight_decay"),
        ),
        wrong(
            "Decay and rate are added. They are multiplied.",
            ("learning_rate * weight_decay", "(learning_rate + weight_decay)"),
        ),
        wrong(
            "You divide by the rate: a small rate must give a small pull.",
            ("learning_rate * weight_decay", "weight_decay / learning_rate"),
        ),
        wrong(
            "The parameter stays as it was, {got}.",
            ("parameter - learning_rate * weight_decay * parameter", "parameter"),
        ),
        wrong(
            "The pull is doubled, as the derivative of weight_decay * parameter ** 2 is. AdamW has no 2.",
            ("learning_rate * weight_decay", "2 * learning_rate * weight_decay"),
        ),
    ),
    hints=(
        "Which part of itself does the parameter lose?",
        "new = old - learning_rate * weight_decay * old",
        "`return parameter - ... * parameter`",
    ),
    good_for="With little text this is the difference between learning the language and learning the text by heart.",
)

ADAM = Exercise(
    name="adam",
    part=PART,
    file="adam.py",
    writes=("adam",),
    reading="""
Some parameters have large gradients, some tiny ones, and one learning rate
must do for all. Adam gives each its own step: it divides by the usual size
of the gradient. So every parameter moves by about the learning rate.

    m  =  beta1 * m  +  (1 - beta1) * gradient         which way?
    v  =  beta2 * v  +  (1 - beta2) * gradient ** 2    how large usually?

Both began at 0, so correct them:

    m_hat  =  m / (1 - beta1 ** step)
    v_hat  =  v / (1 - beta2 ** step)

The root of v_hat is the usual size. Epsilon is added to the root, so that
nothing is divided by 0. Weight decay comes to the step, behind the
division:

    parameter  -=  learning_rate * (m_hat / (sqrt(v_hat) + epsilon)
                                    + weight_decay * parameter)

Return the parameter, m and v, in this order: m and v as they are, without
the correction, because the next step goes on from them. Write a root as
** 0.5: then the same lines serve arrays of numpy, and the compiler.
""",
    cases=(
        case(
            "adam(1.0, 0.5, 0.0, 0.0, 1, 0.1)",
            plain=True,
            why="At the first step m_hat is the gradient and v_hat its square, so the step is 0.1 * 0.5 / 0.5.",
        ),
        case("adam(1.0, -0.25, 0.2, 0.3, 3, 0.1)", plain=True),
        case("adam(2.0, 0.5, 0.2, 0.3, 2, 0.1, weight_decay=0.5)", plain=True),
        case("adam(-2.0, 0.5, 0.2, 0.3, 5, 0.1, 0.5, 0.75, 0.01)", plain=True),
        case("adam(1.0, 0.0, 0.0, 0.0, 1, 0.1)", plain=True, why="No gradient, no step: 0 / (0 + epsilon) is 0."),
        case("adam(1.0, 1e-8, 0.0, 0.0, 1, 0.1)", plain=True),
        case("adam(0.5, 0.0, 0.0, 0.0, 4, 0.5, weight_decay=0.25)", plain=True),
        case("adam(parameter, gradient, m, v, 2, 0.1)", parameter=1.0, gradient=0.5, m=0.25, v=0.5),
    ),
    mistakes=(
        wrong(
            "m is not corrected: at the first step it is a tenth of what it should be.",
            ("m_hat = m / (1 - beta1**step)", "m_hat = m"),
        ),
        wrong(
            "v is not corrected: at the first step its root is 32 times too small, and your step 32 times too long.",
            ("v_hat = v / (1 - beta2**step)", "v_hat = v"),
        ),
        wrong(
            "Neither m nor v is corrected. They began at 0, and are too small at first.",
            ("m_hat = m / (1 - beta1**step)", "m_hat = m"),
            ("v_hat = v / (1 - beta2**step)", "v_hat = v"),
        ),
        wrong("v is the mean of the squares: gradient ** 2.", ("gradient**2", "gradient")),
        wrong("The root is missing: you divide by the square of the usual size.", ("v_hat**0.5", "v_hat")),
        wrong(
            "Epsilon stands under the root. It is added to the root.",
            ("(v_hat**0.5 + epsilon)", "(v_hat + epsilon) ** 0.5"),
        ),
        wrong(
            "Epsilon is missing: where a gradient was always 0 you divide by 0.",
            ("(v_hat**0.5 + epsilon)", "(v_hat**0.5)"),
        ),
        wrong(
            "You go up: the step is subtracted.",
            ("parameter = parameter - learning", "parameter = parameter + learning"),
        ),
        wrong(
            "The weight decay goes into the gradient, and through m and v. In AdamW it comes behind the division.",
            body="""
gradient = gradient + weight_decay * parameter
m = beta1 * m + (1 - beta1) * gradient
v = beta2 * v + (1 - beta2) * gradient**2
m_hat = m / (1 - beta1**step)
v_hat = v / (1 - beta2**step)
parameter = parameter - learning_rate * m_hat / (v_hat**0.5 + epsilon)
return parameter, m, v
""",
        ),
        wrong("The weight decay is missing.", (" + weight_decay * parameter)", ")")),
        wrong(
            "The weight decay is not multiplied with the learning rate.",
            (
                "learning_rate * (m_hat / (v_hat**0.5 + epsilon) + weight_decay * parameter)",
                "learning_rate * m_hat / (v_hat**0.5 + epsilon) - weight_decay * parameter",
            ),
        ),
        wrong("The weight decay has the wrong sign: it must pull towards 0.", ("+ weight_decay", "- weight_decay")),
        wrong(
            "You return m_hat and v_hat. The next step goes on from m and v as they are.",
            ("return parameter, m, v", "return parameter, m_hat, v_hat"),
        ),
        wrong(
            "beta1 and beta2 have changed places.",
            ("beta1 * m + (1 - beta1)", "beta2 * m + (1 - beta2)"),
            ("beta2 * v + (1 - beta2)", "beta1 * v + (1 - beta1)"),
            ("(1 - beta1**step)", "(1 - beta_**step)"),
            ("(1 - beta2**step)", "(1 - beta1**step)"),
            ("(1 - beta_**step)", "(1 - beta2**step)"),
        ),
        wrong(
            "The new gradient enters m with its whole size. In a mean it counts 1 - beta1.",
            ("(1 - beta1) * gradient", "gradient"),
        ),
        wrong("Your step is the gradient itself over its usual size: m is not used.", ("(m_hat / (", "(gradient / (")),
        wrong(
            "The corrections count steps from 0, so that the first divides by 0.",
            ("beta1**step", "beta1 ** (step - 1)"),
            ("beta2**step", "beta2 ** (step - 1)"),
        ),
        wrong("Both corrections use beta1.", ("(1 - beta2**step)", "(1 - beta1**step)")),
        wrong(
            "The order is parameter, m, v. Yours has v before m.", ("return parameter, m, v", "return parameter, v, m")
        ),
        wrong(
            "You return the step, not the new parameter.", ("parameter = parameter - learning", "parameter = learning")
        ),
        wrong(
            "math.sqrt takes nothing but a plain number. `v_hat**0.5` serves Values, arrays and the compiler, too.",
            body="""
from math import sqrt

m = beta1 * m + (1 - beta1) * gradient
v = beta2 * v + (1 - beta2) * gradient**2
m_hat = m / (1 - beta1**step)
v_hat = v / (1 - beta2**step)
parameter = parameter - learning_rate * (m_hat / (sqrt(v_hat) + epsilon) + weight_decay * parameter)
return parameter, m, v
""",
        ),
    ),
    hints=(
        "Six lines: two means, two corrections, one step, and what is returned. Which of them have you written before?",
        "parameter - learning_rate * (m_hat / (sqrt(v_hat) + epsilon) + weight_decay * parameter)",
        "`m_hat = m / (1 - beta1**step)`, the same for v with beta2; then `m_hat / (v_hat**0.5 + epsilon)`.",
    ),
    good_for="Most language models of today were trained with these six lines, or with close relatives of them.",
    questions=(
        Question(
            "adam's first step",
            "Gradient 1000, learning rate 0.01: by how much does Adam move the parameter in its first step?",
            ("0.01",),
            "m_hat over the root of v_hat is 1000 / 1000: only the sign counts.",
            (("10", "So plain gradient descent would do. Adam divides by the usual size."),),
        ),
    ),
)

WARMUP = Exercise(
    name="warm-up",
    part=PART,
    file="adam.py",
    writes=("scheduled_learning_rate",),
    reading="""
The learning rate need not stay the same. Two times call for small steps:

    at the beginning    Adam's m and v rest on few gradients, and may
                        point anywhere: warm up
    at the end          large steps jump about the bottom of the valley:
                        settle

So it is a straight line up to the peak, and then one down towards 0:

    step < warmup    peak * step / warmup
    else             peak * (steps + 1 - step) / (steps + 1 - warmup)

Steps count from 1 to `steps`. The rate at step 0 would be 0, and so would
that at step steps + 1: no step is wasted on a rate of 0. With warmup = 0
there is only the way down.
""",
    cases=(
        case("scheduled_learning_rate(1, 100, 10, 0.5)", plain=True, why="One tenth of the way up: 0.5 * 1 / 10."),
        case("scheduled_learning_rate(5, 100, 10, 0.5)", plain=True),
        case("scheduled_learning_rate(10, 100, 10, 0.5)", plain=True),
        case("scheduled_learning_rate(55, 100, 10, 0.5)", plain=True),
        case(
            "scheduled_learning_rate(100, 100, 10, 0.5)", plain=True, why="The last step is a small one: 0.5 * 1 / 91."
        ),
        case("scheduled_learning_rate(1, 20, 0, 0.25)", plain=True),
        case("scheduled_learning_rate(2, 4, 2, 3.0)", plain=True),
        case("scheduled_learning_rate(3, 7, 5, 2.0)", plain=True),
    ),
    mistakes=(
        wrong(
            "There is no warm-up: the first step has a rate of {got}.",
            body="return peak * (steps + 1 - step) / (steps + 1 - warmup)",
        ),
        wrong(
            "There is no way down: the rate stays at its peak.",
            ("return peak * (steps + 1 - step) / (steps + 1 - warmup)", "return peak"),
        ),
        wrong(
            "Your warm-up begins at 0: the first step does nothing.",
            ("peak * step / warmup", "peak * (step - 1) / warmup"),
        ),
        wrong(
            "The last step has a rate of 0, so it is wasted: count to steps + 1.",
            ("(steps + 1 - step) / (steps + 1 - warmup)", "(steps - step) / (steps - warmup)"),
        ),
        wrong(
            "The way down does not begin at the peak: divide by what is left after the warm-up.",
            ("(steps + 1 - warmup)", "(steps + 1)"),
        ),
        wrong(
            "You return a share of the peak: multiply with it.", ("peak * step", "step"), ("peak * (steps", "(steps")
        ),
        wrong("Your warm-up lasts for all steps: divide by warmup.", ("step / warmup", "step / steps")),
        wrong(
            "Your way down goes up: the numerator is what is left, steps + 1 - step.",
            ("(steps + 1 - step)", "(step - warmup)"),
        ),
        wrong("Your warm-up goes down: it begins small.", ("peak * step / warmup", "peak * (warmup - step) / warmup")),
        wrong("`//` cuts off all after the point: {got}.", ("peak * step / warmup", "peak * step // warmup")),
        wrong("Up and down have changed places: the test is step < warmup.", ("step < warmup", "step >= warmup")),
        wrong(
            "Your way down is steeper at first: it is a straight line here, not a square.",
            (
                "return peak * (steps + 1 - step) / (steps + 1 - warmup)",
                "return peak * ((steps + 1 - step) / (steps + 1 - warmup)) ** 2",
            ),
        ),
        wrong(
            "Your warm-up is a square: it is a straight line here.",
            ("peak * step / warmup", "peak * (step / warmup) ** 2"),
        ),
        wrong(
            "Your way down counts from the beginning: the numerator is what is left, steps + 1 - step.",
            ("(steps + 1 - step)", "step"),
        ),
    ),
    hints=(
        "Two straight lines: where do they begin and end, and at which step do they meet?",
        "peak * step / warmup, and peak * (steps + 1 - step) / (steps + 1 - warmup)",
        "`if step < warmup: return peak * step / warmup`, and then the other line.",
    ),
    good_for="Small steps at both ends: the first ones do no harm, and the last ones settle.",
    questions=(
        Question(
            "rate in the warm-up",
            "Peak 0.01, warm-up of 100 steps: which rate has step 50?",
            ("0.005",),
            "Half of the way up.",
            (("0.01", "That is reached at step 100."),),
        ),
    ),
)

TEMPERATURE = Exercise(
    name="temperature",
    part=PART,
    file="learning.py",
    writes=("probabilities",),
    reading="""
The model gives logits; softmax makes probabilities of them. Before that one
may divide the logits by a temperature:

    1       as the model has learned
    0.5     more careful: what is likely gets likelier
    2.0     more daring: all come nearer to each other
    to 0    the likeliest has all of it

At 0 itself one cannot divide. It means the limit: probability 1.0 for the
likeliest token and 0.0 for all others; of equal ones, the first.

`items.index(x)` finds where x stands in a list.
""",
    cases=(
        case("probabilities([1.0, 2.0], 1.0)", plain=True),
        case("probabilities([1.0, 2.0, 0.0], 0.5)", plain=True, why="Divided by 0.5 they are [2.0, 4.0, 0.0]."),
        case("probabilities([1.0, 2.0, -4.0], 2.0)", plain=True),
        case("probabilities([1.0, 3.0, 2.0], 0)", plain=True),
        case("probabilities([1.0, 3.0, 3.0], 0.0)", plain=True),
        case("probabilities([-1.0, -3.0], 0)", plain=True),
        case("probabilities([900.0, 910.0], 0.5)", plain=True),
    ),
    mistakes=(
        wrong("The temperature is not used: the probabilities are as at 1.", ("logit / temperature", "logit")),
        wrong(
            "You multiply with the temperature. Then a high one makes it careful: divide.",
            ("logit / temperature", "logit * temperature"),
        ),
        wrong(
            "You divide the probabilities: their sum is not 1 any more. Divide the logits, before softmax.",
            (
                "return softmax([logit / temperature for logit in logits])",
                "return [p / temperature for p in softmax(logits)]",
            ),
        ),
        wrong(
            "Temperature 0 divides by 0. There the likeliest has all of it.",
            body="return softmax([logit / temperature for logit in logits])",
        ),
        wrong(
            "At temperature 0 all get the same. It is the other end: the likeliest has all of it.",
            ("[float(i == likeliest) for i in range(len(logits))]", "[1 / len(logits) for _ in logits]"),
        ),
        wrong("At temperature 0 you give it to the least likely.", ("max(logits)", "min(logits)")),
        wrong(
            "At temperature 0 you return an index. Expected are probabilities: 1.0 there, 0.0 elsewhere.",
            ("return [float(i == likeliest) for i in range(len(logits))]", "return likeliest"),
        ),
        wrong(
            "At temperature 0 all that are likeliest get 1.0: the sum is 2. It is the first of them.",
            ("float(i == likeliest) for i in range(len(logits))", "float(logit == max(logits)) for logit in logits"),
        ),
        wrong(
            "The logits are divided, but softmax is missing: they are no probabilities.",
            ("softmax([logit / temperature for logit in logits])", "[logit / temperature for logit in logits]"),
        ),
        wrong("Any temperature below 1 counts as 0 for you.", ("temperature == 0", "temperature < 1")),
        wrong(
            "The signs are exchanged: the least likely becomes the likeliest.",
            ("logit / temperature", "-logit / temperature"),
        ),
        wrong(
            "At temperature 0 the last of equal ones gets it. It is the first.",
            ("logits.index(max(logits))", "len(logits) - 1 - logits[::-1].index(max(logits))"),
        ),
    ),
    hints=(
        "Which of the two happens first, dividing or softmax? And what is left to do at 0?",
        "p = softmax(logits / temperature)",
        "`if temperature == 0:` find the likeliest, and `return [float(i == likeliest) for ...]`; then softmax.",
    ),
    good_for="It is the one knob that everybody turns who lets a language model write.",
    questions=(
        Question(
            "high temperature",
            "27 tokens, and the temperature goes to infinity. Which probability has each?",
            ("1/27", "0.037"),
            "All logits go to 0, and all become equal.",
            (("0", "The sum stays 1."), ("1", "That is the likeliest, at temperature 0.")),
        ),
    ),
)

CHOICE = Exercise(
    name="choice",
    part=PART,
    file="learning.py",
    writes=("choose",),
    reading="""
How does one draw a token with given probabilities? Lay them side by side;
together they are as long as 1. A random number from 0 to 1 is a point on
that line: take the token on whose part it lies.

    chances    [0.5, 0.25, 0.25]

    0         0.5     0.75      1
    |----0-----|--1---|---2-----|

Walk along: take each chance away from the point. The first that makes it
negative is the one. A chance of 0 can so never be drawn, not even by the
point 0.0.

Rounding may make the chances a hair shorter than 1 in all. A point behind
the end belongs to the last one.
""",
    cases=(
        case("choose([0.5, 0.5], 0.25)", plain=True, why="0.25 lies on the first half."),
        case("choose([0.5, 0.25, 0.25], 0.625)", plain=True, why="0.625 lies between 0.5 and 0.75."),
        case("choose([0.5, 0.25, 0.25], 0.9)", plain=True),
        case("choose([0.5, 0.5], 0.5)", plain=True, why="0.5 is the first point that is not on the first half."),
        case("choose([0.0, 1.0], 0.0)", plain=True, why="A chance of 0 is never drawn."),
        case("choose([0.25, 0.25, 0.25, 0.249], 0.9999)", plain=True),
        case("choose([0.1, 0.8, 0.1], 0.05)", plain=True),
        case("choose([0.2, 0.3, 0.4, 0.1], 0.45)", plain=True),
    ),
    mistakes=(
        wrong("You always take the likeliest. The point decides.", body="return chances.index(max(chances))"),
        wrong(
            "A point on the border goes to the left for you, so that a chance of 0 can be drawn: test < 0, not <= 0.",
            ("point < 0", "point <= 0"),
        ),
        wrong(
            "You do not take the chances away on your way: each is compared with the whole point.",
            ("point -= chance", "pass"),
            ("point < 0", "point < chance"),
        ),
        wrong("You return the chance, {got}. Expected is its index, {expected}.", ("return i", "return chance")),
        wrong("Your indices begin at 1. They count from 0.", ("return i", "return i + 1")),
        wrong(
            "All tokens have the same chance for you. The parts are of different lengths.",
            body="return int(point * len(chances))",
        ),
        wrong(
            "Behind the end you give nothing back, and rounding leads there now and then. Return the last index.",
            ("return len(chances) - 1", "return None"),
        ),
        wrong(
            "Behind the end you return the first index. It is the last one's.", ("return len(chances) - 1", "return 0")
        ),
        wrong(
            "Behind the end you return len(chances), which is one too many.",
            ("return len(chances) - 1", "return len(chances)"),
        ),
        wrong("You walk from the end.", ("enumerate(chances)", "reversed(list(enumerate(chances)))")),
        wrong("You stop at the first chance whatever the point is: the test is wrong.", ("point < 0", "point < 1")),
        wrong(
            "You test before you take the chance away: so you are one behind.",
            body="""
for i, chance in enumerate(chances):
    if point < 0:
        return i
    point -= chance
return len(chances) - 1
""",
        ),
        wrong("You add the chance to the point, which never becomes negative.", ("point -= chance", "point += chance")),
    ),
    hints=(
        "If the point is 0.6 and the first chance 0.5, how far is it into the rest?",
        "the first i with point - (chances_0 + ... + chances_i) < 0",
        "In a loop: `point -= chance`, and `if point < 0: return i`.",
    ),
    good_for="With one random number for each token, the same seed writes the same text.",
    questions=(
        Question(
            "draw",
            "Chances [0.2, 0.3, 0.5], point 0.6: which index is drawn?",
            ("2", "two"),
            "0.2 + 0.3 = 0.5, so 0.6 lies on the third part.",
            (("1", "Its part ends at 0.5."), ("3", "Indices count from 0.")),
        ),
    ),
)

TEXTS = (  # parameters, first token, temperature and random numbers, of texts that tell mistakes apart
    (776, 0, 3.0, [0.57, 0.53, 0.53]), (732, 1, 2.0, [0.48, 0.46, 0.85]), (750, 1, 1.0, [0.89, 0.33, 0.54]),
    (752, 2, 2.0, [0.94, 0.44, 0.92]), (774, 0, 1.0, [0.2, 0.27, 0.31]), (802, 0, 3.0, [0.73, 0.7, 0.29]),
    (808, 1, 2.0, [0.16, 0.95, 0.41]), (743, 1, 2.0, [0.64, 0.17, 0.71]), (745, 2, 5.0, [0.54, 0.1, 0.78]),
    (747, 0, 2.0, [0.8, 0.84, 0.33]), (721, 1, 5.0, [0.67, 0.7, 0.93]), (826, 0, 2.0, [0.79, 0.15, 0.77]),
)  # fmt: skip
SMALL = "config = GPTConfig(3, 3, 3, {}, 1)"
WRITTEN = Exercise(
    name="writing",
    part=PART,
    file="learning.py",
    writes=("written",),
    reading="""
Now a model can write. It is the loop around all that you have:

    logits        gpt(params, config, token, position, cache)
    chances       probabilities(logits, temperature)
    next token    choose(chances, point)

Then the new token is what the model sees next, at the next position. The
cache remembers the ones before, so make it once, before the loop.

Token 0 is the newline, which ends a name: stop there, and do not put it
into the list. Otherwise it ends with the random numbers: there is one in
`points` for each token.
""",
    cases=(
        case("written(params, config, 0, 1.0, [0.5])", SMALL.format(0), params=model_of(0, 700), plain=True),
        case("written(params, config, 0, 1.0, [0.9, 0.9, 0.8])", SMALL.format(0), params=model_of(0, 701), plain=True),
        case("written(params, config, 1, 0, [0.9, 0.9, 0.9])", SMALL.format(1), params=model_of(1, 702), plain=True),
        case("written(params, config, 2, 0.5, [0.7, 0.6, 0.8])", SMALL.format(1), params=model_of(1, 703), plain=True),
        *[
            case(
                f"written(params, config, {token}, {temperature}, {points})",
                SMALL.format(1),
                params=model_of(1, seed),
                plain=True,
            )
            for seed, token, temperature, points in TEXTS
        ],
    ),
    mistakes=(
        wrong(
            "The first token is shown to the model again and again. It sees the new one next.",
            body="""
cache, found = empty_cache(config), []
for position, point in enumerate(points):
    logits = gpt(params, config, token, position, cache)
    new = choose(probabilities(logits, temperature), point)
    if new == 0:
        break
    found.append(new)
return found
""",
        ),
        wrong(
            "Every token gets a new cache, so the model has forgotten all before it.",
            ("        logits =", "        cache = empty_cache(config)\n        logits ="),
        ),
        wrong("Every token stands at position 0.", ("token, position, cache", "token, 0, cache")),
        wrong("You write on after a 0. It ends the name.", ("            break\n", "            pass\n")),
        wrong(
            "The 0 at the end is in your list: {got}. Test before you append.",
            body="""
cache, found = empty_cache(config), []
for position, point in enumerate(points):
    logits = gpt(params, config, token, position, cache)
    token = choose(probabilities(logits, temperature), point)
    found.append(token)
    if token == 0:
        break
return found
""",
        ),
        wrong(
            "The first token, which was given, is in your list. Only what is written belongs there.",
            ("cache, found = empty_cache(config), []", "cache, found = empty_cache(config), [token]"),
        ),
        wrong("You leave a 0 out and go on. It ends the name.", ("            break\n", "            continue\n")),
        wrong("You return only the last token.", ("return found", "return found[-1:]")),
        wrong(
            "The temperature is not passed on.", ("probabilities(logits, temperature)", "probabilities(logits, 1.0)")
        ),
        wrong(
            "You take the likeliest token each time: the random numbers are not used.",
            ("choose(probabilities(logits, temperature), point)", "logits.index(max(logits))"),
        ),
        wrong(
            "You use the first random number for all tokens.",
            ("(logits, temperature), point)", "(logits, temperature), points[0])"),
        ),
        wrong(
            "You draw with the logits. They are no probabilities.",
            ("probabilities(logits, temperature), point", "logits, point"),
        ),
        wrong(
            "You return after the first token: the last line stands too far to the right.",
            ("    return found", "        return found"),
        ),
        wrong("Your list is in reverse order.", ("return found", "return found[::-1]")),
    ),
    hints=(
        "What does the loop need from the turn before? Which of it changes, and which grows?",
        "token_(i+1) = choose(softmax(gpt(token_i) / temperature), point_i), until it is 0",
        "`for position, point in enumerate(points):` the logits, `token = choose(...)`, a test for 0, an append.",
    ),
    good_for="So every language model writes: one token, back in at the front, and the next.",
)

TRAINED = Exercise(
    name="train",
    part=PART,
    file="adam.py",
    writes=("adam",),
    reading="""
This is what all of it was for. Your value.py, functions.py, gpt.py and
adam.py are a GPT that can learn. On your own Value it would take half a
day for 5,000 names. So the compiler records your functions, and makes
machine code of them. Before that it compares both: your Value, with your
derivatives and your backward(), must give the same loss and the same
gradients.

`python learn.py` now calls

    python train.py --book mine

which takes some seconds. Afterwards the model is yours:

    python sample.py --run runs/mine
    python explain.py --run runs/mine --text anna --open
    python train.py --book mine --data my.txt

And change something in your functions: train.py tells what becomes of it.
""",
    cases=ADAM.cases,
    mistakes=ADAM.mistakes,
    hints=(
        "Does `python learn.py --list` show all exercises as done? If train.py told what differs, look there.",
        "your gradient = the slope of the loss",
        "`python train.py --book mine` says which line of your files is wrong, if one is.",
    ),
    good_for="You wrote it, it learned, and it writes: no line between the numbers and the names is a secret to you.",
    trial=True,
    finish=train_own_book,
    seconds=300.0,
)

EXERCISES = (DESCENT, MOMENTUM, CORRECTION, DECAY, ADAM, WARMUP, TEMPERATURE, CHOICE, WRITTEN, TRAINED)
