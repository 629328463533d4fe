"""Loading: whole checkpoints only, from this machine only, nothing made up; and GGUF → safetensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_plugin_transformers.convert import convert, lossless_dtype
from swift_plugin_transformers.loader import TransformersLoader
from swift_testing.codes import coded
from swift_testing.rig import write_tiny_model
from swift_train import build, devices
from swift_train.roles import Loading
from swift_train.save_model import write_model
from swift_train.weights import check_weights, stored_dtype
from transformers import AutoModelForCausalLM

from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.family import UNKNOWN
from swift_core.checkpoints.manifest import Manifest, write_manifest
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry
from swift_core.runs.events import Report

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


def load(folder, device="cpu", dtype="float32", **options):
    return TransformersLoader().load(folder, UNKNOWN, Loading(device=device, dtype=dtype, **options))


@pytest.fixture
def copied(tiny_model, tmp_path):
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def edit_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_rig_writes_the_same_model_each_time(tiny_model, tmp_path):
    again = write_tiny_model(tmp_path)
    assert {path.name: path.read_bytes() for path in tiny_model.iterdir()} == {path.name: path.read_bytes() for path in again.iterdir()}


def test_the_model_and_its_tokenizer(tiny_model):
    loaded = load(tiny_model)
    expected = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    ids = loaded.processor.apply_chat_template(MESSAGES, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    assert not loaded.model.training
    assert torch.equal(loaded.model(input_ids=ids).logits, expected(input_ids=ids).logits)
    assert load(tiny_model, dtype="bfloat16").model.dtype == torch.bfloat16
    assert load(tiny_model, attention="eager").model.config._attn_implementation == "eager"


def test_on_meta_only_the_shapes_are_made(tiny_model):
    model = load(tiny_model, device="meta", dtype="bfloat16").model
    assert all(parameter.is_meta and parameter.dtype == torch.bfloat16 for parameter in model.parameters())


def test_a_truncated_file_is_named_with_its_sizes(copied):
    file = copied / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1000])
    with pytest.raises(UsageError, match=f"model.safetensors: truncated: {len(whole) - 1000:,} bytes, but its header says {len(whole):,}"):
        load(copied)
    file.write_bytes(whole[:100])
    with pytest.raises(UsageError, check=coded("CKPT-017"), match="truncated: 100 bytes"):
        load(copied)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0".ljust(130))
    with pytest.raises(UsageError, check=coded("CKPT-015"), match="a Git LFS pointer"):
        load(copied)
    file.write_bytes(b"")
    with pytest.raises(UsageError, check=coded("CKPT-016")):
        load(copied)


def test_missing_shards_are_named(copied):
    tensors = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    names = sorted(tensors)
    save_file({name: tensors[name] for name in names[:5]}, copied / "model-00001-of-00002.safetensors", {"format": "pt"})
    places = {name: f"model-0000{1 + (index >= 5)}-of-00002.safetensors" for index, name in enumerate(names)}
    (copied / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    with pytest.raises(UsageError, check=coded("CKPT-021"), match=r"1.*of 2.*model-00002-of-00002\.safetensors"):
        load(copied)
    save_file({name: tensors[name] for name in names[5:]}, copied / "model-00002-of-00002.safetensors", {"format": "pt"})
    check_weights(copied)
    assert load(copied).model.num_parameters() == load(copied).model.num_parameters()


@pytest.mark.parametrize(
    "rotary",
    [
        {"rope_parameters": {"rope_type": "foo", "rope_theta": 1e4}},
        {"rope_scaling": {"type": "foo", "factor": 2.0}},
        {"rope_parameters": {"rope_type": ["foo"], "rope_theta": 1e4}},
    ],
)
def test_an_unknown_rope_type_is_named(copied, rotary):
    path = copied / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **rotary}))
    with pytest.raises(UsageError, check=coded("MODEL-035"), match="foo") as caught:
        load(copied)
    assert caught.value.where == str(path)
    assert "yarn" in caught.value.hint


@pytest.mark.parametrize("token", [99_999, -5, "a", 2.5, True])
def test_eos_token_ids_that_do_not_exist_are_refused(copied, token):
    path = copied / "generation_config.json"
    values = json.loads(path.read_text())
    for given in (token, [2, token]):
        path.write_text(json.dumps({**values, "eos_token_id": given}))
        with pytest.raises(UsageError, match=f"eos_token_id {token!r}") as caught:
            load(copied)
        assert caught.value.where == str(path)
    path.write_text(json.dumps({**values, "eos_token_id": [2, 319]}))
    load(copied)


def test_weights_are_never_made_up(copied):
    tensors = load_file(copied / "model.safetensors")
    del tensors["model.norm.weight"], tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(SwiftError, check=coded("MODEL-022"), match=r"lacks 2.*model\.layers\.1\.mlp\.up_proj\.weight, model\.norm"):
        load(copied)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(number, copied):
    tensors = load_file(copied / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = number
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, check=coded("MODEL-008"), match=r"in 1.*model\.layers\.1\.mlp\.up_proj\.weight"):
        load(copied)


def test_large_numbers_are_numbers(copied):
    tensors = load_file(copied / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][:, :5] = 3e38  # their sum overflows
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    load(copied)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"temperature": 0.9, "top_p": 0.6}, {"do_sample": True, "temperature": 0.9, "top_p": 0.6}),  # Vicuna, Llama 2
        ({"do_sample": False, "top_k": 20}, {"do_sample": True, "top_k": 20}),
        ({"length_penalty": 0.5, "max_new_tokens": 7}, {"max_new_tokens": 7}),
        ({"do_sample": True, "temperature": 0.5}, {"do_sample": True, "temperature": 0.5}),
    ],
)
def test_a_generation_config_that_could_not_be_saved_is_mended_at_the_start(given, kept, copied, tmp_path, caplog):
    path = copied / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | given))
    loaded = load(copied)
    write_model(tmp_path / "out", loaded.model, loaded.processor)
    stored = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert {name: stored.get(name) for name in kept} == kept
    assert ("generation_config" in caplog.text) == (given.keys() != kept.keys() or not given.get("do_sample", True))
    assert set(stored) - {"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "_from_model_config"} == set(kept)


def test_a_config_of_another_size_is_refused(copied):
    edit_config(copied, intermediate_size=96)
    with pytest.raises(UsageError, check=coded("MODEL-025"), match=r"config\.json"):
        load(copied)


def test_pickled_weights_are_refused(copied):
    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    with pytest.raises(UsageError, check=coded("PLUGIN-010")):
        Checkpoint.at(copied).check()
    with pytest.raises(UsageError, check=coded("TRAIN-091")):
        load(copied)


def test_code_of_a_checkpoint_runs_only_if_trusted(copied):
    edit_config(copied, model_type="mine", auto_map={"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"})
    (copied / "mine.py").write_text("raise SystemExit('the code ran')")
    with pytest.raises(UsageError, check=coded("MODEL-020"), match="'mine'") as error:
        load(copied)
    assert "--trust-remote-code org/name@revision" in error.value.hint
    with pytest.raises(SystemExit, match="the code ran"):
        load(copied, trust_remote_code=True)


def test_a_native_class_wins_over_code(copied):
    edit_config(copied, auto_map={"AutoModelForCausalLM": "mine.Model"})
    (copied / "mine.py").write_text("raise SystemExit('the code ran')")
    assert type(load(copied).model).__name__ == "LlamaForCausalLM"


def test_an_unknown_architecture(copied):
    edit_config(copied, model_type="lama")
    with pytest.raises(UsageError, check=coded("MODEL-021"), match="'lama'"):
        load(copied)


def test_a_tokenizer_without_pad_token_gets_one(copied):
    path = copied / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["pad_token"]
    path.write_text(json.dumps(config))
    assert load(copied).processor.pad_token == "<|im_end|>"


@pytest.mark.parametrize(
    ("name", "stored", "native", "expected"),
    [
        ("auto", "bfloat16", True, "bfloat16"),
        ("auto", "bfloat16", False, "float32"),
        ("auto", "float16", True, "bfloat16"),
        ("auto", "float32", True, "float32"),
        ("bfloat16", "float32", False, "bfloat16"),
    ],
)
def test_the_type_of_the_weights(name, stored, native, expected, monkeypatch):
    monkeypatch.setattr(devices, "computes_bfloat16", lambda device: native)
    assert devices.pick_dtype(name, "cpu", stored) == expected


def test_devices():
    assert devices.pick_device("cpu") == "cpu"
    assert devices.pick_device("auto") in ("cpu", "cuda", "mps", "npu", "xpu")
    with pytest.raises(UsageError, check=coded("TRAIN-023"), match="'gpu'"):
        devices.pick_device("gpu")


def test_stored_dtype(copied):
    assert stored_dtype(copied) == "float32"
    tensors = {name: tensor.bfloat16() if tensor.ndim > 1 else tensor for name, tensor in load_file(copied / "model.safetensors").items()}
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    assert stored_dtype(copied) == "bfloat16"


def test_a_checkpoint_for_inference(tiny_model):
    loaded = build.load_checkpoint(tiny_model, device="cpu")
    assert loaded.model.dtype == torch.float32
    assert build.source_of(tiny_model).format == "safetensors"
    with pytest.raises(UsageError, check=coded("PLUGIN-009")):
        build.load_checkpoint(tiny_model / "nowhere")


def test_a_family_that_is_no_longer_installed_is_found_by_the_architecture(copied):
    write_manifest(copied, Manifest(family="moon"))
    assert build.source_of(copied).family == "llama"


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ([("Q4_1", 2), ("F32", 1)], "bfloat16"),
        ([("Q8_0", 2), ("F16", 2), ("F32", 1)], "float16"),
        ([("BF16", 2)], "bfloat16"),
        ([("F32", 2), ("F16", 2)], "float32"),
    ],
)
def test_the_type_a_gguf_file_is_converted_to(tensors, expected):
    assert lossless_dtype(tensors) == expected


def tiny_gguf(folder, tiny_model):
    """The tiny model as a GGUF file of float16 matrices, written with the official package."""
    import gguf

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokens = json.loads((tiny_model / "tokenizer.json").read_text())
    vocabulary = sorted(tokens["model"]["vocab"], key=tokens["model"]["vocab"].get)
    writer = gguf.GGUFWriter(folder / "tiny.gguf", "llama")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in tokens["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template((tiny_model / "chat_template.jinja").read_text())
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}  # fmt: skip
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        short = name.removeprefix("model.").replace("layers.", "blk.").replace("embed_tokens", "token_embd")
        short = "output_norm.weight" if short == "norm.weight" else short
        for theirs, ours in names.items():
            short = short.replace(theirs, ours)
        if "attn_q" in short or "attn_k" in short:  # llama.cpp interleaves the halves that rotary embeddings turn
            heads = 4 if "attn_q" in short else 2
            writer.add_tensor(short, tensor.half().reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape).numpy())
        else:
            writer.add_tensor(short, (tensor.half() if tensor.ndim > 1 else tensor).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "tiny.gguf"


def convert_run(folder, **options):
    source = Source(reference="pypi:tiny==1", path=str(folder), hash="0" * 64, format="gguf", family="")
    return Run(verb="convert", job="", model=source, options=options)


def test_gguf_is_loaded_and_converted(tiny_model, tmp_path):
    (tmp_path / "gguf").mkdir()
    (tmp_path / "run").mkdir()
    file = tiny_gguf(tmp_path / "gguf", tiny_model)
    expected = load(tiny_model).model.half().state_dict()

    loaded = load(file.parent, dtype="float16")
    assert not getattr(loaded.model, "is_quantized", False)
    assert all(torch.equal(value, expected[name]) for name, value in loaded.model.state_dict().items())

    out, figures = convert(convert_run(file.parent, output=str(tmp_path / "out")), Report(tmp_path / "run"))
    assert figures == {"dtype": "float16", "parameters": 94528}
    again = load(out, dtype="float16")
    assert all(torch.equal(value, expected[name]) for name, value in again.model.state_dict().items())
    rendered = [processor.apply_chat_template(MESSAGES)["input_ids"] for processor in (again.processor, load(tiny_model).processor)]
    assert rendered[0] == rendered[1]
    assert again.model.generation_config.eos_token_id == 2
    manifest = Checkpoint.at(out).manifest
    assert (manifest.origin, manifest.dtype, manifest.template["stop"]) == ("pypi:tiny==1", "float16", ["<|im_end|>"])
    assert manifest.generation == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    assert again.processor.decode(manifest.golden[0]["ids"]).endswith("<|im_start|>assistant\n")
    with pytest.raises(UsageError, check=coded("FILE-004")):
        convert(convert_run(file.parent, output=str(out)), Report(tmp_path / "run"))

    data = file.read_bytes()
    file.write_bytes(data[:-5000])
    with pytest.raises(UsageError, check=coded("MODEL-015"), match="not a GGUF file, or truncated"):
        load(file.parent)
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.model
def test_the_real_gguf_file_was_converted_true(smollm2):
    """`smollm2` is what the conversion made of the 135M model's GGUF file; it still knows its capitals."""
    loaded = load(smollm2)
    ids = loaded.processor.apply_chat_template(MESSAGES, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    answer = loaded.model.generate(ids, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(ids))
    assert loaded.processor.decode(answer[0, ids.shape[1] :], skip_special_tokens=True) == "The capital of France is Paris."


def test_a_multimodal_folder_without_its_processor_is_loaded_for_text(tiny_vlm, tmp_path, caplog):
    family = next(spec for spec in registry().all("family") if "LlavaForConditionalGeneration" in spec.architectures)
    folder = Path(shutil.copytree(tiny_vlm, tmp_path / "vlm"))
    whole = TransformersLoader().load(folder, family, Loading(device="meta", dtype="float32"))
    assert hasattr(whole.processor, "image_processor")
    assert "preprocessor_config.json" not in caplog.text
    (folder / "processor_config.json").unlink()
    loaded = TransformersLoader().load(folder, family, Loading(device="meta", dtype="float32"))
    assert "neither preprocessor_config.json nor processor_config.json" in caplog.text
    assert loaded.processor("Hello").input_ids == whole.processor.tokenizer("Hello").input_ids
