"""The same GPT-2 in PyTorch's usual style, with the same parameters."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from bench import models
from bench.measure import Step
from microgpt import GPTConfig
from microgpt.learning.parameters import Arrays


class TorchGPT:
    def __init__(self, config: GPTConfig, parameters: Arrays):
        self.config = config
        self.p = {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}
        self.optimizer = torch.optim.Adam(self.p.values(), lr=models.LEARNING_RATE, fused=True)

    def linear(self, name, x):
        return torch.addmm(self.p[f"{name}.bias"], x.flatten(0, -2), self.p[f"{name}.weight"]).unflatten(
            0, x.shape[:-1]
        )

    def norm(self, name, x):
        return F.layer_norm(x, (self.config.n_embd,), self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def loss(self, tokens, weights):
        c, p = self.config, self.p
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        x = p["wte.weight"][inputs] + p["wpe.weight"][: inputs.shape[1]]
        for layer in range(c.n_layer):
            h = f"h.{layer}"
            qkv = self.linear(f"{h}.attn.c_attn", self.norm(f"{h}.ln_1", x))
            q, k, v = (part.unflatten(2, (c.n_head, -1)).transpose(1, 2) for part in qkv.split(c.n_embd, 2))
            heads = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + self.linear(f"{h}.attn.c_proj", heads)
            hidden = F.gelu(self.linear(f"{h}.mlp.c_fc", self.norm(f"{h}.ln_2", x)), approximate="tanh")
            x = x + self.linear(f"{h}.mlp.c_proj", hidden)
        logits = self.norm("ln_f", x) @ p["wte.weight"].T
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return (losses * weights.flatten()).sum() / len(tokens)


def step(model: str, batch_size: int, threads: int, compiled: bool) -> Step:
    """Return a training step, eager or by torch.compile."""
    config, parameters, batch = models.task(model, batch_size)
    gpt = TorchGPT(config, parameters)
    torch.set_num_threads(threads)
    gpt_loss = torch.compile(gpt.loss) if compiled else gpt.loss
    tokens, weights = (torch.tensor(array) for array in batch)

    def take() -> Any:
        gpt.optimizer.zero_grad()
        value = gpt_loss(tokens, weights)
        value.backward()
        gpt.optimizer.step()
        return value

    return take
