"""A state space model that selects what it remembers: Mamba (Gu and Dao 2023), a linear recurrence without attention.

The state of a layer is a table of numbers. Each position lets it fade by some factors, and adds something new: both
are linear. The text itself chooses them, which is the selection of the paper. So a character may pass by, or wipe out
what was before. A position costs the same however long the text is.

Names and layouts are those of Mamba's checkpoints. transformers opens a run directory as a MambaForCausalLM.
"""

from dataclasses import dataclass

import numpy as np

from microgpt import exp, log, pick
from microgpt.functions import Matrix, Scalar, Vector, dot
from microgpt.gpt import Parameters, add

EPSILON = 1e-5
KERNEL = 4  # positions that the convolution sees
FIXED = {"model_type": "mamba", "architectures": ["MambaForCausalLM"], "layer_norm_epsilon": EPSILON, "expand": 2}
FIXED |= {"conv_kernel": KERNEL, "hidden_act": "silu", "use_bias": False, "use_conv_bias": True}
NAMES = {"vocab_size": "vocab_size", "n_positions": "n_positions", "n_embd": "hidden_size"}
NAMES |= {"n_layer": "num_hidden_layers", "n_state": "state_size"}


@dataclass(frozen=True)
class Config:
    vocab_size: int
    n_positions: int
    n_embd: int = 32  # numbers for each position
    n_layer: int = 2  # layers
    n_state: int = 8  # numbers that each of the 2 * n_embd channels of a layer remembers


def initial_parameters(config: Config, random: np.random.Generator) -> dict[str, np.ndarray]:
    """As in the paper: a channel remembers at several speeds, and begins with steps of 0.001 to 0.1."""
    n, m, states, rank = config.n_embd, 2 * config.n_embd, config.n_state, -(-config.n_embd // 16)

    def weight(*shape: int) -> np.ndarray:
        return random.normal(0.0, shape[-1] ** -0.5, shape)

    params = {"backbone.embeddings.weight": 0.15 * random.normal(size=(config.vocab_size, n))}
    for layer in range(config.n_layer):
        steps = np.exp(random.uniform(np.log(0.001), np.log(0.1), m))
        block = {
            "mixer.A_log": np.log(np.tile(np.arange(1.0, states + 1), (m, 1))), "mixer.D": np.ones(m),
            "mixer.in_proj.weight": weight(2 * m, n), "mixer.out_proj.weight": weight(n, m),
            "mixer.conv1d.weight": weight(m, 1, KERNEL), "mixer.conv1d.bias": np.zeros(m),
            "mixer.x_proj.weight": weight(rank + 2 * states, m), "norm.weight": np.ones(n),
            "mixer.dt_proj.weight": weight(m, rank), "mixer.dt_proj.bias": np.log(np.expm1(steps)),
        }  # fmt: skip
        params |= {f"backbone.layers.{layer}.{part}": array for part, array in block.items()}
    return params | {"backbone.norm_f.weight": np.ones(n)}


@dataclass
class Memory:
    """What one layer remembers, for each of its channels."""

    recent: Matrix  # [2 * n_embd, KERNEL]: the last inputs
    states: Matrix  # [2 * n_embd, n_state]: all before, faded


def empty_state(config: Config) -> list[Memory]:
    channels = range(2 * config.n_embd)
    sizes = [(KERNEL, config.n_state)] * config.n_layer
    return [Memory([[0.0] * recent for _ in channels], [[0.0] * states for _ in channels]) for recent, states in sizes]


def project(x: Vector, weight: Matrix) -> Vector:  # [n], [m, n] -> [m]
    return [dot(x, row) for row in weight]


def rms_norm(x: Vector, gain: Vector) -> Vector:  # [n], [n] -> [n]
    """Bring a vector to mean square 1, then let the model choose a gain (Zhang and Sennrich 2019)."""
    scale = (dot(x, x) * (1 / len(x)) + EPSILON) ** -0.5
    return [x_i * scale * g for x_i, g in zip(x, gain, strict=True)]


def silu(x: Scalar) -> Scalar:  # scalar -> scalar
    return x * (1 + exp(-x)) ** -1


def softplus(x: Scalar) -> Scalar:  # scalar -> scalar
    return log(1 + exp(x))


def mixer(params: Parameters, name: str, x: Vector, memory: Memory) -> Vector:  # [n_embd] -> [n_embd]
    """One layer: take the new input into the memory, and read from it."""
    both, inner = project(x, params[f"{name}.in_proj.weight"]), 2 * len(x)  # [4 * n_embd]
    memory.recent = [[*row[1:], new] for row, new in zip(memory.recent, both[:inner], strict=True)]
    kernels, biases = params[f"{name}.conv1d.weight"], params[f"{name}.conv1d.bias"]
    x = [silu(dot(row, kernel[0]) + b) for row, kernel, b in zip(memory.recent, kernels, biases, strict=True)]
    selected = project(x, params[f"{name}.x_proj.weight"])  # [rank + 2 * n_state]
    n = len(memory.states[0])
    low, write, read = selected[: -2 * n], selected[-2 * n : -n], selected[-n:]  # B and C of the paper: write, read
    raw = project(low, params[f"{name}.dt_proj.weight"])  # [inner]
    steps = [softplus(r + b) for r, b in zip(raw, params[f"{name}.dt_proj.bias"], strict=True)]  # its delta
    memory.states = [
        [exp(-exp(a) * step) * state + step * w * x_i for a, state, w in zip(rates, row, write, strict=True)]
        for rates, row, step, x_i in zip(params[f"{name}.A_log"], memory.states, steps, x, strict=True)
    ]
    found = [dot(row, read) + d * x_i for row, d, x_i in zip(memory.states, params[f"{name}.D"], x, strict=True)]
    return project([f * silu(g) for f, g in zip(found, both[inner:], strict=True)], params[f"{name}.out_proj.weight"])


def logits(params: Parameters, config: Config, token: int, position: int, state: list[Memory]) -> Vector:
    x = pick(params["backbone.embeddings.weight"], token)  # [n_embd]
    for layer, memory in enumerate(state):
        name = f"backbone.layers.{layer}"
        x = add(x, mixer(params, f"{name}.mixer", rms_norm(x, params[f"{name}.norm.weight"]), memory))
    return project(rms_norm(x, params["backbone.norm_f.weight"]), params["backbone.embeddings.weight"])  # they are tied


def hugging_face(config: Config) -> dict:
    return FIXED | {theirs: getattr(config, ours) for ours, theirs in NAMES.items()}


def from_hugging_face(content: dict) -> Config:
    return Config(**{ours: content[theirs] for ours, theirs in NAMES.items()})
