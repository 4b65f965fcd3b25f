"""The page of a GPT-2 with byte pairs shows the numbers of transformers: chances, what each stage knew, attention."""

import base64
import json
import re
import shutil

import numpy as np
import pytest
from running import assert_refused, call
from safetensors.numpy import save_file
from tiny_model import FORMAT, TINY_MODEL

from microgpt.explain.stages import LIKELIEST, OF_STAGE

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from gpt2_directories import shared, tokenizer  # noqa: E402
from transformers import GPT2LMHeadModel  # noqa: E402

pytestmark = pytest.mark.slow
TEXT = "To be, or </script> naïve"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page, and what explain.py printed."""
    directory = tmp_path_factory.mktemp("stages")
    result = call("explain.py", "--run", shared()[0], "--text", TEXT, "--out", "page.html", cwd=directory)
    assert result.returncode == 0, result.stderr
    return (directory / "page.html").read_text(), result.stdout


@pytest.fixture(scope="module")
def theirs():
    """What transformers finds: chances after each stage, [stages, tokens, vocabulary], and attention."""
    model = GPT2LMHeadModel.from_pretrained(shared()[0], attn_implementation="eager").eval()
    tokens = torch.tensor([tokenizer().encode(TEXT).ids])
    with torch.no_grad():
        found = model(tokens, output_hidden_states=True, output_attentions=True)
        early = [model.lm_head(model.transformer.ln_f(x)) for x in found.hidden_states[:-1]]
        chances = torch.stack([logits.softmax(-1)[0] for logits in [*early, found.logits]])
    return tokens[0].tolist(), chances.numpy(), torch.stack(found.attentions)[:, 0].numpy()


def content_of(page):
    content = json.loads(re.search(r'id="content">(.*?)</script>', page)[1])
    packed = base64.b64decode(re.search(r'id="attention">(.*?)</script>', page)[1])
    return content, np.frombuffer(packed, np.uint8)


def test_stages_have_the_chances_of_transformers(page, theirs):
    content, _ = content_of(page[0])
    tokens, chances, _ = theirs
    assert len(content["stages"]) == len(chances) == 3
    for stage, expected in zip([*content["stages"], content["chances"]], [*chances, chances[-1]], strict=True):
        for i, found in enumerate(stage):
            assert len(found["likeliest"]) in (OF_STAGE, LIKELIEST)
            highest = np.sort(expected[i])[::-1]
            np.testing.assert_allclose(
                [p for _, p in found["likeliest"]], highest[: len(found["likeliest"])], atol=2e-6
            )
            following = None if i + 1 == len(tokens) else pytest.approx(expected[i, tokens[i + 1]], abs=2e-6)
            assert found["following"] == following


def test_heads_look_where_those_of_transformers_do(page, theirs):
    content, packed = content_of(page[0])
    attention = packed.reshape(content["layers"], content["heads"], len(theirs[0]), -1)
    assert np.abs(attention / 255 - theirs[2]).max() < 0.003


def test_the_page_says_what_cannot_be(page):
    html, printed = page
    assert "about " in printed
    assert "operations" in printed
    assert "what each stage knew" in printed
    assert "".join(content_of(html)[0]["tokens"]).startswith("To be, or </script>")  # no text ends its element
    assert html.count("</script>") == 3


def test_a_text_with_too_many_tokens_is_refused(tmp_path):
    given = ["--run", shared()[0], "--out", "page.html"]
    assert_refused(call("explain.py", *given, "--text", "abc " * 40, cwd=tmp_path), "expected 1 to 24")
    assert_refused(call("explain.py", *given, "--text", "", cwd=tmp_path), "0 tokens")
    result = call("explain.py", *given, cwd=tmp_path)  # the model writes a text
    assert result.returncode == 0, result.stderr


def test_a_model_of_ones_own_gets_the_page_of_its_loss(tmp_path):
    own = tmp_path / "own"
    shutil.copytree(shared()[0], own)
    own_config = json.loads((own / "config.json").read_text()) | {"model_type": "elman", "width": 4, "context": 24}
    (own / "config.json").write_text(json.dumps(own_config))
    (tmp_path / "tiny.py").write_text(TINY_MODEL + FORMAT)
    size = own_config["vocab_size"]
    shapes = {"in": (size, 4), "back": (4, 4), "out": (size, 4)}
    save_file({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, own / "model.safetensors")
    result = call(
        "explain.py", "--run", own, "--model", "tiny.py", "--text", "To be", "--out", "own.html", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "what each stage knew" not in result.stdout
    assert 'id="attention"' not in (tmp_path / "own.html").read_text()
