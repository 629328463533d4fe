"""Each layout, read back: transformers' GGUF reader loads the same model from the file as from the checkpoint."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import gguf
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from swift_plugin_gguf.exporter import GgufExporter, prepare
from swift_plugin_gguf.layouts import LAYOUTS, Layout
from swift_plugin_gguf.options import GgufOptions
from swift_plugin_transformers.loader import TransformersLoader
from swift_testing.kit.tiny import difference, logits
from swift_testing.rig import TINY_SIZES, tiny_tokenizer
from swift_train.roles import Loading

from swift_core.checkpoints.family import UNKNOWN
from swift_core.contract.errors import SwiftError, UsageError

# settings that GGUF doesn't store, and for which transformers' reader uses its defaults, have those defaults here
CASES = {
    "llama": ("Llama", {"tie_word_embeddings": False}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True, "head_dim": 32}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 128, "tie_word_embeddings": True}),
    "qwen2-mixture": (
        "Qwen2Moe",
        {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
            "norm_topk_prob": False,
        },
    ),
    "qwen3-mixture": (
        "Qwen3Moe",
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 768, "norm_topk_prob": True, "head_dim": 32},
    ),
    "gemma2": ("Gemma2", {"head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 8}),
    "gemma3": ("Gemma3", {"head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 8, "num_hidden_layers": 7}),
    "phi3": ("Phi3", {"sliding_window": None}),
}


def write(folder, name: str, **more):
    """A tiny random model of transformers' class, with a byte-level tokenizer."""
    kind, options = CASES[name]
    tokenizer = tiny_tokenizer()
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config_class = getattr(transformers, f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config")
    config = config_class(**{**TINY_SIZES, "vocab_size": len(tokenizer), **ids, **options, **more})
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() == 1:  # norms and biases, which are initialized to ones and zeros
                parameter.add_(torch.randn_like(parameter) * 0.1 + ("norm" in parameter_name) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(path):
    return TransformersLoader().load(path, UNKNOWN, Loading(device="cpu", dtype="float32")).model


@pytest.mark.parametrize("name", sorted(CASES))
def test_logits_are_the_same(name, tmp_path):
    checkpoint = write(tmp_path / "model", name)
    file = GgufExporter(GgufOptions(type="f32")).export(checkpoint, tmp_path / "gguf")
    expected = logits(load(checkpoint))
    assert difference(expected, logits(load(file))) < 1e-4 * float(expected.abs().max())


TYPES = {"f16": 1e-3, "bf16": 1e-2, "q8_0": 3e-2, "q5_1": 0.2, "q5_0": 0.2, "q4_1": 0.4, "q4_0": 0.4}


def test_fewer_bits_lose_more(tmp_path):
    checkpoint = write(tmp_path / "model", "llama")
    expected = logits(load(checkpoint))
    lost, sizes = [], []
    for kind, most in TYPES.items():
        file = GgufExporter(GgufOptions(type=kind)).export(checkpoint, tmp_path / kind)
        matrices = {tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors if tensor.name.startswith("blk.0.attn_q.")}
        assert matrices == {kind.upper()}
        lost.append(float((expected - logits(load(file))).abs().mean()))
        sizes.append(file.stat().st_size)
        assert lost[-1] < most * float(expected.abs().mean()), kind
    assert lost == sorted(lost)
    assert sizes[0] == max(sizes)


def test_embeddings_and_output_layer_keep_eight_bits(tmp_path):
    file = GgufExporter(GgufOptions(type="q4_0")).export(write(tmp_path / "model", "llama"), tmp_path / "out")
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}
    assert types["token_embd.weight"] == types["output.weight"] == "Q8_0"
    assert types["output_norm.weight"] == "F32"


def test_rows_that_blocks_do_not_divide_stay_in_f16(tmp_path):
    file = GgufExporter(GgufOptions(type="q8_0")).export(write(tmp_path / "model", "llama", intermediate_size=120), tmp_path / "out")
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == "Q8_0"


def test_auto_keeps_the_type_of_the_checkpoint(tmp_path):
    checkpoint = write(tmp_path / "model", "llama")
    transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16).save_pretrained(checkpoint)
    assert GgufExporter(GgufOptions()).export(checkpoint, tmp_path / "out").name == "model-BF16.gguf"


def test_shards_hold_what_one_file_holds(tmp_path):
    checkpoint = write(tmp_path / "model", "llama")
    whole = GgufExporter(GgufOptions(type="f32")).export(checkpoint, tmp_path / "one")
    first = GgufExporter(GgufOptions(type="f32", shard_size=1e-4)).export(checkpoint, tmp_path / "many")
    files = sorted(first.parent.glob("*.gguf"))
    assert first.name == f"model-F32-00001-of-{len(files):05d}.gguf"
    assert len(files) > 2
    one = {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(whole).tensors}
    many = {tensor.name: tensor.data.tobytes() for file in files for tensor in gguf.GGUFReader(file).tensors}
    assert many == one


def test_rotary_embedding_scaling(tmp_path):
    stretched = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    checkpoint = write(tmp_path / "model", "llama", rope_parameters={**stretched, "original_max_position_embeddings": 64})
    reader = gguf.GGUFReader(GgufExporter(GgufOptions()).export(checkpoint, tmp_path / "out"))
    factors = torch.tensor(next(tensor.data for tensor in reader.tensors if tensor.name == "rope_freqs.weight"))
    rotary = load(checkpoint).model.rotary_emb
    plain = 1 / 5e5 ** (torch.arange(0, 16, 2) / 16)
    torch.testing.assert_close(plain / factors, rotary.inv_freq)
    assert factors[0] == 1
    assert factors[-1] == 8


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"architectures": ["LlamaForCausalML"]}, "Did you mean 'LlamaForCausalLM'?"),
        ({"quantization_config": {"quant_method": "gptq"}}, "already quantized (gptq)"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "rotary embedding scaling 'dynamic'"),
        (
            {"architectures": ["Phi3ForCausalLM"], "num_hidden_layers": 1},
            "10 weights have no name in a phi3 GGUF file: model.layers.0.mlp.gate_proj",
        ),
    ],
)
def test_unsupported_checkpoints_are_rejected_before_a_weight_is_read(changed, message, tmp_path):
    checkpoint = write(tmp_path / "model", "llama")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(UsageError) as refused:
        prepare(checkpoint, GgufOptions())
    assert message in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(("value", "kind", "message"), [(float("nan"), "f32", "contains a NaN"), (1e6, "f16", "float16 can't represent")])
def test_values_out_of_range_leave_no_output(value, kind, message, tmp_path):
    checkpoint = write(tmp_path / "model", "llama")
    model = load(checkpoint)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 3] = value
    model.save_pretrained(checkpoint)
    with pytest.raises(SwiftError, match=message) as failed:
        GgufExporter(GgufOptions(type=kind)).export(checkpoint, tmp_path / "out")
    assert "layers.1.mlp.up_proj" in str(failed.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_another_distribution_adds_layouts(tmp_path, monkeypatch):
    """A Llama whose feed-forward layers have other names."""
    theirs = Layout(
        architectures=("MoonForCausalLM",),
        arch="llama",
        transforms=LAYOUTS[0].transforms,
        names={f"model.layers.{{n}}.moon.{part}.weight": f"blk.{{n}}.ffn_{part}.weight" for part in ("gate", "up", "down")},
    )
    monkeypatch.setattr("swift_plugin_gguf.layouts.entry_points", lambda group: [SimpleNamespace(name="moon", load=lambda: (theirs,))])
    checkpoint = write(tmp_path / "model", "llama")
    expected = logits(load(checkpoint))
    tensors = load_file(checkpoint / "model.safetensors")
    renamed = {re.sub(r"mlp\.(gate|up|down)_proj", r"moon.\1", name): tensor for name, tensor in tensors.items()}
    save_file(renamed, checkpoint / "model.safetensors", {"format": "pt"})
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "architectures": ["MoonForCausalLM"]}))
    file = GgufExporter(GgufOptions(type="f32")).export(checkpoint, tmp_path / "out")
    assert difference(expected, logits(load(file))) < 1e-4
