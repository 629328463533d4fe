"""Options of verbs that load a model themselves, or write a checkpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from swift_core.options import AdapterOptions, Options, option

_ATTENTION = {
    "flash_attn": "flash_attention_2", "flash_attn_2": "flash_attention_2", "fa2": "flash_attention_2", "flash_attn_3": "flash_attention_3",
    "fa3": "flash_attention_3", "flash_attn_4": "flash_attention_4", "flex": "flex_attention", "disabled": "eager",
}  # fmt: skip


class DeviceOptions(AdapterOptions):
    """Options of every verb that loads the model itself; engines have their own."""

    device: str = option("auto", "Device: auto, cpu, cuda, cuda:1, mps, npu, xpu.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto",
        "Data type of the weights; auto: as stored in the checkpoint, or the nearest type the device supports natively.",
        also=("torch_dtype",),
    )
    attention: str = option(
        "auto",
        "Attention implementation: auto, sdpa, eager, flash_attention_2.",
        also=("attn_impl", "attn_implementation", "flash_attn"),
    )

    experts: Literal["auto", "eager", "batched_mm", "grouped_mm"] = option(
        "auto",
        "Implementation of mixture-of-experts layers in transformers; auto: grouped_mm if device and library support it.",
        also=("experts_impl", "experts_implementation"),
    )

    @field_validator("attention")
    @classmethod
    def _spelling(cls, value: str) -> str:
        """Accept other tools' names: ms-swift's flash_attn, LLaMA-Factory's fa2."""
        return _ATTENTION.get(value, value)


class OutputOptions(Options):
    """Options of every verb that writes a checkpoint."""

    output: str = option(
        "", "Folder of the resulting checkpoint; default: `output` in the run folder.", also=("output_dir",), affects_result=False
    )
    overwrite: bool = option(False, "Replace the output if it exists.", also=("exist_ok", "overwrite_output_dir"), affects_result=False)
