"""Options of other tools (ms-swift) that need no counterpart in merge, quantize and export, or are refused."""

from __future__ import annotations

from collections.abc import Mapping

from swift_data import other_tools

_CALIBRATION = "the calibration set is sized in tokens, --calibration.tokens; rows are processed one by one"
_DEFAULT = "it is the default"
_STATED = "every result is verified against its source, and its checks are written to the report"

IGNORED: Mapping[str, str] = {
    **other_tools.IGNORED,
    **dict.fromkeys(("quant_n_samples", "quant_batch_size", "max_calib_samples"), _CALIBRATION),
    **dict.fromkeys(("push_to_hub=false", "merge_lora=false", "to_ollama=false", "task_type=causal_lm"), _DEFAULT),
    **dict.fromkeys(("safe_serialization=true", "trust_remote_code=false", "split_dataset_ratio=0"), _DEFAULT),
    **dict.fromkeys(("test_convert_precision", "test_convert_dtype"), _STATED),
    "max_shard_size": "files are split as the source's are",
    "device_map": "layers are quantized one by one on --device",
    "streaming=false": _DEFAULT,
    "truncation_strategy": "rows longer than --calibration.max-length are truncated",
    "group_ptq_method": "the quantizer decides it",
    "trust_remote_code=true": "code of a repository runs only if it is named with its revision: --trust-remote-code org/name@revision",
}

UNSUPPORTED: Mapping[str, str] = {
    "task_type": "Classifiers, embeddings and rerankers are not converted here: only generation.",
    "num_labels": "Classifiers are not converted here: only generation.",
    "problem_type": "Classifiers are not converted here: only generation.",
    "load_data_args": "It names the calibration rows of swift quantize; no other conversion needs rows.",
    "to_peft_format": "Adapters of swift are in PEFT's format already.",
    "quant_method=hqq": "HQQ's models can't be saved by the libraries here: use --quantizer bnb, torchao or gptq.",
    "quant_method=quanto": "Its models can't be saved: use --quantizer bnb or torchao.",
    "hub_model_id": "Upload a folder with: swift push FOLDER hf:org/name.",
    "hub_token": "Set the variable HF_TOKEN or MODELSCOPE_API_TOKEN.",
    "template": "The chat template of the checkpoint is used.",
    "agent_template": "Tool calls are rendered by the checkpoint's own chat template; omit it.",
    "use_chat_template": "Calibration rows are rendered by the checkpoint's own chat template.",
    "loss_scale": "It has no meaning without training.",
    "split_dataset_ratio": "Name the rows to compare on: --val-dataset FILE.",
    "system": "It is written into rows, not into a checkpoint.",
}
