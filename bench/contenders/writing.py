"""Texts written with a model that nobody has trained: by microgpt, and by numpy as one would write it by hand."""

from collections.abc import Callable

import numpy as np

from bench.measure import Step
from microgpt import Choice, GPTConfig, Model, initial_parameters, sample_many, stream
from microgpt.learning.cached_step import compiled_writing
from microgpt.learning.parameters import Arrays

KINDS = {"names": (GPTConfig(27, 16, 32, 1, 4), "lines"), "prose": (GPTConfig(65, 64, 64, 4, 4), "stream")}
LENGTH = 500  # characters of a text of prose


def model(kind: str) -> Model:
    """Return a model of the shape that train.py takes for names, or for prose."""
    config, documents = KINDS[kind]
    vocabulary = "\n" + "".join(chr(ord("0") + i) for i in range(config.vocab_size - 1))
    return Model(config, vocabulary, documents, initial_parameters(config, 0))


def microgpt(kind: str, count: int, threads: int) -> Step:
    """Return a step that writes so many texts. It returns them."""
    written_by, config = model(kind), KINDS[kind][0]
    compiled_writing(config, Choice(), 0 if kind == "names" else -1).threads = threads
    if count == 1:
        return lambda: ["".join(text for text, _ in stream(written_by, compiled=True, max_new_tokens=LENGTH))]
    return lambda: [text for text, _ in sample_many(written_by, count, max_new_tokens=LENGTH)]


def by_numpy(kind: str, count: int) -> Step:
    """Return a step that writes the same texts with numpy, all of them side by side."""
    (config, _), written_by = KINDS[kind], model(kind)
    parameters = {name: array.astype(np.float64) for name, array in written_by.parameters.items()}
    limit = config.n_positions if kind == "names" else LENGTH
    randoms = np.array([np.random.default_rng([0, i]).random(limit) for i in range(count)])

    def step() -> list[str]:
        texts: list[list[int]] = [[0] for _ in range(count)]
        writing = np.arange(count)  # those that have not ended
        windows = np.zeros((count, 1), int)
        read, forget = reader(parameters, config, count)
        place = 0
        for turn in range(limit):
            if windows.shape[1] > config.n_positions:
                windows, place = windows[:, -((config.n_positions + 1) // 2) :], 0
                read, forget = reader(parameters, config, len(writing))
            while place < windows.shape[1]:
                logits = read(windows[:, place], place)
                place += 1
            chances = np.exp(logits - logits.max(1, keepdims=True)).cumsum(1)
            chosen = (chances <= randoms[writing, turn, None] * chances[:, -1:]).sum(1)
            for i, token in zip(writing.tolist(), chosen.tolist(), strict=True):
                texts[i].append(token)
            windows = np.concatenate([windows, chosen[:, None]], 1)
            if kind == "names":
                going_on = chosen != 0
                writing, windows = writing[going_on], windows[going_on]
                forget(going_on)
            if not len(writing):
                break
        return ["".join(written_by.vocabulary[token] for token in text[1:]).rstrip("\n") for text in texts]

    return step


def reader(parameters: Arrays, config: GPTConfig, rows: int) -> tuple[Callable, Callable]:
    """Return a function that reads a character of each text, and one that keeps only some of the texts."""
    heads, size = config.n_head, config.n_embd // config.n_head
    keys, values = (np.zeros((config.n_layer, rows, heads, config.n_positions, size)) for _ in range(2))

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(1, keepdims=True)
        scale = (np.square(centred).mean(1, keepdims=True) + 1e-5) ** -0.5
        return centred * scale * parameters[f"{name}.weight"] + parameters[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"]

    def read(tokens: np.ndarray, place: int) -> np.ndarray:
        x = parameters["wte.weight"][tokens] + parameters["wpe.weight"][place]
        for layer in range(config.n_layer):
            name = f"h.{layer}"
            qkv = linear(norm(x, f"{name}.ln_1"), f"{name}.attn.c_attn").reshape(len(x), 3, heads, size)
            query, keys[layer, :, :, place], values[layer, :, :, place] = qkv[:, 0], qkv[:, 1], qkv[:, 2]
            scores = (keys[layer, :, :, : place + 1] @ query[..., None])[..., 0] * size**-0.5
            weights = np.exp(scores - scores.max(2, keepdims=True))
            weights /= weights.sum(2, keepdims=True)
            found = (weights[:, :, None] @ values[layer, :, :, : place + 1]).reshape(len(x), -1)
            x = x + linear(found, f"{name}.attn.c_proj")
            hidden = linear(norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc")
            hidden *= 0.5 * (1 + np.tanh((2 / np.pi) ** 0.5 * (hidden + 0.044715 * hidden**3)))
            x = x + linear(hidden, f"{name}.mlp.c_proj")
        return norm(x, "ln_f") @ parameters["wte.weight"].T

    def keep(some: np.ndarray) -> None:
        nonlocal keys, values
        if not some.all():
            keys, values = keys[:, some], values[:, some]

    return read, keep
