"""Llama (Touvron et al. 2023): what became of GPT-2 in four years.

The norm keeps the mean (RMSNorm: Zhang and Sennrich 2019), positions turn queries and keys (Su et al. 2021), the MLP
has a gate (SwiGLU: Shazeer 2020), and several queries share keys and values (Ainslie et al. 2023). No map has a bias,
and the head is not the embedding. Names and layouts are those of Llama's checkpoints, in which row j of a weight makes
output j. So transformers opens a run directory as a LlamaForCausalLM.
"""

from dataclasses import dataclass
from math import cos, sin

import numpy as np

from microgpt import exp, pick
from microgpt.functions import Matrix, Scalar, Vector, attention, dot
from microgpt.gpt import Cache, Parameters, add

EPSILON, BASE = 1e-5, 10_000.0  # of the norm, and of the angles of positions
ROPE = {"rope_theta": BASE, "rope_type": "default"}
FIXED = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "rms_norm_eps": EPSILON,
    "rope_parameters": ROPE, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False,
}  # fmt: skip
NAMES = dict(
    vocab_size="vocab_size", n_positions="max_position_embeddings", n_embd="hidden_size", n_layer="num_hidden_layers",
    n_head="num_attention_heads", n_kv_head="num_key_value_heads", n_hidden="intermediate_size",
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    vocab_size: int
    n_positions: int
    n_embd: int = 32  # numbers for each position; a multiple of twice --n-head
    n_layer: int = 1  # blocks of attention and MLP, one after the other
    n_head: int = 4  # attention heads a block
    n_kv_head: int = 2  # keys and values a block, which the heads share; a divisor of --n-head
    n_hidden: int = 88  # numbers inside the MLP

    def __post_init__(self) -> None:
        if self.n_embd % (2 * self.n_head) or self.n_head % self.n_kv_head:
            raise ValueError("expected --n-embd a multiple of twice --n-head, and --n-head one of --n-kv-head")


def initial_parameters(config: Config, random: np.random.Generator) -> dict[str, np.ndarray]:
    n, m, shared = config.n_embd, config.n_hidden, config.n_embd // config.n_head * config.n_kv_head
    block = {
        "input_layernorm": (n,), "self_attn.q_proj": (n, n), "self_attn.k_proj": (shared, n),
        "self_attn.v_proj": (shared, n), "self_attn.o_proj": (n, n), "post_attention_layernorm": (n,),
        "mlp.gate_proj": (m, n), "mlp.up_proj": (m, n), "mlp.down_proj": (n, m),
    }  # fmt: skip
    shapes = {f"model.layers.{i}.{part}.weight": block[part] for i in range(config.n_layer) for part in block}
    tables = {f"{table}.weight": (config.vocab_size, n) for table in ("model.embed_tokens", "lm_head")}
    shapes |= {"model.norm.weight": (n,), **tables}
    return {name: random.normal(0.0, 0.15, shape) if shape[1:] else np.ones(n) for name, shape in shapes.items()}


def empty_state(config: Config) -> list[Cache]:
    return [Cache([], []) for _ in range(config.n_layer)]


def project(x: Vector, weight: Matrix) -> Vector:  # [n], [m, n] -> [m]
    return [dot(x, row) for row in weight]


def rms_norm(x: Vector, gain: Vector) -> Vector:  # [n], [n] -> [n]
    """Bring a vector to mean square 1, then let the model choose a gain."""
    scale = (dot(x, x) * (1 / len(x)) + EPSILON) ** -0.5
    return [x_i * scale * g for x_i, g in zip(x, gain, strict=True)]


def silu(x: Scalar) -> Scalar:  # scalar -> scalar
    return x * (1 + exp(-x)) ** -1


def rotated(x: Vector, position: int, d: int) -> Vector:  # [n] -> [n]
    """Turn pairs of numbers in each head of d, so that how well a query and a key agree depends on their distance."""
    angles, turned = [position * BASE ** (-2 * i / d) for i in range(d // 2)], []
    for head in range(0, len(x), d):
        first, second = x[head : head + d // 2], x[head + d // 2 : head + d]  # of each pair
        turned += [a * cos(angle) - b * sin(angle) for a, b, angle in zip(first, second, angles, strict=True)]
        turned += [b * cos(angle) + a * sin(angle) for a, b, angle in zip(first, second, angles, strict=True)]
    return turned


def self_attention(params: Parameters, name: str, x: Vector, position: int, config: Config, cache: Cache) -> Vector:
    query, key, value = [project(x, params[f"{name}.{part}_proj.weight"]) for part in "qkv"]
    d, heads = config.n_embd // config.n_head, []
    query = rotated(query, position, d)
    cache.keys.append(rotated(key, position, d))
    cache.values.append(value)
    for h in range(config.n_head):
        own, shared = [slice(i * d, (i + 1) * d) for i in (h, h * config.n_kv_head // config.n_head)]
        heads += attention(query[own], [k[shared] for k in cache.keys], [v[shared] for v in cache.values])
    return project(heads, params[f"{name}.o_proj.weight"])


def mlp(params: Parameters, name: str, x: Vector) -> Vector:  # [n_embd] -> [n_embd]
    gates, ups = project(x, params[f"{name}.gate_proj.weight"]), project(x, params[f"{name}.up_proj.weight"])
    return project([silu(g) * u for g, u in zip(gates, ups, strict=True)], params[f"{name}.down_proj.weight"])


def logits(params: Parameters, config: Config, token: int, position: int, state: list[Cache]) -> Vector:
    x = pick(params["model.embed_tokens.weight"], token)  # [n_embd]
    for layer, cache in enumerate(state):
        name = f"model.layers.{layer}"
        normed = rms_norm(x, params[f"{name}.input_layernorm.weight"])
        x = add(x, self_attention(params, f"{name}.self_attn", normed, position, config, cache))
        x = add(x, mlp(params, f"{name}.mlp", rms_norm(x, params[f"{name}.post_attention_layernorm.weight"])))
    return project(rms_norm(x, params["model.norm.weight"]), params["lm_head.weight"])


def hugging_face(config: Config) -> dict:
    return FIXED | {theirs: getattr(config, ours) for ours, theirs in NAMES.items()}


def from_hugging_face(content: dict) -> Config:
    if content.get("rope_scaling") or content.get("rope_parameters", ROPE) != ROPE:
        raise ValueError(f"expected rope_parameters to be {ROPE}")
    return Config(**{ours: content[theirs] for ours, theirs in NAMES.items()})
