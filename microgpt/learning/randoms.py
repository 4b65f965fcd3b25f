"""The random numbers of many generators at once.

Each sample has its own: those that `np.random.default_rng([seed, index])` draws. Making so many generators takes longer
than writing names. So here numpy computes with one array for all of them what SeedSequence and PCG64 compute for one:
the hash of O'Neill's seed_seq_fe, and her generator PCG XSL RR 128/64.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

WORDS, LONGS = np.uint32, np.uint64
MULTIPLIER = LONGS(0x2360ED051FC65DA4), LONGS(0x4385DF649FCCF645)
Pair = tuple[np.ndarray, np.ndarray]  # the high and the low half of integers of 128 bits


def random_numbers(seed: int, indices: range, count: int) -> np.ndarray:  # -> [indices, count]
    """Return the first random numbers from 0 to 1 of each sample of a seed."""
    found = np.empty((len(indices), count))
    for column, integers in zip(found.T, _integers([seed], indices), strict=False):
        column[:] = (integers >> LONGS(11)) * 2.0**-53
    return found


def coins(seeds: Sequence[int], indices: range) -> np.ndarray:  # -> [indices]
    """Return what `np.random.default_rng([*seeds, index]).permutation(2)` has in its first place, for each index."""
    return next(_integers(seeds, indices)) & LONGS(1) ^ LONGS(1)


def _integers(seeds: Sequence[int], indices: range) -> Iterator[np.ndarray]:
    """Yield the random integers of 64 bits of PCG64(SeedSequence([*seeds, index])), one after the other, for each
    index.
    """
    with np.errstate(over="ignore"):  # all is meant modulo 2 ** 32, 2 ** 64 or 2 ** 128
        a, b, c, d = _longs(seeds, np.array(indices, WORDS))
        step = c << LONGS(1) | d >> LONGS(63), d << LONGS(1) | LONGS(1)
        state = _next(_plus(step, (a, b)), step)
    while True:
        with np.errstate(over="ignore"):
            state = _next(state, step)
            high, low = state
            mixed, turn = high ^ low, high >> LONGS(58)
            turned = mixed >> turn | mixed << (LONGS(64) - turn & LONGS(63))
        yield turned


def _longs(seeds: Sequence[int], indices: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the four long integers of SeedSequence([*seeds, index]), each for all indices."""
    entropy = [
        np.full(len(indices), seed >> shift & 0xFFFFFFFF, WORDS)
        for seed in seeds
        for shift in range(0, seed.bit_length() or 1, 32)
    ]
    hashed = _hash(0x43B0D7E5, 0x931E8875)
    entropy.append(indices)
    entropy += [np.zeros_like(indices)] * (4 - len(entropy))
    pool = [hashed(word) for word in entropy[:4]]
    for source in range(len(entropy)):
        for target in range(4):
            if source != target:
                word = hashed(pool[source] if source < 4 else entropy[source])
                mixed: np.ndarray = pool[target] * WORDS(0xCA01F9DD) - word * WORDS(0x4973F715)
                pool[target] = mixed ^ mixed >> WORDS(16)
    hashed = _hash(0x8B51F9DD, 0x58F38DED)
    halves = [hashed(word).astype(LONGS) for word in [*pool, *pool]]
    for low, high in zip(halves[::2], halves[1::2], strict=True):
        yield high << LONGS(32) | low


def _hash(constant: int, multiplier: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that hashes words, with another constant each time."""

    def hashed(words: np.ndarray) -> np.ndarray:
        nonlocal constant
        words = words ^ WORDS(constant)
        constant = constant * multiplier & 0xFFFFFFFF
        words = words * WORDS(constant)
        return words ^ words >> WORDS(16)

    return hashed


def _plus(a: Pair, b: Pair) -> Pair:
    low = a[1] + b[1]
    return a[0] + b[0] + (low < b[1]), low


def _next(state: Pair, step: Pair) -> Pair:
    """Return state * MULTIPLIER + step."""
    (high, low), (of_high, of_low) = state, MULTIPLIER
    half, mask = LONGS(32), LONGS(0xFFFFFFFF)
    a, b, c, d = low >> half, low & mask, of_low >> half, of_low & mask
    middle = a * d + (b * d >> half)
    carried = a * c + (middle >> half) + ((middle & mask) + b * c >> half)
    return _plus((high * of_low + low * of_high + carried, low * of_low), step)
