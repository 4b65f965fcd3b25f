"""The same GPT-2 as pure functions of its parameters, as JAX needs them."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from bench import models
from bench.measure import Step
from microgpt import GPTConfig


class JaxGPT:
    def __init__(self, config: GPTConfig):
        self.config = config

    def linear(self, p, name, x):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def norm(self, p, name, x):
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def attention(self, p, name, x):
        causal = jnp.tri(x.shape[1], dtype=bool)
        qkv = self.linear(p, f"{name}.c_attn", x).reshape(*x.shape[:2], 3, self.config.n_head, -1)
        query, key, value = jnp.moveaxis(qkv, 2, 0)  # [batch, t, n_head, head size] each
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
        chances = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
        return self.linear(p, f"{name}.c_proj", jnp.einsum("bhqk,bkhd->bqhd", chances, value).reshape(x.shape))

    def loss(self, p, tokens, weights):
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        x = p["wte.weight"][inputs] + p["wpe.weight"][: inputs.shape[1]]
        for h in (f"h.{layer}" for layer in range(self.config.n_layer)):
            x = x + self.attention(p, f"{h}.attn", self.norm(p, f"{h}.ln_1", x))
            hidden = jax.nn.gelu(self.linear(p, f"{h}.mlp.c_fc", self.norm(p, f"{h}.ln_2", x)), approximate=True)
            x = x + self.linear(p, f"{h}.mlp.c_proj", hidden)
        chances = jax.nn.log_softmax(self.norm(p, "ln_f", x) @ p["wte.weight"].T)
        chosen = jnp.take_along_axis(chances, targets[..., None], -1)[..., 0]
        return -(chosen * weights).sum() / len(tokens)

    def update(self, state, tokens, weights):
        """Return the parameters, the moments and the number of steps after a step of Adam."""
        p, m, v, steps = state
        value, gradients = jax.value_and_grad(self.loss)(p, tokens, weights)
        steps = steps + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
        c_m, c_v = 1 - 0.9**steps, 1 - 0.999**steps
        p = jax.tree.map(lambda p, m, v: p - models.LEARNING_RATE * (m / c_m) / (jnp.sqrt(v / c_v) + 1e-8), p, m, v)
        return (p, m, v, steps), value


def step(model: str, batch_size: int) -> Step:
    """Return a training step, compiled as a whole."""
    config, parameters, batch = models.task(model, batch_size)
    gpt = JaxGPT(config)
    update = jax.jit(gpt.update, donate_argnums=0)  # all of it one program, in the memory of the state before
    p, m, v = (jax.tree.map(jnp.array, parameters) for _ in range(3))
    state = p, jax.tree.map(jnp.zeros_like, m), jax.tree.map(jnp.zeros_like, v), jnp.float32(0)
    tokens, weights = (jnp.array(array) for array in batch)

    def take() -> Any:
        nonlocal state
        state, value = update(state, tokens, weights)
        return value.block_until_ready()  # it computes in the background

    return take
