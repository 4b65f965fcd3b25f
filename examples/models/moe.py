"""A GPT with a mixture of experts in place of each MLP (Shazeer et al. 2017), as in Mixtral (Jiang et al. 2024).

A layer has eight small MLPs, the experts. A router scores them at each position, the best two compute, and their scores
weigh the results. So most parameters rest at any one position, and the experts can learn different things. Here all
compute and a mask keeps two: the numbers are the same, only the time is not saved.

A router soon sends everything to the few experts that learned first. A second loss keeps all in use (Fedus et al. 2022,
equations 4 to 6). Validation leaves it out.
"""

from dataclasses import dataclass

import numpy as np

from microgpt import exp, pick
from microgpt.functions import Matrix, Scalar, Vector, cross_entropy, dot, layer_norm, softmax
from microgpt.gpt import Cache, Parameters, add, named, self_attention

BALANCE = 0.01  # how much the second loss counts


@dataclass(frozen=True)
class Config:
    vocab_size: int
    n_positions: int
    n_embd: int = 32  # numbers for each position
    n_layer: int = 1  # blocks of attention and experts
    n_head: int = 4  # attention heads a block
    n_hidden: int = 32  # numbers inside an expert
    n_expert: int = 8  # experts a block
    n_chosen: int = 2  # experts that count at a position

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ValueError("expected --n-embd a multiple of --n-head")


def initial_parameters(config: Config, random: np.random.Generator) -> dict[str, np.ndarray]:
    n, m, experts = config.n_embd, config.n_hidden, config.n_expert
    block = {
        "ln_1.weight": (n,), "attn.c_attn.weight": (n, 3 * n), "attn.c_proj.weight": (n, n), "ln_2.weight": (n,),
        "mlp.gate.weight": (experts, n), "mlp.experts.gate_up_proj": (experts, 2 * m, n),
        "mlp.experts.down_proj": (experts, n, m),
    }  # fmt: skip
    shapes = {"wte.weight": (config.vocab_size, n), "wpe.weight": (config.n_positions, n), "ln_f.weight": (n,)}
    shapes |= {f"h.{i}.{part}": block[part] for i in range(config.n_layer) for part in block}
    weights = {name: random.normal(0.0, 0.15, shape) if shape[1:] else np.ones(n) for name, shape in shapes.items()}
    biased = [name.removesuffix(".weight") for name in weights if "ln_" in name or "attn" in name]
    return weights | {f"{name}.bias": np.zeros(weights[f"{name}.weight"].shape[-1]) for name in biased}


@dataclass
class Memory:
    """What a layer remembers of the positions so far: for attention, and of the router for the second loss."""

    cache: Cache
    chances: Matrix  # [t, n_expert]: the probability of each expert
    masks: Matrix  # [t, n_expert]: 1 for those that were chosen


def empty_state(config: Config) -> list[Memory]:
    return [Memory(Cache([], []), [], []) for _ in range(config.n_layer)]


def project(x: Vector, weight: Matrix) -> Vector:  # [n], [m, n] -> [m]
    return [dot(x, row) for row in weight]


def silu(x: Scalar) -> Scalar:  # scalar -> scalar
    """Let positive numbers through and stop negative ones, smoothly."""
    return x * (1 + exp(-x)) ** -1


def expert(x: Vector, gate_up: Matrix, down: Matrix) -> Vector:  # [n_embd], [2 * n_hidden, n_embd], ... -> [n_embd]
    """A small MLP with a gate (SwiGLU: Shazeer 2020)."""
    both, n = project(x, gate_up), len(gate_up) // 2  # [2 * n_hidden]
    return project([silu(gate) * up for gate, up in zip(both[:n], both[n:], strict=True)], down)


def mixture(params: Parameters, name: str, x: Vector, config: Config, memory: Memory) -> Vector:  # [n_embd] -> same
    """The mean of the chosen experts, weighted by their chances."""
    chances = softmax(project(x, params[f"{name}.gate.weight"]))  # [n_expert]
    mask = [1.0 * (sum(other > chance for other in chances) < config.n_chosen) for chance in chances]
    memory.chances.append(chances)
    memory.masks.append(mask)
    scale = dot(chances, mask) ** -1
    weights = zip(params[f"{name}.experts.gate_up_proj"], params[f"{name}.experts.down_proj"], strict=True)
    results = [expert(x, gate_up, down) for gate_up, down in weights]  # [n_expert, n_embd]
    shares = [chance * m * scale for chance, m in zip(chances, mask, strict=True)]  # [n_expert], with sum 1
    return [dot(shares, column) for column in zip(*results, strict=True)]


def logits(params: Parameters, config: Config, token: int, position: int, state: list[Memory]) -> Vector:
    """The logits [vocab_size] for the token after `token`, as those of the GPT."""
    x = add(pick(params["wte.weight"], token), pick(params["wpe.weight"], position))  # [n_embd]
    for layer, memory in enumerate(state):
        name = f"h.{layer}"
        normed = layer_norm(x, *named(params, f"{name}.ln_1"))
        x = add(x, self_attention(params, f"{name}.attn", normed, config.n_head, memory.cache))
        x = add(x, mixture(params, f"{name}.mlp", layer_norm(x, *named(params, f"{name}.ln_2")), config, memory))
    x = layer_norm(x, *named(params, "ln_f"))
    return [dot(x, row) for row in params["wte.weight"]]


def loss(params: Parameters, tokens: list[int], weights: Vector, config: Config) -> Scalar:  # [t + 1], [t] -> scalar
    """The surprise of the GPT, and the imbalance of the experts: least where all are chosen alike."""
    state, total, whole = empty_state(config), 0, sum(weights)
    for position, weight in enumerate(weights):
        found = logits(params, config, tokens[position], position, state)
        total += weight * cross_entropy(found, tokens[position + 1])
    for memory in state:
        chances = [dot(weights, column) for column in zip(*memory.chances, strict=True)]  # [n_expert]
        chosen = [dot(weights, column) for column in zip(*memory.masks, strict=True)]
        total += BALANCE * config.n_expert * dot(chances, chosen) * whole**-1
    return total
