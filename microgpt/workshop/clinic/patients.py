"""The patients: what is wrong with each, what one sees, and what one may suspect.

A patient is one of two healthy programs with some lines changed. The `setting` changes a size or a rate, so that the
fault shows; the healthy program that it is compared with has it, too. The `fault` is what is to be found.

A text about what is seen may name {first} and {last}, the first loss and the mean of the last few, and {level}, the
mean loss of the later half, each of the patient; and {healthy}, that level of the healthy program.
"""

from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).with_name("programs")

Change = tuple[str, str]  # lines as they are, and as they become


@dataclass(frozen=True)
class Fault:
    """Something that can be wrong, and what one would see then."""

    name: str
    seen: str


@dataclass(frozen=True)
class Patient:
    """A sick program."""

    fault: str  # one of FAULTS
    complaint: str  # what its owner says
    program: str  # "names" or "points"
    changes: tuple[Change, ...]  # the fault
    suspects: tuple[str, ...]  # five of FAULTS, with the right one
    here: str  # what is seen here, which speaks against another suspicion
    where: str  # where to look, once the suspicion is right
    lesson: str  # what to remember, once it is cured
    setting: tuple[Change, ...] = ()

    def source(self, sick: bool = True) -> str:
        """The text of the program. Raises ValueError where a line to change is not there exactly once."""
        text = (PROGRAMS / f"{self.program}.py").read_text(encoding="utf-8")
        for old, new in (*self.setting, *(self.changes if sick else ())):
            if text.count(old) != 1:
                raise ValueError(f"{old!r} is {text.count(old)} times in {self.program}.py: expected once")
            text = text.replace(old, new)
        return text


FAULTS = {
    "derivative": Fault(
        "an operation has a wrong derivative",
        "the first loss would be right, and the steps would go to the wrong side: the loss rises or swings from the "
        "start, and may overflow within a few steps.",
    ),
    "overwritten": Fault(
        "a gradient is set where it should be added to",
        "what is used once would learn; what many examples share would hear only the last of them. The loss moves a "
        "little and stalls, with gradients far too small.",
    ),
    "order": Fault(
        "backward takes the operations in a wrong order",
        "the loss of the first step would be right, but most gradients would be exactly 0: they were passed on before "
        "anything had arrived.",
    ),
    "overflow": Fault(
        "an exp overflows",
        "the loss would be NaN, perhaps from the first step, although every weight is finite; with smaller weights the "
        "same program would run.",
    ),
    "scale": Fault(
        "the scores of attention are too large",
        "it would learn, but stay a little behind at every step: each position reads from hardly more than one other, "
        "because softmax of large scores is nearly 0 or 1.",
    ),
    "future": Fault(
        "the model sees the letter that it is to predict",
        "the loss would fall far below what letters allow, which is about 1.9 for names; and what it writes would be "
        "worthless, because while it writes there is no future to look at.",
    ),
    "residual": Fault(
        "the layers have no residual",
        "one layer would hardly suffer, four would: the gradients shrink on their way down, so the positions and the "
        "first layers get far less than the last, and the loss stays near that of letter frequencies, 2.8.",
    ),
    "norm": Fault(
        "the layer norm stands at the wrong place",
        "a deep model would begin slowly: the norm on the stream divides what the residual carries, at each layer "
        "anew. It learns, late and less, and a long warm-up would help.",
    ),
    "dead": Fault(
        "units are dead",
        "gradients would be exactly 0 below the dead units, and only what comes after them would move, until the loss "
        "stops at that of a guess.",
    ),
    "sign": Fault(
        "a sign in the loss is wrong",
        "the loss would fall without end, below 0, which no surprise can be; and what is written would get worse.",
    ),
    "correction": Fault(
        "Adam does not correct its means",
        "the first steps would be several times too large: both means begin at 0, the squares recover ten times as "
        "slowly as the gradients. The update at step 1 is three times the usual, and at step 12 six times.",
    ),
    "zero": Fault(
        "gradients are never set back to 0",
        "each step would go by the sum of all gradients so far: it begins well, overshoots, and swings ever wider, "
        "with gradient norms that grow while the loss is low.",
    ),
    "rate": Fault(
        "the steps are too large",
        "the first step would change each tensor by much more than the usual 5 to 10 percent, and the loss would stay "
        "high and jump. Later the weights are so large that steps look small beside them.",
    ),
    "equal": Fault(
        "all weights begin equal",
        "all units of a layer would get the same gradient and stay equal for ever: many units learn no more than one. "
        "The first loss is exactly that of a guess, or far from it.",
    ),
    "labels": Fault(
        "the answers are shifted",
        "it would learn something, because letters two apart also depend on each other, but less; and what it writes "
        "would look like words with every other letter lost.",
    ),
}

ZEROED = """        for table in p.values():
            for one in numbers(table):
                one.grad = 0.0
"""
VISIT = """                for one in value.inputs:
                    visit(one)
                order.append(value)
"""
FIRST_VISIT = """                order.append(value)
                for one in value.inputs:
                    visit(one)
"""
BLOCK = """    xs = add(xs, self_attention(p, name, norm(p, f"{name}.ln_1", xs)))
    return add(xs, mlp(p, name, norm(p, f"{name}.ln_2", xs)))
"""
WITHOUT_RESIDUAL = """    xs = self_attention(p, name, norm(p, f"{name}.ln_1", xs))
    return mlp(p, name, norm(p, f"{name}.ln_2", xs))
"""
NORM_ON_STREAM = """    xs = norm(p, f"{name}.ln_1", add(xs, self_attention(p, name, xs)))
    return norm(p, f"{name}.ln_2", add(xs, mlp(p, name, xs)))
"""
DEEP = (("LAYERS, STEPS, BATCH, RATE = 1, 300", "LAYERS, STEPS, BATCH, RATE = 4, 150"),)
QKV = '{f"{h}.qkv.weight": weights(WIDTH, 3 * WIDTH),'
LARGE_QKV = '{f"{h}.qkv.weight": %d * weights(WIDTH, 3 * WIDTH),'

PATIENTS = (
    Patient(
        "derivative", "It took two steps. In the third Python raised an OverflowError.", "points",
        (("(self, other), (other.data, self.data))", "(self, other), (self.data, other.data))"),),
        ("overwritten", "derivative", "rate", "dead", "equal"),
        "the first loss is that of a healthy start, {first}, and then it does not fall even once.",
        "The loss is computed rightly, its gradients are not. Check each operation by a quotient of differences: "
        "change one input by 0.001, see by how much the result changes, and compare with the derivative beside it.",
        "The derivative of a * b to a is b: what an input gets depends on the other one.",
    ),
    Patient(
        "dead", "The loss got to 0.69 and has not moved since. Is that good?", "points",
        (("[Value(0.0) for _ in range(n)]", "[Value(-3.0) for _ in range(n)]"),),
        ("order", "zero", "dead", "equal", "rate"),
        "the loss fell smoothly to {last}, which is log(2), a coin. The gradients of the weights are exactly 0, but "
        "the bias of the last layer moves.",
        "A relu passes nothing on where its input is below 0. Ask why every input of every unit is below 0 at the "
        "start: see where the parameters begin.",
        "A gradient of exactly 0 is no small gradient. It means that something is cut off: here all relus.",
    ),
    Patient(
        "overwritten", "It trains, but no better than a coin, however long I wait.", "points",
        (("one.grad += derivative * value.grad", "one.grad = derivative * value.grad"),),
        ("derivative", "rate", "dead", "overwritten", "equal"),
        "the loss falls a little and comes back to {last}. All gradients are small from the first step on.",
        "Forty points share each weight, and each point has its say. Look at how `backward` combines what reaches a "
        "value along several ways.",
        "A value that is used twice gets both contributions. That is the `+=` in backward, and the chain rule's sum.",
    ),
    Patient(
        "rate", "The loss of my GPT comes down from 3.6 to 2.8 at once. Then it jumps about.", "names",
        (("LAYERS, STEPS, BATCH, RATE = 1, 300, 32, 0.01", "LAYERS, STEPS, BATCH, RATE = 1, 300, 32, 0.1"),),
        ("rate", "labels", "zero", "residual", "future"),
        "the loss stays at {level}, where the healthy program has {healthy}, and the first step changes "
        "each tensor by two thirds of its size.",
        "The first step moves the weights by two thirds of their size; 5 to 10 percent is usual for so small a model. "
        "Find the number that decides it.",
        "The update ratio tells a rate that is too large in one step. Adam moves each weight by about the rate.",
    ),
    Patient(
        "order", "The first loss is the same as my friend's. But mine stays there to the last digit.", "points",
        ((VISIT, FIRST_VISIT),),
        ("dead", "equal", "overwritten", "order", "zero"),
        "the loss does not move: {first} at first, {last} at last; all gradients are 0, in the last layer, too, where "
        "no relu comes after.",
        "The derivatives are right, but when a value passes on what it has, has it got everything? See when `visit` "
        "writes a value down.",
        "Reverse topological order: a value passes its gradient on only when all that was made of it has passed on.",
    ),
    Patient(
        "future", "I have beaten everyone: a loss of 0.2! But the names that it writes are empty.", "names",
        (("seen = range(t + 1)", "seen = range(len(xs))"),),
        ("labels", "sign", "future", "overflow", "scale"),
        "the loss is {level}, above 0 and far below the healthy {healthy}; names cannot be known so well.",
        "Too good is a symptom. Somewhere a position reads what comes after it. Ask of each list in the attention: "
        "which positions are in it?",
        "A leak from the future makes the loss too good and the text worthless. Believe no loss below what the data "
        "allow.",
    ),
    Patient(
        "sign", "My loss is below 0 and still falls. Great, isn't it?", "names",
        (("return log(total) - (pick(logits, target) - shift)", "return log(total) + (pick(logits, target) - shift)"),),
        ("future", "sign", "labels", "rate", "zero"),
        "the loss is {level}; a surprise, -log of a chance, is never below 0.",
        "The cross-entropy is log(sum of exps) minus the logit of the target. Follow its signs, and compute it by hand "
        "for two equal logits: it is log(2).",
        "The first loss tells: log(27), 3.3, for blind guessing among 27 letters. A first loss of 0.4 is no luck.",
    ),
    Patient(
        "zero", "It learns beautifully for twenty steps. Then the loss swings, each time further.", "points",
        ((ZEROED, ""),),
        ("rate", "derivative", "zero", "overwritten", "equal"),
        "the loss fell as it should at first, and then its swings grew, to {last} in the end.",
        "In PyTorch the line would be optimizer.zero_grad(). What is left in `grad` from the step before?",
        "`backward` adds to gradients. So someone must set them back to 0 before each step.",
        (("STEPS, RATE = 80, 0.5", "STEPS, RATE = 80, 1.0"),),
    ),
    Patient(
        "overflow", "NaN, from the first step. It worked with the small weights of last week.", "names",
        (("exps = [exp(x_i - shift) for x_i in x]", "exps = [exp(x_i) for x_i in x]"),),
        ("rate", "sign", "correction", "overflow", "scale"),
        "the loss is NaN before any step was taken, so no step can be to blame.",
        "float32 ends at 3.4e38, which is exp(88.7). Some numbers go into an exp unshifted. Which function promises "
        "that its exps stay in range?",
        "Softmax is the same for all shifts of its inputs. Taking off the largest costs nothing, and no exp is above "
        "1.",
        ((QKV, LARGE_QKV % 10),),
    ),
    Patient(
        "labels", "It learns, the loss falls nicely, but the names look as if letters were missing.", "names",
        (
            ("ids[s + 1 : s + CONTEXT + 1]", "ids[s + 2 : s + CONTEXT + 2]"),
            ("len(ids) - CONTEXT - 1", "len(ids) - CONTEXT - 2"),
        ),
        ("scale", "labels", "residual", "correction", "future"),
        "the loss comes down evenly but stays at {level}, where the healthy program has {healthy}; every tensor has "
        "its gradient; and the samples have strange pairs of letters.",
        "Print one row of inputs and one of targets as letters, one above the other. It is the first thing to do with "
        "any new data.",
        "The model learned what it was asked: the letter after the next. Look at the data before the model.",
    ),
    Patient(
        "residual", "One layer works. With four layers it does not get below 2.8.", "names",
        ((BLOCK, WITHOUT_RESIDUAL),),
        ("equal", "norm", "residual", "rate", "scale"),
        "the loss stays at {level}, where the healthy program of four layers has {healthy}. Compare the gradients of "
        "h0 and h3.",
        "Each layer should add to what came in. See what `block` hands on.",
        "x + f(x) has the derivative 1 + f'(x): the gradient goes past each layer as if it were not there.",
        DEEP,
    ),
    Patient(
        "correction", "Whatever seed I take: a bad start, and it never quite recovers.", "names",
        (("m / (1 - 0.9**step)", "m"), ("v / (1 - 0.999**step)", "v")),
        ("correction", "scale", "labels", "overflow", "equal"),
        "the loss is {level}, where the healthy program has {healthy}. The updates at step 1 are about three times as "
        "large as Adam's first step should be, which is one rate for each weight; later they are as usual.",
        "Adam's two running means begin at 0. Compute by hand what `adam` does with the very first gradient: it should "
        "move each weight by the rate, 0.01.",
        "At step 1 the mean is a tenth of the gradient, the mean square a thousandth: without correction a step is "
        "0.1 / sqrt(0.001), 3.2 times too large.",
    ),
    Patient(
        "equal", "I began all weights at the same sensible number, to be fair to all. It learns little.", "names",
        (("rng.normal(0, INITIAL_SCALE, shape)", "np.full(shape, INITIAL_SCALE)"),),
        ("dead", "rate", "residual", "equal", "zero"),
        "the first loss is {first}, which is log(27) to the digit: all logits were equal. It stays at {level}.",
        "Two units with the same weights compute the same, get the same gradient, and stay the same. See how the "
        "parameters begin.",
        "Weights begin at random so that units can become different. It is called breaking the symmetry.",
    ),
    Patient(
        "norm", "Four layers, with residuals and layer norms, but my friend's run is always ahead of mine.", "names",
        ((BLOCK, NORM_ON_STREAM),),
        ("norm", "residual", "labels", "scale", "overflow"),
        "it does learn, late: {level} in the later half, where the healthy program has {healthy}. The stream is "
        "carried on, so the first layers do get gradients.",
        "There are two places for a layer norm: before each part, on what it reads, or after the sum, on the stream "
        "itself. GPT-2 has one of them.",
        "With the norm before each part (pre-norm) the stream stays untouched from the first layer to the last. The "
        "original transformer had it after, and needed a long warm-up (Xiong et al. 2020).",
        DEEP,
    ),
    Patient(
        "scale", "It works. It is only a little worse than it should be, at every step.", "names",
        (("[dot(query, key) * scale for key in keys]", "[dot(query, key) for key in keys]"),),
        ("labels", "scale", "correction", "norm", "equal"),
        "the loss is {level}, only a little above the healthy {healthy}; the samples look right, the updates are as "
        "usual.",
        "A dot product of 16 random pairs is four times as large as one of them. What keeps the scores of attention "
        "from growing with the width?",
        "1 / sqrt(d) keeps scores near 1 whatever d is. Softmax of large scores is nearly 0 or 1 and passes no "
        "gradient.",
        ((QKV, LARGE_QKV % 4),),
    ),
)  # fmt: skip
