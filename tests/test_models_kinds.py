"""Local models of other kinds than the demo: windows that slide, states, other tokenizers."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.demo import MODEL_DIR
from engine.models.local import LocalModel
from engine.models.request import Message, PromptRequest, Request

VALUES = tuple(str(number) for number in range(11))
PREFIX = "The start goes on and on for a while, farther than a window.\n" * 3
SIZES = {
    "vocab_size": 8192,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
HEADS = {"intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}


def build(folder: Path, kind: str, **settings: Any) -> Any:
    """A random model saved with the demo's tokenizer; the model, to compute with directly."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES, **settings)
    network = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for weights in network.parameters():
        weights.mul_(3)  # larger logits, so that a wrong place shows
    network.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL_DIR / name, folder)
    return network


@pytest.mark.parametrize(
    ("kind", "settings", "reuses"),
    [
        ("llama", HEADS, True),
        ("mistral", {**HEADS, "sliding_window": 16}, True),
        ("gemma3_text", {**HEADS, "sliding_window": 16, "head_dim": 16}, True),
        ("mamba", {}, False),
    ],
)
async def test_any_causal_model_is_exact(
    tmp_path: Path, kind: str, settings: dict[str, Any], reuses: bool
) -> None:
    import torch
    from tokenizers import Tokenizer

    network = build(tmp_path / kind, kind, **settings)
    tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    model = LocalModel.load(str(tmp_path / kind))
    try:
        for number in range(3):
            text = f"{PREFIX}Record {number}\t10\n London\tunknown\n"
            reply = await model.prompt_logprobs(PromptRequest(text, len(PREFIX), values=VALUES))
            assert (reply.usage.cached_input_tokens > 30) == (reuses and number > 0)
            ids = tokenizer.encode(text).ids
            whole = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            for place, token in enumerate(reply.tokens, start=len(ids) - len(reply.tokens)):
                for value in VALUES:
                    exact = float(whole[place - 1][tokenizer.token_to_id(value)])
                    assert token.top[value] == pytest.approx(exact, abs=1e-4)
        request = Request((Message("user", "Hello there"),), max_tokens=20, top_logprobs=1)
        reply_tokens = (await model.complete(request)).tokens
        ids = tokenizer.encode("User: Hello there\n\nAssistant:").ids
        for one in reply_tokens:
            row = network(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
            assert max(one.top.values()) == pytest.approx(float(row.max()), abs=1e-4)
            ids.append(int(row.argmax()))
        assert len(reply_tokens) == 20 or ids[-1] == 0
        assert model.unscored(("10", "100 places")) == (() if reuses else ("100 places",))
    finally:
        await model.close()


@pytest.fixture
def metaspace(tmp_path: Path) -> Path:
    """A llama whose tokenizer marks words by a space of its own, begins every text with a
    mark, ends it with another, has digits only, and bytes for what it does not know."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    words = ["<unk>", "<s>", "</s>"]
    words += [f"<0x{byte:02X}>" for byte in range(256)]
    words += ["\u2581", *"abcdefghijklmnopqrstuvwxyz", *"0123456789", "th", "the", "\u2581the"]
    tokenizer = Tokenizer(
        models.BPE(
            {word: number for number, word in enumerate(words)},
            [("t", "h"), ("th", "e"), ("\u2581", "the")],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in words[:3]])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    folder = tmp_path / "metaspace"
    build(folder, "llama", **HEADS)
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts), "utf-8")
    return folder


async def test_tokens_of_a_tokenizer_with_marks_and_bytes(metaspace: Path) -> None:
    text = "the cat\t10\n日 </s> the"
    model = LocalModel.load(str(metaspace))
    try:
        reply = await model.prompt_logprobs(PromptRequest(text, values=VALUES))
        # The mark before the text gives its first token a distribution; none ends the text.
        assert len(reply.tokens[0].top) > 1
        assert reply.tokens[-1].start + len(reply.tokens[-1].text) >= len(text)
        starts = [token.start for token in reply.tokens]
        assert starts == sorted(starts)
        for place in (text.index("1"), text.index("</s>"), text.index("cat")):
            assert place in starts, "every character that is a token can be found"
        top = reply.tokens[starts.index(text.index("1"))].top
        assert {"1", "10"} <= set(top), "a 10 of two tokens is followed up"
        assert math.exp(top["10"]) < 1
        whole = sum(math.exp(top[value]) for value in VALUES)
        assert 0 < whole < 1
        written = await model.complete(
            Request((Message("user", "the"),), max_tokens=30, temperature=1.0, seed=1)
        )
        assert "\u2581" not in written.text and "<0x" not in written.text
    finally:
        await model.close()
