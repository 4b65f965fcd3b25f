"""Part 3: a GPT. The learner writes attention into functions.py, and gpt.py."""

import random
from typing import Any

from microgpt.workshop.exercise import Exercise, Question, case, wrong
from microgpt.workshop.transformers_logits import same_logits

PART = 3


def numbers(seed: int, *shape: int) -> Any:
    """Return random numbers with one decimal, in nested lists."""
    chance = random.Random(f"{seed} {shape}")

    def made(lengths: tuple[int, ...]) -> Any:
        if not lengths:
            return chance.choice([-1, 1]) * chance.randint(1, 20) / 10
        return [made(lengths[1:]) for _ in range(lengths[0])]

    return made(shape)


def linear_map(name: str, n: int, m: int, seed: int) -> dict[str, Any]:
    """Return the weight and the bias of a linear map."""
    return {f"{name}.weight": numbers(seed, n, m), f"{name}.bias": numbers(seed + 1, m)}


def norm(name: str, n: int, seed: int) -> dict[str, Any]:
    """Return the gain and the bias of a layer norm."""
    return {f"{name}.weight": numbers(seed, n), f"{name}.bias": numbers(seed + 1, n)}


def block_of(name: str, n: int, seed: int) -> dict[str, Any]:
    """Return the parameters of a block of width n."""
    return {
        **norm(f"{name}.ln_1", n, seed),
        **linear_map(f"{name}.attn.c_attn", n, 3 * n, seed + 2),
        **linear_map(f"{name}.attn.c_proj", n, n, seed + 4),
        **norm(f"{name}.ln_2", n, seed + 6),
        **linear_map(f"{name}.mlp.c_fc", n, 4 * n, seed + 8),
        **linear_map(f"{name}.mlp.c_proj", 4 * n, n, seed + 10),
    }


def model_of(layers: int, seed: int = 50) -> dict[str, Any]:
    """Return the parameters of a GPT of width 3, with three characters and three positions."""
    blocks = [block_of(f"h.{layer}", 3, seed + 20 * layer) for layer in range(layers)]
    tables = {"wte.weight": numbers(seed + 90, 3, 3), "wpe.weight": numbers(seed + 91, 3, 3)}
    return {name: x for part in [tables, *blocks, norm("ln_f", 3, seed + 92)] for name, x in part.items()}


ATTENTION = Exercise(
    name="attention",
    part=PART,
    file="functions.py",
    writes=("attention",),
    reading="""
A character may need what an earlier one knows. Attention lets it ask.
Each of t positions has a key, which says what is to be found there, and a
value, which is what one gets. The one that asks has a query.

    score of a position    query . key / sqrt(d)      (one number)
    weights                softmax(scores)            (t, with sum 1)
    result                 sum of weight * value      (d numbers)

Why sqrt(d)? A dot product of d numbers of size 1 has a size of about
sqrt(d). With d = 64 the scores were 8 times too far apart, and softmax
would put nearly all weight on one position: no gradient for the others.

Shapes: query [d], keys [t, d], values [t, d], and the result [d]. Number j
of the result is the dot product of the weights with column j of the
values. `zip(*values)` gives the columns of a table.
""",
    cases=(
        case(
            "attention(query, keys, values)",
            query=[1.0, 2.0],
            keys=[[3.0, 4.0]],
            values=[[5.0, 6.0]],
            why="There is one position, so all of the weight is on it.",
        ),
        case(
            "attention(query, keys, values)",
            query=[2.0],
            keys=[[0.0], [1.0]],
            values=[[10.0], [20.0]],
            why="The scores are 0.0 and 2.0; their softmax is [0.1192, 0.8808].",
        ),
        case(
            "attention(query, keys, values)",
            query=[2.0, 0.0, 0.0, 0.0],
            values=[[10.0, 0.0], [0.0, 10.0]],
            keys=[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
            why="The dot products are 2.0 and 0.0; over sqrt(4) they are 1.0 and 0.0: softmax [0.7311, 0.2689].",
        ),
        case(
            "attention(query, keys, values)",
            query=[1.5, -0.5],
            keys=[[1.0, 0.5], [-1.0, 2.0]],
            values=[[1.0, 2.0], [3.0, 5.0]],
        ),
        case("attention(query, keys, values)", query=numbers(1, 3), keys=numbers(2, 4, 3), values=numbers(3, 4, 3)),
        case("attention(query, keys, values)", query=[1.0], keys=[[1.0], [1.0]], values=[[1.0, 2.0], [3.0]]),
    ),
    mistakes=(
        wrong(
            "Your scores are not scaled. Here each must be divided by sqrt(d), with d = len(query).",
            ("1 / sqrt(len(query))", "1"),
        ),
        wrong(
            "You divide the scores by d. The size of a dot product grows with sqrt(d) only.",
            ("1 / sqrt(len(query))", "1 / len(query)"),
        ),
        wrong("You multiply the scores with sqrt(d). They are too large already: divide.", ("1 / sqrt(", "sqrt(")),
        wrong(
            "The d in sqrt(d) is the length of the query, not the number of keys, t.",
            ("sqrt(len(query))", "sqrt(len(keys))"),
        ),
        wrong(
            "Your weights are the bare scores: they may be negative, and their sum is not 1. Let softmax make weights "
            "of them.",
            ("softmax([dot(query, key) * scale for key in keys])", "[dot(query, key) * scale for key in keys]"),
        ),
        wrong(
            "You scale after softmax: so the weights have a sum of 1 / sqrt(d), and the scores stay too far apart.",
            ("dot(query, key) * scale", "dot(query, key)"),
            ("[dot(weights, column) for", "[dot(weights, column) * scale for"),
        ),
        wrong(
            "What is averaged are the keys. They only say where to look; what is read are the values.",
            ("zip(*values", "zip(*keys"),
        ),
        wrong(
            "You take the rows of the values, and so one number for each position. Each number of the result needs a "
            "column: `zip(*values)`.",
            ("zip(*values, strict=True)", "values"),
        ),
        wrong(
            "Your scores compare the query with the values. The keys are there for that.",
            ("dot(query, key) * scale for key in keys", "dot(query, value) * scale for value in values"),
        ),
        wrong(
            "Your scores have the wrong sign: the key that fits best gets the least weight.",
            ("dot(query, key) * scale", "-dot(query, key) * scale"),
        ),
        wrong(
            "All positions count the same for you: that is a mean. The weights are softmax of the scores.",
            ("softmax([dot(query, key) * scale for key in keys])", "[1 / len(keys) for key in keys]"),
        ),
        wrong(
            "You give the value of the best key alone. Such a hard choice has no gradient: nothing says in which way "
            "a key should move. Softmax is the soft choice.",
            body="""
scores = [dot(query, key) for key in keys]
best = max(range(len(scores)), key=lambda i: scores[i])
return [v * 1 for v in values[best]]
""",
        ),
        wrong(
            "You return the weights. They say how much of each value to take: now take it.",
            ("[dot(weights, column) for column in zip(*values, strict=True)]", "weights"),
        ),
        wrong(
            "You return the value of the last position. Attention is a mean over all t of them, with weights.",
            ("[dot(weights, column) for column in zip(*values, strict=True)]", "list(values[-1])"),
        ),
        wrong(
            "Columns of different lengths pass unseen: say `zip(*values, strict=True)`.",
            ("zip(*values, strict=True)", "zip(*values)"),
        ),
    ),
    hints=(
        "Three lines: the factor, the weights, the weighted sums. Which functions above do the last two?",
        "weights = softmax(query . key_i / sqrt(d)); result_j = sum over i of weights_i * value_i,j",
        "`weights = softmax([dot(query, key) * scale for key in keys])`, then `[dot(weights, column) for ...]`.",
    ),
    good_for="This is all that lets one position learn from another; the rest of a GPT works on each one alone.",
    questions=(
        Question(
            "attention weights",
            "All keys are equal, and there are 4 of them. Which weight does each value get?",
            ("0.25", "1/4", "a quarter"),
            "Equal scores give equal weights, and their sum is 1.",
            (("1", "The sum of all weights is 1."), ("4", "A weight is at most 1.")),
        ),
        Question(
            "attention scale",
            "d is 64. By which number is each dot product divided?",
            ("8",),
            "sqrt(64) is 8.",
            (("64", "That would be d itself."), ("0.125", "With that it is multiplied.")),
        ),
    ),
)

RESIDUAL = Exercise(
    name="residual",
    part=PART,
    file="gpt.py",
    writes=("add",),
    reading="""
gpt.py begins. A GPT has one vector for each position, the residual stream.
Each part of the network reads from it, and adds what it found:

    x = x + attention(...)
    x = x + mlp(...)

So nothing is lost on the way, and the gradient has a straight way back: a
sum passes it on undivided to both inputs, through any number of layers.

`a + b` of two Python lists puts one behind the other. So adding vectors
needs a function: number by number, [n] and [n] -> [n]. Vectors of
different lengths must not be added: `zip(a, b, strict=True)` raises a
ValueError there, and `zip(a, b)` would cut off what is longer.
""",
    cases=(
        case("add(a, b)", a=[1.0, 2.0], b=[10.0, 20.0], why="1.0 + 10.0 and 2.0 + 20.0."),
        case("add(a, b)", a=[1.5, -2.0, 0.5], b=[4.0, 0.5, -3.0]),
        case("add(a, b)", a=[1.0, 2.0], b=[10.0, 20.0, 30.0]),
        case("add(a, b)", a=[1.0, 2.0, 3.0], b=[10.0, 20.0]),
        case("add(a, a)", a=[3.0, 4.0]),
        case("add(a, b)", a=[], b=[]),
    ),
    mistakes=(
        wrong("`+` put the lists one behind the other: {got}. Add number to number.", body="return a + b"),
        wrong("You multiplied number by number: {got}. The parts are added.", ("a_i + b_i", "a_i * b_i")),
        wrong("You subtracted: {got}. The parts are added.", ("a_i + b_i", "a_i - b_i")),
        wrong(
            "You added all into one number. A vector stays a vector: [n] and [n] -> [n].",
            body="return sum(a_i + b_i for a_i, b_i in zip(a, b, strict=True))",
        ),
        wrong(
            "That is the dot product, one number. Here each place stays its own.",
            body="return sum(a_i * b_i for a_i, b_i in zip(a, b, strict=True))",
        ),
        wrong("You return a alone. What b brings is lost.", ("a_i + b_i for", "a_i * 1 for")),
        wrong("You return b alone. What stood in the stream before, a, is lost.", ("a_i + b_i for", "b_i * 1 for")),
        wrong(
            "Vectors of different lengths pass, and the longer one is cut off: say `zip(a, b, strict=True)`.",
            (", strict=True", ""),
        ),
        wrong("You halved the sum, as a mean does. Both parts count in full.", ("a_i + b_i", "0.5 * (a_i + b_i)")),
        wrong("You added a to itself; b does not appear.", ("a_i + b_i", "a_i + a_i")),
        wrong(
            "You changed the list a itself, which was {a}. Another part may still need it: make a new list.",
            body="""
for i, (a_i, b_i) in enumerate(zip(list(a), b, strict=True)):
    a[i] = a_i + b_i
return a
""",
        ),
        wrong("You return pairs, {got}. Add the two numbers of each.", ("[a_i + b_i for", "[(a_i, b_i) for")),
        wrong("You added the numbers of b in reverse order.", ("zip(a, b,", "zip(a, b[::-1],")),
    ),
    hints=(
        "How does one walk through two lists at once?",
        "result_i = a_i + b_i, for each i",
        "`return [... for a_i, b_i in zip(a, b, strict=True)]`",
    ),
    good_for="Residual connections let networks of a hundred layers learn: the gradient finds a straight way.",
    questions=(
        Question(
            "residual gradient",
            "y = x + f(x), and the slope of f is 0. What is dy/dx?",
            ("1",),
            "The straight way passes 1 on, even where f passes nothing.",
            (("0", "That is what comes through f. There is a second way."),),
        ),
    ),
)

TABLES = {"wte.weight": [[1.0, 2.0], [3.0, 5.0], [8.0, 13.0]], "wpe.weight": [[0.1, 0.2], [0.3, 0.5], [0.8, 1.3]]}
EMBED = Exercise(
    name="embedding",
    part=PART,
    file="gpt.py",
    writes=("embedding",),
    reading="""
A network calculates with numbers, and a character is none. So each
character gets a row of numbers, n_embd of them, in a table. At first they
are random; training moves them, so that characters that behave alike come
to lie near each other.

Attention does not know which position is the first: it is a sum, in which
order does not count. So each position has a row of its own, too.

    params["wte.weight"]    [vocab_size, n_embd]     word token embedding
    params["wpe.weight"]    [n_positions, n_embd]    word position embedding

The embedding of a token at a position is the sum of both rows, [n_embd].
`pick(table, i)` gives row i, and refuses an i that the table does not have.
""",
    cases=(
        case("embedding(params, 1, 0)", params=TABLES, why="Row 1 of wte is [3.0, 5.0]; row 0 of wpe is [0.1, 0.2]."),
        case("embedding(params, 0, 2)", params=TABLES),
        case("embedding(params, 2, 1)", params=TABLES),
        case("embedding(params, 2, 2)", params=TABLES),
        case("embedding(params, 3, 0)", params=TABLES),
        case("embedding(params, 0, 3)", params=TABLES),
        case("embedding(params, -1, 0)", params=TABLES),
        case("embedding(params, 0, -1)", params=TABLES),
        case("embedding(params, 1, 2)", params={"wte.weight": numbers(4, 2, 3), "wpe.weight": numbers(5, 4, 3)}),
    ),
    mistakes=(
        wrong(
            "The position is missing: you return row 1 of wte as it is. Without wpe no position is the first.",
            body='return [x * 1 for x in pick(params["wte.weight"], token)]',
        ),
        wrong(
            "The token is missing: you return row 0 of wpe as it is. So all characters are the same to the model.",
            body='return [x * 1 for x in pick(params["wpe.weight"], position)]',
        ),
        wrong(
            "The two indices have changed places: the token chooses in wte, the position in wpe.",
            ('["wte.weight"], token)', '["wte.weight"], position)'),
            ('["wpe.weight"], position)', '["wpe.weight"], token)'),
        ),
        wrong(
            "You choose in wte by the position. It has a row for each token.",
            ('["wte.weight"], token)', '["wte.weight"], position)'),
        ),
        wrong(
            "You choose in wpe by the token. It has a row for each position.",
            ('["wpe.weight"], position)', '["wpe.weight"], token)'),
        ),
        wrong(
            "You put the rows one behind the other: 4 numbers in place of 2. They are added.",
            body='return pick(params["wte.weight"], token) + pick(params["wpe.weight"], position)',
        ),
        wrong(
            "You multiplied the rows. They are added: each table moves the vector by itself.",
            body="""
a, b = pick(params["wte.weight"], token), pick(params["wpe.weight"], position)
return [a_i * b_i for a_i, b_i in zip(a, b, strict=True)]
""",
        ),
        wrong("Both rows come from wte. The second one is wpe's.", ("wpe", "wte")),
        wrong("Both rows come from wpe. The first one is wte's.", ("wte", "wpe")),
        wrong("Your positions begin at 1. They are counted from 0, as rows are.", ("position))", "position + 1))")),
        wrong("Your tokens begin at 1. They are counted from 0, as rows are.", ("token)", "token + 1)")),
        wrong(
            "You took column 1 of wte. A token has a row: `pick(table, token)`.",
            ('pick(params["wte.weight"], token)', '[pick(row, token) for row in params["wte.weight"]]'),
        ),
        wrong(
            "`table[i]` takes -1 for the last row. A token of -1 is a mistake somewhere else, and `pick` says so.",
            ('pick(params["wte.weight"], token)', 'params["wte.weight"][token]'),
            ('pick(params["wpe.weight"], position)', 'params["wpe.weight"][position]'),
        ),
    ),
    hints=(
        "Two tables, two indices: which chooses where?",
        "x = wte[token] + wpe[position]",
        '`return add(pick(params["wte.weight"], token), pick(...))`',
    ),
    good_for="From here on the model sees no characters any more, only vectors: the head at the end turns them back.",
    questions=(
        Question(
            "size of a table",
            "27 characters, n_embd = 32. How many numbers has wte?",
            ("864",),
            "It has 27 rows of 32.",
            (("59", "A table has rows times columns."),),
        ),
    ),
)

ONE = {
    "a.c_attn.weight": [[1.0, 2.0, 3.0]], "a.c_attn.bias": [0.0, 0.0, 0.0],
    "a.c_proj.weight": [[10.0]], "a.c_proj.bias": [0.5],
}  # fmt: skip
TWO = {**linear_map("a.c_attn", 2, 6, 11), **linear_map("a.c_proj", 2, 2, 13)}
FOUR = {**linear_map("a.c_attn", 4, 12, 15), **linear_map("a.c_proj", 4, 4, 17)}
NEW = "cache = Cache([], [])"
HEADS = Exercise(
    name="heads",
    part=PART,
    file="gpt.py",
    writes=("self_attention",),
    reading="""
Each position makes its own query, key and value from its vector x: one
linear map, c_attn, makes all three, one behind the other.

    qkv = linear(x, c_attn)    [3n]: n for the query, n for the key, n for
                               the value, in this order

It puts its key and value into the cache, and then asks all that is there:
the earlier positions and itself. Later ones are not in it yet. This is
why no position can see the future ("causal"), and why writing a text is
cheap: what was computed once is kept.

One question at a time is not much. So the n numbers are shared out among
n_head heads: head h has those from h*n/n_head on, of the query, of every
key and of every value. Each head attends for itself. The results, one
behind the other, are n numbers again; linear map c_proj mixes them.

`named(params, f"{name}.c_attn")` gives the weight and the bias of a map,
so `linear(x, *named(params, f"{name}.c_attn"))` applies it.
""",
    cases=(
        case(
            'self_attention(params, "a", x, 1, cache)',
            NEW,
            x=[2.0],
            params=ONE,
            why="It reads its own value, 2.0 * 3.0, and c_proj makes 10.0 * 6.0 + 0.5 of it.",
        ),
        case(
            '(self_attention(params, "a", x, 1, cache), cache.keys, cache.values)[1:]',
            NEW,
            x=[2.0],
            params=ONE,
            why="The cache then has its key, 2.0 * 2.0, and its value, 2.0 * 3.0.",
        ),
        case('[self_attention(params, "a", x, 1, cache) for x in xs]', NEW, xs=[[1.0], [2.0]], params=ONE),
        case('[self_attention(params, "a", x, 1, cache) for x in xs]', NEW, xs=numbers(18, 3, 2), params=TWO),
        case('[self_attention(params, "a", x, 2, cache) for x in xs]', NEW, xs=numbers(19, 3, 4), params=FOUR),
        case('[self_attention(params, "a", x, 4, cache) for x in xs]', NEW, xs=numbers(20, 2, 4), params=FOUR),
        case('[self_attention(params, "a", x, 2, cache) for x in xs]', NEW, xs=numbers(21, 2, 2), params=TWO),
    ),
    mistakes=(
        wrong(
            "The first third of qkv is the query, and the second the key. Yours are exchanged.",
            ("query, key, value =", "key, query, value ="),
        ),
        wrong(
            "The second third of qkv is the key, and the third the value. Yours are exchanged.",
            ("query, key, value =", "query, value, key ="),
        ),
        wrong(
            "Your key is not put into the cache. So there is nothing to ask: append it.",
            ("    cache.keys.append(key)\n", ""),
        ),
        wrong(
            "What you keep as keys are queries. A later position compares its query with your key.",
            ("cache.keys.append(key)", "cache.keys.append(query)"),
        ),
        wrong(
            "What you keep as values are keys. What a later position reads is the value.",
            ("cache.values.append(value)", "cache.values.append(key)"),
        ),
        wrong(
            "You ask yourself alone: the cache's earlier keys and values are not used.",
            ("[k[head] for k in cache.keys], [v[head] for v in cache.values]", "[key[head]], [value[head]]"),
        ),
        wrong(
            "You leave yourself out: a position reads from itself, too.",
            ("for k in cache.keys]", "for k in cache.keys[:-1] or cache.keys]"),
            ("for v in cache.values]", "for v in cache.values[:-1] or cache.values]"),
        ),
        wrong(
            "The last map is missing. c_proj mixes what the heads have read.",
            ('linear(heads, *named(params, f"{name}.c_proj"))', "heads"),
        ),
        wrong(
            "Every head asks with the whole vector, as if there were one. Each has its own share of n / n_head.",
            body="""
n = len(x)
qkv = linear(x, *named(params, f"{name}.c_attn"))
query, key, value = qkv[:n], qkv[n : 2 * n], qkv[2 * n :]
cache.keys.append(key)
cache.values.append(value)
return linear(attention(query, cache.keys, cache.values), *named(params, f"{name}.c_proj"))
""",
        ),
        wrong(
            "All heads have the first share. Head h begins at h * n // n_head.",
            ("slice(h * n // n_head, (h + 1) * n // n_head)", "slice(0, n // n_head)"),
        ),
        wrong(
            "Your heads take every n_head-th number. A head's numbers lie side by side.",
            ("slice(h * n // n_head, (h + 1) * n // n_head)", "slice(h, n, n_head)"),
        ),
        wrong("The heads stand in reverse order. Head 0 comes first.", ("range(n_head)", "reversed(range(n_head))")),
        wrong(
            "The shares have n_head numbers each, not n / n_head.",
            ("slice(h * n // n_head, (h + 1) * n // n_head)", "slice(h * n_head, (h + 1) * n_head)"),
        ),
        wrong(
            "You attend to x as it is, in place of a value made by c_attn.",
            ("cache.values.append(value)", "cache.values.append(x)"),
        ),
        wrong(
            "The values of the cache are read in reverse order, so the weights belong to other positions.",
            ("for v in cache.values]", "for v in cache.values[::-1]]"),
        ),
        wrong(
            "`append` makes a list of lists, one for each head. `heads += ...` puts the numbers one behind the other.",
            (
                "heads += attention(query[head], [k[head] for k in cache.keys], [v[head] for v in cache.values])",
                "heads.append(attention(query[head], [k[head] for k in cache.keys], [v[head] for v in cache.values]))",
            ),
        ),
        wrong(
            "c_proj's bias is missing: {got}, where {expected} is right.",
            (
                'linear(heads, *named(params, f"{name}.c_proj"))',
                'linear(heads, params[f"{name}.c_proj.weight"], [0 * b for b in params[f"{name}.c_proj.bias"]])',
            ),
        ),
    ),
    hints=(
        "Which four things happen: make three vectors, keep two, ask in heads, mix. What does each head get?",
        "query, key, value = qkv[:n], qkv[n:2n], qkv[2n:]; head h has the numbers h*n//n_head to (h+1)*n//n_head - 1",
        "In the loop: `head = slice(h * n // n_head, (h + 1) * n // n_head)`, and `heads += attention(query[head], "
        "[k[head] for k in cache.keys], ...)`.",
    ),
    good_for="Nothing masks the future here: what lies ahead has not been computed yet.",
    questions=(
        Question(
            "causal",
            "At position 2 (counted from 0), how many keys are in the cache when it asks?",
            ("3", "three"),
            "Those of positions 0 and 1, and its own.",
            (("2", "It reads from itself, too."), ("1", "The earlier ones are kept.")),
        ),
        Question(
            "heads",
            "n_embd is 32, with 4 heads. How many numbers has the query of one head?",
            ("8", "eight"),
            "32 / 4: the heads share the numbers.",
            (("32", "That is all heads together."), ("4", "That is the number of heads.")),
        ),
    ),
)

SMALLEST = {
    "m.c_fc.weight": [[1.0, -1.0, 2.0, 0.5]], "m.c_fc.bias": [0.0, 0.0, -1.0, 0.0],
    "m.c_proj.weight": [[1.0], [2.0], [3.0], [4.0]], "m.c_proj.bias": [0.5],
}  # fmt: skip
PERCEPTRON = {**linear_map("m.c_fc", 2, 8, 22), **linear_map("m.c_proj", 8, 2, 24)}
MLP = Exercise(
    name="mlp",
    part=PART,
    file="gpt.py",
    writes=("mlp",),
    reading="""
Attention gathers; now each position thinks about what it has, alone. It is
the network of part 2, with one hidden layer:

    c_fc     a linear map from n to 4n numbers   (fc: fully connected)
    gelu     of each of them
    c_proj   a linear map from 4n back to n

Without gelu the two maps would be one: a linear map of a linear map is
linear. With it each hidden number can ask a yes-or-no question about x.
Two thirds of a block's parameters are in these maps.

`linear(x, *named(params, f"{name}.c_fc"))` applies the first.
""",
    cases=(
        case(
            'mlp(params, "m", x)',
            x=[1.0],
            params=SMALLEST,
            why="c_fc gives [1.0, -1.0, 1.0, 0.5]; gelu makes [0.8412, -0.1588, 0.8412, 0.3457] of it.",
        ),
        case('mlp(params, "m", x)', x=[-2.0], params=SMALLEST),
        case('mlp(params, "m", x)', x=[0.0], params=SMALLEST),
        case('mlp(params, "m", x)', x=numbers(26, 2), params=PERCEPTRON),
        case('mlp(params, "m", x)', x=numbers(27, 2), params=PERCEPTRON),
    ),
    mistakes=(
        wrong("gelu is missing, so your two maps are one linear map.", ("[gelu(h) for h in", "[h for h in")),
        wrong(
            "gelu comes after the second map. It belongs between both.",
            body="""
hidden = linear(x, *named(params, f"{name}.c_fc"))
return [gelu(h) for h in linear(hidden, *named(params, f"{name}.c_proj"))]
""",
        ),
        wrong(
            "gelu is applied to the result, too. What goes into the residual stream may be negative.",
            (
                'return linear(hidden, *named(params, f"{name}.c_proj"))',
                'return [gelu(h) for h in linear(hidden, *named(params, f"{name}.c_proj"))]',
            ),
        ),
        wrong(
            "gelu is applied to x, before the first map. It belongs between both.",
            ("[gelu(h) for h in linear(x,", "[h for h in linear([gelu(x_i) for x_i in x],"),
        ),
        wrong("You let each number through gelu twice.", ("gelu(h)", "gelu(gelu(h))")),
        wrong("You use a relu, x if x > 0. GPT-2 has gelu, which is smooth.", ("gelu(h)", "h * (h > 0)")),
        wrong(
            "x is added already. The residual is the block's part: here only what is found is returned.",
            (
                'return linear(hidden, *named(params, f"{name}.c_proj"))',
                'return add(x, linear(hidden, *named(params, f"{name}.c_proj")))',
            ),
        ),
        wrong(
            "You return the hidden numbers, four times as many. c_proj brings them back.",
            ('linear(hidden, *named(params, f"{name}.c_proj"))', "hidden"),
        ),
        wrong(
            "The maps have changed places: c_fc comes first.",
            ("c_fc", "c_PROJ"),
            ("c_proj", "c_fc"),
            ("c_PROJ", "c_proj"),
        ),
        wrong(
            "The bias of c_fc is missing.",
            (
                'linear(x, *named(params, f"{name}.c_fc"))',
                'linear(x, params[f"{name}.c_fc.weight"], [0 * b for b in params[f"{name}.c_fc.bias"]])',
            ),
        ),
        wrong(
            "The bias of c_proj is missing.",
            (
                'linear(hidden, *named(params, f"{name}.c_proj"))',
                'linear(hidden, params[f"{name}.c_proj.weight"], [0 * b for b in params[f"{name}.c_proj.bias"]])',
            ),
        ),
        wrong("You apply gelu to the sign-changed numbers: h, not -h.", ("gelu(h)", "gelu(-h)")),
        wrong(
            "Only the first hidden number is kept for all. Each has its own h.",
            ("return linear(hidden,", "return linear([hidden[0] for _ in hidden],"),
        ),
    ),
    hints=(
        "Three steps: out to four times the width, gelu, and back. Which of them work on one number at a time?",
        "mlp(x) = c_proj(gelu(c_fc(x)))",
        '`hidden = [gelu(h) for h in linear(x, *named(params, f"{name}.c_fc"))]`, then c_proj of hidden.',
    ),
    good_for="Here a GPT keeps most of what it has learned by heart.",
    questions=(
        Question(
            "width",
            "n_embd is 32. How many hidden numbers has the MLP?",
            ("128",),
            "Four times as many, as in GPT-2.",
            (("32", "That is what goes in and what comes out."),),
        ),
    ),
)

PARAMS_OF_BLOCK = block_of("h.0", 3, 30)
RUN_BLOCK = '[block(params, "h.0", x, {}, cache) for x in xs]'
BLOCK = Exercise(
    name="block",
    part=PART,
    file="gpt.py",
    writes=("block",),
    reading="""
A block is one layer of a GPT: first read from the past, then think. Each
part gets a layer norm of x, and adds its result to x as it was:

    x = x + attention(layer_norm_1(x))
    x = x + mlp(layer_norm_2(x))

The norm stands inside, before the part ("pre-norm"). So the residual
stream itself is never squeezed, and the gradient runs back along it. The
first transformers had it behind the sum, and needed a careful warm-up.

The names of the parameters begin with the block's own:

    layer_norm(x, *named(params, f"{name}.ln_1"))    and ln_2
    self_attention(params, f"{name}.attn", ..., n_head, cache)
    mlp(params, f"{name}.mlp", ...)
""",
    cases=(
        case(RUN_BLOCK.format(1), NEW, xs=[[1.0, 3.0, -2.0]], params=PARAMS_OF_BLOCK),
        case(RUN_BLOCK.format(1), NEW, xs=numbers(40, 3, 3), params=PARAMS_OF_BLOCK),
        case(RUN_BLOCK.format(3), NEW, xs=numbers(41, 2, 3), params=PARAMS_OF_BLOCK),
        case("(block(params, 'h.0', x, 1, cache), cache.keys)[1]", NEW, x=[1.0, 3.0, -2.0], params=PARAMS_OF_BLOCK),
    ),
    mistakes=(
        wrong(
            "The first residual is missing: what attention found replaces x.",
            ("x = add(x, self_attention(", "x = add([0 * x_i for x_i in x], self_attention("),
        ),
        wrong(
            "The second residual is missing: what the MLP found replaces x.",
            ("return add(x, mlp(", "return add([0 * x_i for x_i in x], mlp("),
        ),
        wrong(
            "Your layer norms come after the sums (post-norm). Here each part gets the norm, and x stays as it is.",
            body="""
x = layer_norm(add(x, self_attention(params, f"{name}.attn", x, n_head, cache)), *named(params, f"{name}.ln_1"))
return layer_norm(add(x, mlp(params, f"{name}.mlp", x)), *named(params, f"{name}.ln_2"))
""",
        ),
        wrong("ln_1 is missing: attention gets x as it is.", ('layer_norm(x, *named(params, f"{name}.ln_1"))', "x")),
        wrong("ln_2 is missing: the MLP gets x as it is.", ('layer_norm(x, *named(params, f"{name}.ln_2"))', "x")),
        wrong("ln_1 is used twice. The second norm has a gain and a bias of its own, ln_2.", ("ln_2", "ln_1")),
        wrong("ln_2 is used twice. The first norm has a gain and a bias of its own, ln_1.", ("ln_1", "ln_2")),
        wrong("ln_1 and ln_2 have changed places.", ("ln_1", "ln_X"), ("ln_2", "ln_1"), ("ln_X", "ln_2")),
        wrong(
            "The MLP gets the x from before attention, so it cannot think about what was read.",
            body="""
read = self_attention(params, f"{name}.attn", layer_norm(x, *named(params, f"{name}.ln_1")), n_head, cache)
return add(add(x, read), mlp(params, f"{name}.mlp", layer_norm(x, *named(params, f"{name}.ln_2"))))
""",
        ),
        wrong(
            "The MLP comes first. First read, then think about it.",
            body="""
x = add(x, mlp(params, f"{name}.mlp", layer_norm(x, *named(params, f"{name}.ln_2"))))
return add(x, self_attention(params, f"{name}.attn", layer_norm(x, *named(params, f"{name}.ln_1")), n_head, cache))
""",
        ),
        wrong(
            "There is only attention. The MLP, with ln_2, is missing.",
            ('return add(x, mlp(params, f"{name}.mlp", layer_norm(x, *named(params, f"{name}.ln_2"))))', "return x"),
        ),
        wrong(
            "There is only the MLP. Attention, with ln_1, is missing: no position hears of another.",
            body='return add(x, mlp(params, f"{name}.mlp", layer_norm(x, *named(params, f"{name}.ln_2"))))',
        ),
        wrong(
            "You add to the norm of x, not to x. The residual stream must pass as it is.",
            body="""
x = layer_norm(x, *named(params, f"{name}.ln_1"))
x = add(x, self_attention(params, f"{name}.attn", x, n_head, cache))
x = layer_norm(x, *named(params, f"{name}.ln_2"))
return add(x, mlp(params, f"{name}.mlp", x))
""",
        ),
        wrong("There is always one head for you. Pass n_head on.", ("n_head, cache", "1, cache")),
    ),
    hints=(
        "Two lines, both of the form x = x + part(norm(x)). Which norm and which name has each?",
        "x = x + attention(ln_1(x)); x = x + mlp(ln_2(x))",
        '`x = add(x, self_attention(params, f"{name}.attn", layer_norm(x, *named(params, f"{name}.ln_1")), n_head, '
        "cache))`, and the same with mlp.",
    ),
    good_for="A GPT is this block, again and again: GPT-2 has 12 to 48 of them.",
    questions=(
        Question(
            "post-norm",
            "Which number does a layer norm make of the variance of a vector (before gain and bias)?",
            ("1", "one"),
            "Mean 0 and variance 1: whatever the stream has become, each part gets numbers of usual size.",
            (("0", "That is the mean."),),
        ),
    ),
)

LAYERS = "config = GPTConfig(3, 3, 3, {}, {})\ncache = empty_cache(config)"
WHOLE = Exercise(
    name="gpt",
    part=PART,
    file="gpt.py",
    writes=("gpt",),
    reading="""
All parts are there. For one token at one position:

    embed it                     x      [n_embd]
    go through all blocks        x      [n_embd]
    a last layer norm, "ln_f"    x      [n_embd]
    compare with each token      logits [vocab_size]

Block number `layer` has parameters that begin with f"h.{layer}", and its
own part of the cache, cache[layer]; what one block returns, the next gets.

The head has no table of its own: the logit of a token is the dot product
of x with the token's row of wte ("tied"). A large one says: x looks like
what comes before that token. So wte learns twice, as input and as output.

config.n_layer is the number of blocks, config.n_head that of heads.
""",
    cases=(
        case("gpt(params, config, 1, 0, cache)", LAYERS.format(0, 1), params=model_of(0)),
        case("gpt(params, config, 1, 0, cache)", LAYERS.format(1, 1), params=model_of(1)),
        case(
            "[gpt(params, config, token, i, cache) for i, token in enumerate([2, 0, 1])]",
            LAYERS.format(1, 3),
            params=model_of(1),
        ),
        case(
            "[gpt(params, config, token, i, cache) for i, token in enumerate([0, 2])]",
            LAYERS.format(2, 1),
            params=model_of(2),
        ),
    ),
    mistakes=(
        wrong(
            "The last layer norm, ln_f, is missing.",
            ('    x = layer_norm(x, *named(params, "ln_f"))  # [n_embd]\n', ""),
        ),
        wrong(
            "Only the first block is used. There are config.n_layer of them.",
            ("range(config.n_layer)", "range(min(config.n_layer, 1))"),
        ),
        wrong(
            "All blocks use the parameters of block 0. The name of a block has its number in it.",
            ('f"h.{layer}"', '"h.0"'),
        ),
        wrong(
            "All blocks share the cache of block 0, so each one finds the keys of others.", ("cache[layer]", "cache[0]")
        ),
        wrong(
            "You compare with the positions' table, wpe. The head is tied to wte.",
            ('row in params["wte.weight"]', 'row in params["wpe.weight"]'),
        ),
        wrong(
            "You return probabilities. Logits are wanted: cross_entropy makes its own softmax.",
            (
                'return [dot(x, row) for row in params["wte.weight"]]',
                "from microgpt.functions import softmax\n\n    "
                'return softmax([dot(x, row) for row in params["wte.weight"]])',
            ),
        ),
        wrong("The blocks run in reverse order.", ("range(config.n_layer)", "reversed(range(config.n_layer))")),
        wrong(
            "x goes from the embedding straight to the head. Is there a loop with `x = block(...)` in it?",
            ("x = block(params,", "_ = block(params,"),
        ),
        wrong(
            "Your position is off by one: position 0 has row 0.",
            ("embedding(params, token, position)", "embedding(params, token, position - 1 if position else 0)"),
        ),
        wrong("Every position gets row 0 of wpe. Pass the position on.", ("token, position)", "token, 0)")),
        wrong(
            "You return x, {got}: the head is missing, which makes a number for each token.",
            ('return [dot(x, row) for row in params["wte.weight"]]', "return x"),
        ),
        wrong(
            "ln_f is applied after each block. It stands once, at the end.",
            ("n_head, cache[layer])", 'n_head, cache[layer])\n        x = layer_norm(x, *named(params, "ln_f"))'),
        ),
        wrong("There is always one head for you. Pass config.n_head on.", ("config.n_head", "1")),
        wrong(
            "The last block is left out: range(n) ends at n - 1 already.",
            ("range(config.n_layer)", "range(config.n_layer - 1)"),
        ),
    ),
    hints=(
        "Four lines and a loop. What does each block need to find its parameters and its memory?",
        "logit_t = ln_f(block_n(...block_1(embedding))) . wte_t, for each token t",
        '`x = block(params, f"h.{layer}", x, config.n_head, cache[layer])` in the loop; then `[dot(x, row) for row '
        'in params["wte.weight"]]`.',
    ),
    good_for="This function is the whole GPT-2: training and writing are the same ten lines.",
    questions=(
        Question(
            "logits",
            "How many logits does the model give at one position, with 27 characters?",
            ("27",),
            "One for each character that may come next.",
            (("1", "It gives one for each character."), ("32", "That is the width of x.")),
        ),
    ),
)

CONFIG = "config = GPTConfig(3, 3, 3, {}, 1)"
LOSS = Exercise(
    name="loss",
    part=PART,
    file="gpt.py",
    writes=("loss",),
    reading="""
How good is the model? At each position it names a number for each token;
cross_entropy says how surprised it is by the one that really comes next.

    tokens    [t + 1]    the text; a text of t + 1 has t predictions
    weights   [t]        how much each prediction counts

    position 0 sees tokens[0], and tokens[1] is right
    position 1 sees tokens[1] (and remembers tokens[0]); tokens[2] is right
    ...

The loss is the sum of weight * surprise. The weights are usually 1 / t,
so that it is a mean; and 0 where a short text was filled up.

Begin with one empty_cache(config), which all positions share. Then
gpt(params, config, tokens[position], position, cache) gives the logits.
""",
    cases=(
        case("loss(params, [1, 2], weights, config)", CONFIG.format(0), weights=[1.0], params=model_of(0)),
        case("loss(params, [1, 2], weights, config)", CONFIG.format(0), weights=[0.25], params=model_of(0)),
        case("loss(params, [0, 2, 1], weights, config)", CONFIG.format(0), weights=[0.5, 1.5], params=model_of(0)),
        case(
            "loss(params, [0, 2, 2, 1], weights, config)", CONFIG.format(1), weights=[0.5, 1.0, 2.0], params=model_of(1)
        ),
        case("loss(params, [0, 1, 0], weights, config)", CONFIG.format(1), weights=[0.5, 0.0], params=model_of(1)),
    ),
    mistakes=(
        wrong(
            "Your target is the token that the model sees, so it learns to repeat it: labels off by one. The target "
            "is tokens[position + 1].",
            ("tokens[position + 1]", "tokens[position]"),
        ),
        wrong(
            "The model is shown the token that it is to predict: a leak. It sees tokens[position].",
            ("config, tokens[position], position", "config, tokens[position + 1], position"),
        ),
        wrong(
            "Each position gets a new cache, and remembers nothing. Make one before the loop.",
            ("logits = gpt(params,", "cache = empty_cache(config)\n        logits = gpt(params,"),
        ),
        wrong(
            "Every token stands at position 0 for you. Pass the position on.",
            ("tokens[position], position, cache", "tokens[position], 0, cache"),
        ),
        wrong(
            "The weights are not used: each surprise counts weight times.", ("weight * cross_entropy", "cross_entropy")
        ),
        wrong(
            "You divide by the number of predictions, too. The weights do that already.",
            ("return total", "return total * (1 / len(weights))"),
        ),
        wrong("Only the last prediction counts: each one replaces the sum. Write `+=`.", ("total +=", "total =")),
        wrong("The sign is wrong: training would make the surprise as large as it can.", ("total +=", "total -=")),
        wrong("You multiply with the position, not with its weight.", ("total += weight *", "total += position *")),
        wrong("Your sum begins at 1. It begins at 0.", ("total = 0", "total = 1")),
        wrong(
            "You return after the first prediction: the last line stands too far to the right.",
            ("    return total", "        return total"),
        ),
        wrong(
            "You take the logit itself, not the surprise: let it go through cross_entropy.",
            ("cross_entropy(logits, tokens[position + 1])", "logits[tokens[position + 1]]"),
        ),
        wrong(
            "You return a list of surprises. The loss is one number, their weighted sum.",
            body="""
cache = empty_cache(config)
found = []
for position, weight in enumerate(weights):
    logits = gpt(params, config, tokens[position], position, cache)
    found.append(weight * cross_entropy(logits, tokens[position + 1]))
return found
""",
        ),
        wrong(
            "The weights have run the other way round: weights[0] belongs to position 0.",
            ("enumerate(weights)", "enumerate(weights[::-1])"),
        ),
    ),
    hints=(
        "What must be there before the loop, what in each turn, and what after it?",
        "loss = sum over i of weights_i * cross_entropy(gpt(tokens_i), tokens_(i+1))",
        "`for position, weight in enumerate(weights):`, and in it `total += weight * cross_entropy(logits, ...)`.",
    ),
    good_for="One number that says how good the model is: now its gradient says how to make it better.",
    questions=(
        Question(
            "predictions",
            "A text has 8 tokens. How many predictions does it give?",
            ("7", "seven"),
            "The last token is predicted, but nothing after it.",
            (("8", "What would the last one predict?"), ("9", "There are fewer than tokens.")),
        ),
        Question(
            "guessing",
            "A model guesses among 27 characters, all with 1/27. What is its loss, in nats?",
            ("3.296", "log(27)", "ln(27)", "log 27"),
            "-log(1/27) is log(27). A loss that stays there has learned nothing.",
            (("0.037", "That is the probability. The surprise is its negative logarithm."),),
        ),
    ),
)

SAME = Exercise(
    name="transformers",
    part=PART,
    file="gpt.py",
    writes=("gpt",),
    reading="""
Your GPT is complete. Is it a GPT-2, the one of the paper? A model of random
numbers, with 2 layers, 2 heads and width 8, reads eight tokens. Its logits
are compared with those that the library transformers computes, on the same
parameters: live, if PyTorch and transformers are installed, and with
stored ones if they are not.
""",
    cases=(
        case(
            "[gpt(params, config, token, i, cache) for i, token in enumerate([0, 2, 1])]",
            LAYERS.format(2, 3),
            params=model_of(2, 300),
        ),
        case(
            "loss(params, [2, 0, 0, 1], weights, config)",
            "config = GPTConfig(3, 3, 3, 2, 3)",
            weights=[0.3, 0.3, 0.4],
            params=model_of(2, 500),
        ),
    ),
    mistakes=tuple(
        mistake
        for mistake in WHOLE.mistakes
        if not any(old.startswith(("    for layer", "x = block")) for old, _ in mistake.changes)
    )[:12],
    hints=(
        "Which exercise is no longer right? `python learn.py --list` says so.",
        "logits = wte . ln_f(blocks(wte[token] + wpe[position]))",
        "`python learn.py --reset gpt` begins with the last function again.",
    ),
    good_for="It is the same model: parameters that you train open in transformers, and the other way round.",
    trial=True,
    finish=same_logits,
    seconds=60.0,
)

EXERCISES = (ATTENTION, RESIDUAL, EMBED, HEADS, MLP, BLOCK, WHOLE, LOSS, SAME)
