"""Step 3 of the compiler: nodes that are alike become one array instruction.

Nodes of the same level cannot depend on one another. Those that are also of the same kind are one instruction on
arrays. In goes a program of sums; out comes a short list of instructions, and a row of storage for every node.

Storage is a stack of rows, one for each node, as wide as there are examples in a block. The nodes of a group lie in
the order of their operands. So mostly the operands of neighbours are neighbours too, and a run of such nodes is one
operation on contiguous memory, however many rows it spans.
"""

from dataclasses import dataclass

import numpy as np

from microgpt.compiler.products import Product, find_products
from microgpt.compiler.record import ADD, CONSTANT, INPUT, KINDS, LARGEST, MUL, PARAMETER, PICK, POW
from microgpt.compiler.sums import ALONE, PAIR, SINGLE, WEIGHTED, Sums


@dataclass
class Terms:
    """The terms of n nodes, as kernels read them: `x` and `y` are storage rows, or numbers of parameters."""

    node: np.ndarray  # [terms], ascending: which of the nodes
    kind: np.ndarray  # SINGLE (x), PAIR (x·y), WEIGHTED (parameter x · row y) or ALONE (parameter x)
    x: np.ndarray
    y: np.ndarray
    coefficient: np.ndarray

    def of(self, nodes: np.ndarray, wanted: np.ndarray | None = None) -> "Terms":
        """The terms of some of the nodes, in their order and renumbered; only the wanted ones, if that is given."""
        count = np.bincount(self.node, minlength=nodes.max() + 1)
        first = np.cumsum(count) - count
        node = np.repeat(np.arange(len(nodes)), count[nodes])
        within = np.arange(len(node)) - np.repeat(np.cumsum(count[nodes]) - count[nodes], count[nodes])
        place = first[nodes][node] + within
        if wanted is not None:
            node, place = node[wanted[place]], place[wanted[place]]
        return Terms(node, self.kind[place], self.x[place], self.y[place], self.coefficient[place])


@dataclass
class Runs:
    """The rows of an instruction, cut into runs that are made alike: row i of a run has operands i rows further on.

    `table` has a line for each run: first row, number of rows, first term, and how many terms there are of each of
    the four kinds, which follow one another in `operands` [terms, 2] and `coefficients` [terms].
    """

    table: np.ndarray
    constants: np.ndarray  # [runs], added to every row
    operands: np.ndarray
    coefficients: np.ndarray


@dataclass
class Instruction:
    """One array instruction: what it does and the rows that it makes."""

    operation: str  # "load", "sum", "product", "pow", "log", "exp", "pick parameter", "pick" or "largest"
    start: int  # its first row
    nodes: np.ndarray  # the rows of the record that it computes, in the order of storage
    runs: Runs | None = None  # of all but loads and picks; of a product, what is added to it
    product: Product | None = None
    exponent: float = 0.0  # of a power
    candidates: np.ndarray | None = None  # [size, count], of picks: rows, or parameters, to choose from
    integers: np.ndarray | None = None  # [size], of picks: which integer chooses


@dataclass
class Layout:
    """All instructions in order, and the storage row of every row of the record (-1 for those that have none)."""

    instructions: list[Instruction]
    row: np.ndarray
    size: int  # rows of storage

    def place(self, operation: str, nodes: np.ndarray) -> Instruction:
        """Append an instruction whose nodes take the next rows."""
        instruction = Instruction(operation, self.size, nodes)
        self.row[nodes] = np.arange(self.size, self.size + len(nodes))
        self.size += len(nodes)
        self.instructions.append(instruction)
        return instruction


def find_groups(program: Sums) -> Layout:
    """Group the nodes of a program and give each a row of storage, operands before what is made of them."""
    p = program
    inputs = np.flatnonzero(p.kind == INPUT)
    layout = Layout([], np.full(len(p.kind), -1, np.int32), len(inputs))
    layout.row[inputs] = p.left[inputs]
    leaves = np.flatnonzero(p.varying & ((p.kind == PARAMETER) | (p.kind == CONSTANT)))
    if len(leaves):
        layout.place("load", leaves)
    for nodes in alike(p):
        kind = p.kind[nodes[0]]
        if kind in (ADD, MUL):
            place_sums(p, layout, nodes)
        elif kind == PICK:
            place_picks(p, layout, nodes)
        elif kind == LARGEST:
            tables = [layout.row[p.tables[table]] for table in p.left[nodes]]
            place_operands("largest", layout, nodes, tables)
        else:
            ordered = nodes[np.argsort(layout.row[p.left[nodes]], kind="stable")]
            instruction = place_operands(KINDS[kind], layout, ordered, layout.row[p.left[ordered]][:, None])
            instruction.exponent = float(p.constants[p.right[nodes[0]]]) if kind == POW else 0.0
    return layout


def alike(p: Sums) -> list[np.ndarray]:
    """The kept nodes in groups of the same level, kind, exponent and kinds of terms, from the leaves upwards."""
    nodes = p.kept
    if not len(nodes):
        return []
    kind = np.where(p.kind[nodes] == MUL, ADD, p.kind[nodes]).astype(np.int64)  # both are sums now
    detail = np.zeros(len(nodes))
    power = kind == POW
    detail[power] = p.constants[p.right[nodes[power]]]
    sums = np.flatnonzero(kind == ADD)
    node, place = terms_of(p, nodes[sums])
    count = np.array([np.bincount(node, p.term[place] == c, len(sums)) for c in range(4)])
    # Sums of weighted activations are of the same kind if they are of the same length: candidates for a product.
    detail[sums] = ((count > 0) * [[1], [2], [4], [8]]).sum(axis=0) * 2.0**32 + count[WEIGHTED] * (count[PAIR] == 0)
    for i in np.flatnonzero(kind == PICK):
        detail[i] = len(p.tables[p.left[nodes[i]]]) * 2.0 + bool(p.regular[nodes[i]])
    order = np.lexsort((nodes, detail, kind, p.level[nodes]))
    keys = np.stack([p.level[nodes], kind, detail])[:, order]
    borders = np.flatnonzero((keys[:, 1:] != keys[:, :-1]).any(axis=0)) + 1
    return np.split(nodes[order], borders)


def terms_of(p: Sums, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All terms of some sums, one sum after the other: (which of the nodes, which term of the program)."""
    count = p.count[nodes]
    node = np.repeat(np.arange(len(nodes)), count)
    within = np.arange(len(node)) - np.repeat(np.cumsum(count) - count, count)
    return node, p.first[nodes][node] + within


def place_sums(p: Sums, layout: Layout, nodes: np.ndarray) -> None:
    """Place a group of sums: first those that make matrix products, then the rest in the order of their operands."""
    node, place = terms_of(p, nodes)
    order = np.lexsort((p.term[place], node))
    place = place[order]
    kind, a, b = p.term[place], p.a[place], p.b[place]
    x = np.where(kind >= WEIGHTED, p.left[a], layout.row[a])
    terms = Terms(node, kind, x, np.where(b >= 0, layout.row[b], 0), p.coefficient[place])
    left_over = np.ones(len(nodes), bool)
    weighted = kind == WEIGHTED
    if weighted.any() and not (kind == PAIR).any():
        grids = (column[weighted].reshape(len(nodes), -1) for column in (terms.x, terms.y, terms.coefficient))
        for product in find_products(*grids):
            members = product.nodes.ravel()
            left_over[members] = False
            instruction = layout.place("product", nodes[members])
            instruction.product = product
            instruction.runs = find_runs(
                instruction.start, p.constant[nodes[members]], terms.of(members, kind != WEIGHTED)
            )
    members = np.flatnonzero(left_over)
    if len(members):
        members = members[operand_order(terms.of(members))]
        instruction = layout.place("sum", nodes[members])
        instruction.runs = find_runs(instruction.start, p.constant[nodes[members]], terms.of(members))


def operand_order(terms: Terms) -> np.ndarray:
    """The order of the nodes by their operands: by the one that differs most from node to node, then by the others."""
    first = np.flatnonzero(np.diff(terms.node, prepend=-1))
    columns = []
    for offset in range(int(np.diff(np.append(first, len(terms.node))).min())):
        place = first + offset
        columns += [np.where(terms.kind[place] < WEIGHTED, terms.x[place], -1)]
        columns += [np.where((terms.kind[place] == PAIR) | (terms.kind[place] == WEIGHTED), terms.y[place], -1)]
        if offset == 3:
            break
    distinct = [len(np.unique(column)) for column in columns]
    return np.lexsort([columns[i] for i in np.argsort(distinct, kind="stable")])


def place_operands(
    operation: str, layout: Layout, nodes: np.ndarray, operands: list[np.ndarray] | np.ndarray
) -> Instruction:
    """Place nodes that are a function of some rows each: a power of one, the largest of many."""
    instruction = layout.place(operation, nodes)
    count = [len(rows) for rows in operands]
    x = np.concatenate(list(operands))
    terms = Terms(np.repeat(np.arange(len(nodes)), count), np.zeros(len(x), np.int8), x, x * 0, np.ones(len(x)))
    instruction.runs = find_runs(instruction.start, np.zeros(len(nodes)), terms)
    return instruction


def place_picks(p: Sums, layout: Layout, nodes: np.ndarray) -> None:
    """Place choices by integers, of parameters or of rows, all among the same number of candidates."""
    tables = np.array([p.tables[table] for table in p.left[nodes]])
    of_parameters = bool(p.regular[nodes[0]])
    candidates = p.left[tables] if of_parameters else layout.row[tables]
    order = np.lexsort((p.right[nodes], candidates[:, 0]))
    instruction = layout.place("pick parameter" if of_parameters else "pick", nodes[order])
    instruction.candidates = candidates[order]
    instruction.integers = p.right[nodes[order]]


def find_runs(start: int, constants: np.ndarray, terms: Terms) -> Runs:
    """Cut n rows from `start` on into runs in which everything is the same but for operands one row further on."""
    n = len(constants)
    count = np.bincount(terms.node, minlength=n)
    like_previous = np.zeros(n, bool)
    like_previous[1:] = (count[1:] == count[:-1]) & (constants[1:] == constants[:-1])
    place = np.flatnonzero(like_previous[terms.node])
    previous = place - count[terms.node[place]]
    kind = terms.kind[place]
    differs = (kind != terms.kind[previous]) | (terms.coefficient[place] != terms.coefficient[previous])
    differs |= terms.x[place] - terms.x[previous] != (kind < WEIGHTED)
    differs |= terms.y[place] - terms.y[previous] != ((kind == PAIR) | (kind == WEIGHTED))
    like_previous[terms.node[place[differs]]] = False
    heads = np.flatnonzero(~like_previous)
    kept = terms.of(heads)
    table = np.zeros((len(heads), 7), np.int64)
    table[:, 0] = start + heads
    table[:, 1] = np.diff(np.append(heads, n))
    for c in (SINGLE, PAIR, WEIGHTED, ALONE):
        table[:, 3 + c] = np.bincount(kept.node, kept.kind == c, len(heads))
    table[:, 2] = np.cumsum(table[:, 3:].sum(axis=1)) - table[:, 3:].sum(axis=1)
    return Runs(table, constants[heads], np.stack([kept.x, kept.y], axis=1), kept.coefficient)
