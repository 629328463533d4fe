"""Merging into a quantized base: it is dequantized to just the numbers that its layers have, whatever it is stored in.

The checkpoints are written here in each format by hand, with the weights that their numbers stand for beside them; those that the
quantizers' own libraries write are merged in `make test-full LANE=quantize`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_train import build
from swift_train.dequantize import load_dequantized
from swift_train.merge import merge
from swift_train.testing_adapters import learned_adapter, logits, merge_run, source_of

from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.manifest import write_manifest
from swift_core.contract.errors import UsageError
from swift_core.contract.run import Run
from swift_core.runs.events import Report

pytestmark = pytest.mark.slow

GROUP = 32
WEIGHTS = {"num_bits": 8, "symmetric": True, "strategy": "channel", "type": "int", "dynamic": False}
TOKENS = {"num_bits": 8, "symmetric": True, "strategy": "token", "type": "int", "dynamic": True}


def pack(numbers, bits, order=None):
    """Numbers of the last dimension into int32, the first in the lowest bits."""
    per = 32 // bits
    numbers = numbers.long().unflatten(-1, (-1, per))
    if order:
        numbers = numbers[..., list(order)]
    words = sum(numbers[..., place] << (bits * place) for place in range(per))
    return torch.where(words >= 2**31, words - 2**32, words).int()


def grouped(weight, bits=4):
    """Numbers, zeros and scales of groups of inputs, asymmetric, and the weights that they stand for."""
    groups = weight.unflatten(1, (-1, GROUP))
    low, high = groups.amin(-1), groups.amax(-1)
    scales = ((high - low) / (2**bits - 1)).half().float()
    zeros = (-low / scales).round().clamp(1, 2**bits - 1)  # GPTQ keeps them less one
    numbers = (groups / scales[..., None] + zeros[..., None]).round().clamp(0, 2**bits - 1)
    return numbers.flatten(1), zeros, scales, ((numbers - zeros[..., None]) * scales[..., None]).flatten(1)


def gptq(weight, *, shuffled=False, less=1):
    order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(0)) if shuffled else torch.arange(weight.shape[1])
    numbers, zeros, scales, stands_for = grouped(weight[:, order])
    back = order.argsort()
    parts = {"qweight": pack(numbers[:, back], 4).T, "qzeros": pack((zeros - less).T, 4), "scales": scales.T.half()}
    return {**parts, "g_idx": (back // GROUP).int()}, stands_for[:, back]


def awq(weight):
    numbers, zeros, scales, stands_for = grouped(weight)
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    return {"qweight": pack(numbers.T, 4, order), "qzeros": pack(zeros.T, 4, order), "scales": scales.T.half()}, stands_for


def packed_w4a16(weight):
    groups = weight.unflatten(1, (-1, GROUP))
    scales = groups.abs().amax(-1) / 7.5
    numbers = (groups / scales[..., None]).round().clamp(-8, 7)
    packed = {"weight_packed": pack((numbers + 8).flatten(1), 4), "weight_scale": scales, "weight_shape": torch.tensor(weight.shape)}
    return packed, (numbers * scales[..., None]).flatten(1)


def rows_of_8_bits(weight, kind, most):
    scales = weight.abs().amax(1, keepdim=True) / most
    numbers = (weight / scales).round() if kind == torch.int8 else weight / scales
    return {"weight": numbers.to(kind), "weight_scale": scales}, numbers.to(kind).float() * scales


def blocks_of_fp8(weight):
    rows, columns = (size // GROUP for size in weight.shape)
    blocks = weight.reshape(rows, GROUP, columns, GROUP)
    scales = blocks.abs().amax((1, 3)) / 448
    numbers = (blocks / scales[:, None, :, None]).to(torch.float8_e4m3fn)
    stands_for = (numbers.float() * scales[:, None, :, None]).reshape(weight.shape)
    return {"weight": numbers.reshape(weight.shape), "weight_scale_inv": scales}, stands_for


def compressed(form, weights, activations=None):
    group = {"targets": ["Linear"], "weights": {**WEIGHTS, **weights}, "input_activations": activations}
    config = {"quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed", "ignore": ["lm_head"]}
    return {**config, "config_groups": {"group_0": group}}


FORMS = {
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "sym": False, "desc_act": False}),
    "gptq, inputs reordered": (
        lambda weight: gptq(weight, shuffled=True),
        {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "sym": False, "desc_act": True, "checkpoint_format": "gptq"},
    ),
    "gptq_v2": (
        lambda weight: gptq(weight, less=0),
        {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "sym": False, "desc_act": False, "checkpoint_format": "gptq_v2"},
    ),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}),
    "w4a16": (packed_w4a16, compressed("pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": GROUP})),
    "w8a8": (lambda weight: rows_of_8_bits(weight, torch.int8, 127), compressed("int-quantized", {}, TOKENS)),
    "fp8": (
        lambda weight: rows_of_8_bits(weight, torch.float8_e4m3fn, 448),
        compressed("float-quantized", {"type": "float"}, {**TOKENS, "type": "float"}),
    ),
    "fp8 in blocks": (blocks_of_fp8, {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [GROUP, GROUP]}),
}


def quantized(base, folder, form):
    """Write the base in a format to `folder`/small, and the weights that its numbers stand for to `folder`/plain."""
    pack_one, config = FORMS[form]
    for name in ("small", "plain"):
        shutil.copytree(base, folder / name)
    small, plain = {}, {}
    for name, weight in load_file(base / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            small[name] = plain[name] = weight
            continue
        parts, plain[name] = pack_one(weight)
        small |= {f"{name.removesuffix('weight')}{part}": tensor.contiguous() for part, tensor in parts.items()}
    save_file(small, folder / "small" / "model.safetensors", {"format": "pt"})
    save_file(plain, folder / "plain" / "model.safetensors", {"format": "pt"})
    (folder / "small" / "config.json").write_text(json.dumps({**Checkpoint.at(base).config, "quantization_config": config}))
    return folder / "small", folder / "plain"


def as_trained_on(base, adapter):
    """Say in the manifest of an adapter that `base` is its own."""
    manifest = Checkpoint.at(adapter).manifest
    write_manifest(adapter, replace(manifest, base={"reference": f"file:{base}", "hash": Checkpoint.at(base).hash(), "path": str(base)}))


@pytest.fixture
def report(tmp_path):
    (tmp_path / "run").mkdir()
    return Report(tmp_path / "run")


@pytest.mark.parametrize("form", FORMS)
def test_a_stored_base_is_dequantized_to_what_its_numbers_stand_for(form, tiny_model, tmp_path, report):
    small, plain = quantized(tiny_model, tmp_path, form)
    learned = learned_adapter(plain, tmp_path / "adapter")
    as_trained_on(small, tmp_path / "adapter")
    whole = load_dequantized(Run(verb="merge", job="", model=source_of(small)), None, "cpu", tmp_path / "scratch")
    stands_for = build.load_checkpoint(plain, device="cpu", dtype="float32").model
    torch.testing.assert_close(logits(whole.model), logits(stands_for), atol=1e-4, rtol=0)

    out, figures = merge(merge_run(small, tmp_path / "adapter", out=tmp_path / "out", dtype="float32"), report)
    merged = build.load_checkpoint(out, device="cpu", dtype="float32").model
    torch.testing.assert_close(logits(merged), learned, atol=1e-3, rtol=0)
    assert (learned - logits(stands_for)).abs().max() > 0.1
    assert "quantization_config" not in Checkpoint.at(out).config
    assert figures["kl"] < 1e-5
    assert figures["top1"] == 1
    assert not list((tmp_path / "run").glob("merge-*"))


@pytest.mark.parametrize("form", ["w4a16", "w8a8", "fp8"])
def test_an_adapter_learns_on_what_compressed_tensors_has_packed(form, tiny_model, tmp_path, report):
    small, _ = quantized(tiny_model, tmp_path, form)
    learned = learned_adapter(small, tmp_path / "adapter", dropout=0)
    adapted = build.load_checkpoint(small, device="cpu", dtype="float32", adapters={"adapter": tmp_path / "adapter"}).model
    torch.testing.assert_close(logits(adapted), learned, atol=1e-4, rtol=0)
    out, _ = merge(merge_run(small, tmp_path / "adapter", out=tmp_path / "out", dtype="float32"), report)
    # W8A8 and FP8 round the activations too while the base is quantized
    found = logits(build.load_checkpoint(out, device="cpu").model)
    torch.testing.assert_close(found, learned, atol=1e-3 if form == "w4a16" else 0.5, rtol=0)


@pytest.mark.parametrize("options", [{"bits": 4}, {"bits": 8}])
def test_a_base_that_bitsandbytes_has_stored(options, tiny_model, tmp_path, report):
    from swift_train.save_model import write_model

    from swift_core.plugins.registered import registry

    run = Run(verb="load", job="", model=source_of(tiny_model), options={"device": "cpu", "dtype": "float32"})
    loaded = build.load_with(run, device="cpu", dtype="float32", quantizer=registry().choose("quantizer", "bnb", options))
    write_model(tmp_path / "small", loaded.model, loaded.processor)
    learned = learned_adapter(tmp_path / "small", tmp_path / "adapter", dropout=0)
    out, figures = merge(merge_run(tmp_path / "small", tmp_path / "adapter", out=tmp_path / "out", dtype="float32"), report)
    found = logits(build.load_checkpoint(out, device="cpu").model)
    # 8 bits round the activations too while the base is quantized
    torch.testing.assert_close(found, learned, atol=1e-3 if options["bits"] == 4 else 0.3, rtol=0)
    assert figures["adapter_effect"] > 1
    assert "quantization_config" not in Checkpoint.at(out).config


def test_what_has_no_way_back_is_named_with_what_to_do(tiny_model, tmp_path, report):
    small = Path(shutil.copytree(tiny_model, tmp_path / "small"))
    learned_adapter(tiny_model, tmp_path / "adapter")
    as_trained_on(small, tmp_path / "adapter")
    for config, problem in (
        ({"quant_method": "aqlm"}, "quantized with aqlm"),
        ({"quant_method": "gptq", "bits": 3}, "gptq with 3 bits"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "in the format 'gemv'"),
    ):
        (small / "config.json").write_text(json.dumps({**Checkpoint.at(tiny_model).config, "quantization_config": config}))
        with pytest.raises(UsageError, match=problem) as error:
            merge(merge_run(small, tmp_path / "adapter", out=tmp_path / "out", allow_other_base=True), report)
        assert "--model BASE --adapter ADAPTER --allow-other-base" in error.value.hint
        assert not (tmp_path / "out").exists()
