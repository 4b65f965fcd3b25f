"""Name the observed numbers: strips, rows of scalars that belong together.

The input is the observed call of `loss`, on any scalars, and the strips are the same for all. So the page can find the
numbers of a strip in an instruction of the compiler.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from microgpt import functions, gpt
from microgpt.explain.observe import Call

WATCHED: list[Callable[..., Any]] = [
    gpt.loss,
    gpt.gpt,
    gpt.block,
    gpt.self_attention,
    gpt.mlp,
    gpt.add,
    functions.attention,
    functions.cross_entropy,
    functions.dot,
    functions.gelu,
    functions.layer_norm,
    functions.linear,
    functions.softmax,
    functions.tanh,
]


@dataclass(frozen=True)
class Strip:
    """Scalars with a name. In the name, {here} is the position, {there} the position of each scalar in turn, {number}
    its index in the strip, and {character} that entry of the vocabulary.
    """

    key: str  # what it is, the same at every position
    position: int
    name: str
    scalars: list[Any]


def strips(loss_call: Call) -> Iterator[Strip]:
    """Yield all strips of one run of `loss`, position by position."""
    losses = inner_calls(loss_call, "cross_entropy")
    runs = inner_calls(loss_call, "gpt")[-len(losses) :]
    for position, (run, entropy) in enumerate(zip(runs, losses, strict=True)):
        for key, name, scalars in [*of_gpt(run), *of_cross_entropy(entropy)]:
            yield Strip(key, position, name, scalars)
    yield Strip("loss", len(runs) - 1, "the loss of the whole text", [loss_call.result])


Named = tuple[str, str, list[Any]]


def of_gpt(call: Call) -> Iterator[Named]:
    """Yield the strips of one position: the embedding, the blocks, and the logits."""
    embedded = inner_calls(call, "add")[0]
    yield "token", "embedding of the character at {here}, number {number}", list(embedded.variables["a"])
    yield "place", "embedding of {here}, number {number}", list(embedded.variables["b"])
    yield "embedded", "residual stream before the first block at {here}, number {number}", embedded.result
    for layer, block in enumerate(inner_calls(call, "block")):
        yield from of_block(block, f"block {layer}", f"h.{layer}")
    for norm in inner_calls(call, "layer_norm"):
        yield from of_layer_norm(norm, "final layer norm", "ln_f")
    yield "logits", "logit of {character} after {here}", call.result


def of_block(call: Call, block: str, key: str) -> Iterator[Named]:
    """Yield the strips of one block: layer norm and attention, layer norm and MLP, each added to the residual stream.

    Parts are found by the names of the functions, so a block without norms or residuals has strips, too.
    """
    (attention,), (mlp,) = inner_calls(call, "self_attention"), inner_calls(call, "mlp")
    before = (
        (f"{block}, layer norm before attention", f"{key}.ln_1"),
        (f"{block}, layer norm before the MLP", f"{key}.ln_2"),
    )
    for norm, (name, norm_key) in zip(inner_calls(call, "layer_norm"), before, strict=False):
        yield from of_layer_norm(norm, name, norm_key)
    yield from of_self_attention(attention, block, key)
    middle = next((add.result for add in inner_calls(call, "add")), attention.result)
    yield f"{key}.middle", f"{block}, residual stream after attention at {{here}}, number {{number}}", middle
    (narrow, _), gelus = inner_calls(mlp, "linear"), inner_calls(mlp, "gelu")
    yield f"{key}.hidden", f"{block}, hidden unit {{number}} before gelu at {{here}}", narrow.result
    tanhs = [gelu.inner[0] for gelu in gelus]
    inside = f"{block}, in the gelu of hidden unit {{number}} at {{here}}"
    yield f"{key}.inside", f"{inside}, what tanh gets", [tanh.variables["x"] for tanh in tanhs]
    yield f"{key}.tanh", f"{inside}, tanh", [tanh.result for tanh in tanhs]
    yield f"{key}.gelu", f"{block}, hidden unit {{number}} after gelu at {{here}}", [gelu.result for gelu in gelus]
    yield f"{key}.mlp", f"{block}, what the MLP adds at {{here}}, number {{number}}", mlp.result
    yield f"{key}.end", f"{block}, residual stream after the MLP at {{here}}, number {{number}}", call.result


def inner_calls(call: Call, function: str) -> list[Call]:
    """Return the calls of a function that a call made itself, in order."""
    return [inner for inner in call.inner if inner.function == function]


def of_layer_norm(call: Call, name: str, key: str) -> Iterator[Named]:
    """Yield the strips of a layer norm: its result, and its intermediate numbers."""
    v = call.variables
    yield f"{key}.mean", f"{name}, the mean at {{here}}", [v["mean"]]
    yield f"{key}.centred", f"{name}, distance from the mean at {{here}}, number {{number}}", v["centred"]
    yield f"{key}.variance", f"{name}, the variance at {{here}}", [v["variance"]]
    yield f"{key}.scale", f"{name}, 1 over the standard deviation at {{here}}", [v["scale"]]
    yield key, f"{name} at {{here}}, number {{number}}", call.result
    yield f"{key}.input", f"{name}, what it gets at {{here}}, number {{number}}", v["x"]


def of_self_attention(call: Call, block: str, key: str) -> Iterator[Named]:
    """Yield the strips of queries, keys and values of all heads, of each head, and of the projection."""
    heads = inner_calls(call, "attention")
    width = len(call.variables["query"]) // len(heads)
    for h, head in enumerate(heads):
        own = slice(h * width, (h + 1) * width)
        for part in ("query", "key", "value"):
            name = f"{block}, head {h}, {part} at {{here}}, number {{number}}"
            yield f"{key}.head.{h}.{part}", name, call.variables[part][own]
        (softmax,) = inner_calls(head, "softmax")
        between = f"{block}, head {h}, {{what}} from {{here}} to {{there}}"
        yield f"{key}.head.{h}.score", between.replace("{what}", "score"), softmax.variables["x"]
        yield f"{key}.head.{h}.exp", between.replace("{what}", "e to the (shifted) score"), softmax.variables["exps"]
        yield f"{key}.head.{h}.scale", f"{block}, head {h}, 1 over the sum at {{here}}", [softmax.variables["scale"]]
        yield f"{key}.head.{h}.attention", between.replace("{what}", "attention"), softmax.result
        yield f"{key}.head.{h}.read", f"{block}, head {h}, what it reads at {{here}}, number {{number}}", head.result
    yield f"{key}.attention", f"{block}, what attention adds at {{here}}, number {{number}}", call.result


def of_cross_entropy(call: Call) -> Iterator[Named]:
    """Yield the strips of the loss of one position."""
    yield "shifted", "logit of {character} after {here}, less the largest", call.variables["shifted"]
    yield "surprise", "loss at {here}", [call.result]
