"""Other model families: tiny random checkpoints, made on the spot, against a plain hook.

Nothing of a family is in the engine's code but names of parts, so what can break is the
structure: which projection a neuron enters, what it reads and writes, how a norm scales.
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from engine.anatomy import scale
from engine.demo import MODEL_DIR, demo_documents
from engine.errors import ModelError
from engine.events import ScanFinished
from engine.index import Index
from engine.keep import Keep
from engine.neuron import NeuronId
from engine.scan import run_scan
from engine.scan_request import ScanRequest
from engine.subject import SubjectModel
from engine.vocabulary import Vocabulary

WIDTH, INNER, LAYERS = 32, 48, 3
SMALL: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": INNER,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
NEO = {
    "attention_types": [[["global", "local", "global"], 1]],
    "num_layers": LAYERS,
    "num_heads": 4,
    "window_size": 16,
}
OLD = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_inner": INNER, "n_positions": 128}
BLOOM = {"vocab_size": 8192, "hidden_size": WIDTH, "n_layer": LAYERS, "n_head": 4}
#: Configuration class, its arguments, and the path of the output projection in a block.
FAMILIES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "gpt2": ("GPT2Config", {"vocab_size": 8192, **OLD}, "transformer.h", "mlp.c_proj"),
    "gpt2-relu": (
        "GPT2Config",
        {"vocab_size": 8192, "activation_function": "relu", **OLD},
        "transformer.h",
        "mlp.c_proj",
    ),
    "gpt-neo": ("GPTNeoConfig", {**SMALL, **NEO}, "transformer.h", "mlp.c_proj"),
    "gpt-j": ("GPTJConfig", {**SMALL, **OLD, "rotary_dim": 4}, "transformer.h", "mlp.fc_out"),
    "pythia": ("GPTNeoXConfig", SMALL, "gpt_neox.layers", "mlp.dense_4h_to_h"),
    "opt": (
        "OPTConfig",
        {**SMALL, "ffn_dim": INNER, "word_embed_proj_dim": 16},
        "model.decoder.layers",
        "fc2",
    ),
    "bloom": ("BloomConfig", BLOOM, "transformer.h", "mlp.dense_4h_to_h"),
    "llama": ("LlamaConfig", SMALL, "model.layers", "mlp.down_proj"),
    "mistral": ("MistralConfig", {**SMALL, **GROUPED}, "model.layers", "mlp.down_proj"),
    "qwen2": ("Qwen2Config", {**SMALL, **GROUPED}, "model.layers", "mlp.down_proj"),
    "qwen3": ("Qwen3Config", {**SMALL, **GROUPED}, "model.layers", "mlp.down_proj"),
    "gemma": ("GemmaConfig", {**SMALL, **GROUPED}, "model.layers", "mlp.down_proj"),
    "gemma2": ("Gemma2Config", {**SMALL, **GROUPED}, "model.layers", "mlp.down_proj"),
    "gemma3": ("Gemma3TextConfig", {**SMALL, **GROUPED}, "model.layers", "mlp.down_proj"),
    "phi": ("PhiConfig", SMALL, "model.layers", "mlp.fc2"),
    "phi3": ("Phi3Config", SMALL, "model.layers", "mlp.down_proj"),
    "starcoder2": ("Starcoder2Config", {**SMALL, **GROUPED}, "model.layers", "mlp.c_proj"),
}


def checkpoint(folder: Path, family: str) -> Any:
    """Write a random model of a family beside the demo's tokenizer; returns the model."""
    name, arguments, _, _ = FAMILIES[family]
    torch.manual_seed(7)
    config = getattr(transformers, name)(**arguments)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    # Norms begin at one and biases at zero: what is never used would go unnoticed.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL_DIR / file, folder / file)
    return model


def by_hook(model: Any, family: str, ids: torch.Tensor) -> list[NDArray[np.float32]]:
    """Each layer's activations [batch, position, neuron], by the plainest means there are."""
    _, _, blocks, projection = FAMILIES[family]
    seen: list[NDArray[np.float32]] = []
    handles = [
        block.get_submodule(projection).register_forward_pre_hook(
            lambda _module, inputs: seen.append(inputs[0].reshape(*ids.shape, -1).numpy().copy())
        )
        for block in model.get_submodule(blocks)
    ]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_a_scan_keeps_what_a_plain_hook_sees(family: str, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "model", family)
    texts = tmp_path / "texts.jsonl"
    with texts.open("w") as file:
        for document in list(demo_documents())[:12]:
            file.write(json.dumps({"text": document.text[:500]}) + "\n")
    request = ScanRequest(
        model=str(tmp_path / "model"),
        sources=(str(texts),),
        window=32,
        batch=8,
        keep=Keep(top=2, band=1, random=2, explain_random=1, bottom=2),
        store_dtype="float32",
    )
    events = list(run_scan(request, tmp_path / "home"))
    assert isinstance(events[-1], ScanFinished), events[-1]
    index = Index.open(Path(events[-1].path))
    n_neurons = 4 * WIDTH if family == "bloom" else INNER
    assert (index.n_layers, index.n_neurons) == (LAYERS, n_neurons)

    compared, largest = 0, 0.0
    seen: dict[int, list[NDArray[np.float32]]] = {}
    for layer in range(LAYERS):
        for neuron in range(0, n_neurons, 7):
            record = index.neuron(NeuronId(layer, neuron))
            for kept in (r for group in record.records.values() for r in group):
                window = kept.excerpt.window
                if window not in seen:
                    ids = torch.tensor([[0, *kept.excerpt.token_ids]])
                    seen[window] = by_hook(model, family, ids)
                direct = seen[window][layer][0, 1:, neuron]
                largest = max(largest, float(np.abs(direct - kept.activations).max()))
                compared += 1
    assert compared > 100
    assert largest < 1e-5, largest


@pytest.mark.parametrize("family", FAMILIES)
def test_replacing_a_neuron_and_its_output_weights(family: str, tmp_path: Path) -> None:
    model = checkpoint(tmp_path, family)
    subject = SubjectModel.load(str(tmp_path), device="cpu")
    _, _, blocks, projection = FAMILIES[family]
    ids = torch.tensor([[0, 11, 12, 13, 14, 15]])
    layer, neuron = 1, 5
    values = torch.full(ids.shape, torch.nan)
    values[0, 2] = 3.0

    def put(_module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        changed = inputs[0].clone()
        changed.view(*ids.shape, -1)[0, 2, neuron] = 3.0
        return (changed,)

    block = model.get_submodule(blocks)[layer]
    handle = block.get_submodule(projection).register_forward_pre_hook(put)
    with torch.no_grad():
        wanted = torch.log_softmax(model(ids).logits.double(), -1)
    handle.remove()
    got = subject.log_probabilities(subject.hidden(ids, layer=layer, neuron=neuron, values=values))
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)
    weights = subject.output_weights(layer, neuron)
    assert weights.shape == (8192,) and bool(weights.isfinite().all())


def test_the_scale_of_a_norm_is_what_it_multiplies_by() -> None:
    from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    weight = torch.linspace(-0.5, 2.0, WIDTH)
    norms = [torch.nn.LayerNorm(WIDTH), LlamaRMSNorm(WIDTH), GemmaRMSNorm(WIDTH)]
    for norm, shift in zip(norms, (0, 0, 1), strict=True):
        norm.weight.data = weight.clone()
        torch.testing.assert_close(scale(norm, WIDTH), weight + shift, atol=1e-6, rtol=0)
    assert scale(None, WIDTH).eq(1).all()


def test_what_can_not_be_read_is_refused_in_a_line(tmp_path: Path) -> None:
    config = transformers.MixtralConfig(
        **{**SMALL, **GROUPED, "num_local_experts": 2, "num_experts_per_tok": 1}
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL_DIR / file, tmp_path / file)
    with pytest.raises(ModelError, match="mixture of experts"):
        SubjectModel.load(str(tmp_path), device="cpu")

    facts = json.loads((tmp_path / "config.json").read_text())
    for kind in ("t5", "whatever", None, 7):
        (tmp_path / "config.json").write_text(json.dumps({**facts, "model_type": kind}))
        with pytest.raises(ModelError, match="model of type"):
            SubjectModel.load(str(tmp_path), device="cpu")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ModelError):
        SubjectModel.load(str(tmp_path), device="cpu")


def test_models_that_are_loaded_side_by_side_have_their_weights() -> None:
    with ThreadPoolExecutor(3) as threads:
        loaded = list(threads.map(lambda _: SubjectModel.load(), range(3)))
    first, *others = [one.output_weights(5, 100) for one in loaded]
    for other in others:
        assert torch.equal(other, first)


def test_a_sentencepiece_vocabulary_is_read_as_bytes() -> None:
    pieces = {"<unk>": 0, "\u2581the": 1, "<0x0A>": 2, "<0xE2>": 3, "é\u2581": 4, "Ġ": 5}
    tokenizer = Tokenizer(models.BPE(pieces, [], byte_fallback=True, unk_token="<unk>"))
    tokenizer.add_special_tokens(["<unk>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    for decoder in (
        decoders.Metaspace(),
        decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback()]),
    ):
        tokenizer.decoder = decoder
        vocabulary = Vocabulary.from_tokenizer(tokenizer, 8)
        assert vocabulary.decode(range(8)) == (
            b"<unk>",
            b" the",
            b"\n",
            b"\xe2",
            "é ".encode(),
            "Ġ".encode(),
            b"",
            b"",
        )
