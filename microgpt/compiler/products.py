"""Step 4 of the compiler: find the matrix products.

Nobody told the compiler about matrices. But when all nodes of a group are sums of K products parameter · activation,
each node has a row of K parameters and a column of K activations. Where the nodes are exactly all pairs of R such
rows and C such columns, the group is the matrix product [R, K] · [K, C]: R · C · K multiplications that share so
many operands that they can be done many times faster than one by one.
"""

from dataclasses import dataclass

import numpy as np

RANDOM = np.random.default_rng(0).integers(1, 2**63, 4099, np.uint64)  # odd or even, all the same: to tell rows apart


@dataclass
class Product:
    """Some nodes of a group as a matrix product: node (r, c) is the sum over k of parameters[r, k] · rows[k, c]."""

    nodes: np.ndarray  # [R, C], places in the group
    parameters: np.ndarray  # [R, K]
    operands: np.ndarray  # [K, C], storage rows
    coefficient: float  # of every product


def find_products(parameters: np.ndarray, operands: np.ndarray, coefficients: np.ndarray) -> list[Product]:
    """The matrix products in a group of n sums of K products each.

    Args:
        parameters: [n, K], the parameter of each product.
        operands: [n, K], the storage row of each product's other factor.
        coefficients: [n, K].

    Returns:
        Products with at least two rows and two terms. A node is in one of them at most; some may be in none.
    """
    n, k = parameters.shape
    if k < 2 or n < 2 or not (coefficients == coefficients[0, 0]).all():
        return []
    order = np.argsort(parameters, axis=1, kind="stable")
    parameters = np.take_along_axis(parameters, order, 1)
    operands = np.take_along_axis(operands, order, 1)
    row, row_first = distinct_rows(parameters)
    column, column_first = distinct_rows(operands)

    # Rows with the same set of columns belong together: find them by the sum of a random number for each column.
    pairs = row.astype(np.int64) * len(column_first) + column
    if len(np.unique(pairs)) != n:
        return []
    marks = np.random.default_rng(1).integers(1, 2**63, len(column_first), np.uint64)
    sums = np.zeros(len(row_first), np.uint64)
    np.add.at(sums, row, marks[column])
    labels, block = np.unique(sums, return_inverse=True)
    if len(labels) * 8 > n:  # many tiny products: better done one by one
        return []
    block = block[row]
    products = []
    for label in range(len(labels)):
        nodes = np.flatnonzero(block == label)
        rows, r = np.unique(row[nodes], return_inverse=True)
        columns, c = np.unique(column[nodes], return_inverse=True)
        if len(rows) < 2 or len(rows) * len(columns) != len(nodes):
            continue
        grid = np.empty((len(rows), len(columns)), np.int64)
        grid[r, c] = nodes
        products.append(
            Product(grid, parameters[row_first[rows]], operands[column_first[columns]].T.copy(), coefficients[0, 0])
        )
    return products


def distinct_rows(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct rows of a matrix in order of appearance: (the number of each row, where each first is)."""
    k = matrix.shape[1]
    weights = np.resize(RANDOM, k) * (np.arange(k, dtype=np.uint64) * np.uint64(2) + np.uint64(1))
    hashes = (matrix.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
    _, first, number = np.unique(hashes, return_index=True, return_inverse=True)
    if not (matrix == matrix[first[number]]).all():  # a collision of hashes: compare the rows themselves
        _, first, number = np.unique(matrix, axis=0, return_index=True, return_inverse=True)
    appearance = np.argsort(first, kind="stable")
    rank = np.empty_like(appearance)
    rank[appearance] = np.arange(len(appearance))
    return rank[number.ravel()], first[appearance]
