"""Files of LLaMA-Factory that train nothing: export, quantization, asking, and answers to rows."""

from __future__ import annotations

from swift_plugin_import import shared
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.tools.dataset_info import Registered, split_names
from swift_plugin_import.translation import Translation

_BACKENDS = {"huggingface": "transformers", "hf": "transformers", "vllm": "vllm", "sglang": "sglang"}
_NOT_WHEN_ASKING = (
    "cutoff_len", "per_device_eval_batch_size", "preprocessing_num_workers", "ddp_timeout", "bf16", "fp16", "stage",
    "predict_with_generate",
    "dataloader_num_workers", "overwrite_cache", "do_eval", "do_train",
)  # fmt: skip


def arrange(keys: Keys, found: Translation, source: Source) -> None:
    """Read what is asked, exported or quantized."""
    if is_on(keys.take("do_predict")):
        _predict(keys, found, source)
    adapters = split_names(keys.take("adapter_name_or_path"))
    if adapters:
        found.set("adapter", adapters, "adapter_name_or_path")
    for key in ("template", "finetuning_type"):
        if key in keys:
            found.drop(key, keys.take(key), "it is read from the checkpoint")
    backend = keys.take("infer_backend", keys.take("sample_backend"))
    if backend is not None and found.verb == "infer":
        found.set("backend.name", _BACKENDS.get(str(backend), str(backend)), "infer_backend")
    if found.verb == "quantize":
        found.set("quantizer.name", "gptq", "export_quantization_bit")
        found.set("bits", keys.take("export_quantization_bit"), "export_quantization_bit")
        if dataset := keys.take("export_quantization_dataset"):
            found.set("dataset", split_names(dataset), "export_quantization_dataset")
    if found.verb == "export":
        found.set("exporter.name", "safetensors", "export_dir")
    peft = keys.take("peft_config")
    if isinstance(peft, dict):
        found.refuse("peft_config", peft, "name the adapter with adapter_name_or_path")
    shared.other_code(keys, found)
    if "flash_attn" in keys:
        found.drop("flash_attn", keys.take("flash_attn"), "the backend chooses it")


def _predict(keys: Keys, found: Translation, source: Source) -> None:
    """Read a file that answers rows: the answers are one file, in the folder that it names."""
    registered, limit = Registered(source, str(keys.take("dataset_dir", "data"))), keys.take("max_samples")
    key = "eval_dataset" if "eval_dataset" in keys else "dataset"
    registered.place(split_names(keys.take(key)), "dataset", found, limit=limit, origin=key)
    if folder := keys.take("output_dir"):
        found.set("output", f"{str(folder).rstrip('/')}/generated_predictions.jsonl", "output_dir")
    found.set("backend.name", "transformers", "do_predict")
    if found.value("temperature") is None and not is_on(keys.take("do_sample", True)):
        found.set("temperature", 0.0, "do_sample")
    for name in _NOT_WHEN_ASKING:
        if name in keys:
            found.drop(name, keys.take(name), "answers are asked of a server, several at once")
