"""axolotl's keys of the model: its quantization, attention, tokens and chat template, and how it is distributed."""

from __future__ import annotations

from typing import Any

from swift_plugin_import import parallel, shared
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.translation import Translation

_BITS = 4
_BNB = {
    "bnb_4bit_use_double_quant": "double_quantization", "bnb_4bit_quant_type": "kind", "bnb_4bit_compute_dtype": "compute_dtype",
}  # fmt: skip
_ATTENTION = {
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "eager_attention": "eager",
    "flex_attention": "flex_attention",
}


def quantization(keys: Keys, found: Translation) -> None:
    """Read bitsandbytes' own options."""
    for key in ("quantize_moe_experts", "llama4_linearized_experts"):
        experts = keys.take(key)
        if is_on(experts) and (found.value("tuner.name") == "qlora" or found.value("quantizer.bits") == _BITS):
            found.set("quantizer.name", "bnb", "load_in_4bit")
            found.set("quantizer.experts", True, key)
        elif is_on(experts):
            found.refuse(key, experts, "experts are quantized to 4 bits: load_in_4bit")
        elif experts is not None:
            found.drop(key, experts, "it is switched off")
    for key, value in shared.mapping(keys, found, "bnb_config_kwargs").items():
        origin = f"bnb_config_kwargs.{key}"
        if key in _BNB and found.value("tuner.name") == "qlora":
            found.set("quantizer.name", "bnb", "load_in_4bit")
            found.set(f"quantizer.{_BNB[key]}", value, origin)
        else:
            found.drop(origin, value, "nothing is quantized to 4 bits" if key in _BNB else "bitsandbytes chooses it")


def lisa(keys: Keys, found: Translation) -> None:
    """Choose LISA, which is an optimizer here; its keys are names of its options."""
    found.set("optimizer.name", "lisa", "lisa_n_layers")
    if (name := keys.take("optimizer")) is not None:
        found.drop("optimizer", name, "LISA is AdamW on some layers at a time")


def attention(keys: Keys, found: Translation) -> None:
    """Read the attention implementation."""
    for key, name in _ATTENTION.items():
        shared.switch(keys, found, key, "attention", name)
    shared.switch(keys, found, "xformers_attention", "attention", "sdpa")
    for key in ("sage_attention", "s2_attention"):
        value = keys.take(key)
        if is_on(value):
            found.refuse(key, value, "there is no such attention implementation here")
        elif value is not None:
            found.drop(key, value, "it is switched off")
    if "attn_implementation" in keys:
        value = keys.take("attn_implementation")
        if value == "sage":
            found.refuse("attn_implementation", value, "attention in 8 bits is not supported")
        else:
            shared.attention("attn_implementation", value, found)
    mixed = keys.take("gemma4_hybrid_attn_impl")
    if is_on(mixed) and found.value("attention") == "flash_attention_2":
        found.set("attention", "sdpa", "gemma4_hybrid_attn_impl")
        found.notes.append(
            "gemma4_hybrid_attn_impl: heads of the global layers are too large for flash_attention_2; sdpa computes all layers"
        )
    elif mixed is not None:
        found.drop("gemma4_hybrid_attn_impl", mixed, "one implementation computes all layers")


def distribution(keys: Keys, found: Translation, source: Source) -> None:
    """Read FSDP, DeepSpeed, and the sizes of a device mesh."""
    parallel.fsdp(keys, found)
    if "deepspeed" in keys:
        parallel.deepspeed(keys.take("deepspeed"), found, source)
    keys.rename("sequence_parallel_degree", "context_parallel_size")
    for key, option in (("context_parallel_size", "context"), ("tensor_parallel_size", "tensor"), ("dp_replicate_size", "data")):
        size = shared.number(keys, found, key)
        if size is not None and size > 1 and found.value("parallel.name") == "fsdp":
            parallel.mesh(found, {option: int(size)}, key)
        elif size is not None and size > 1 and found.value("parallel.name", "mesh") == "mesh":
            found.set("parallel.name", "mesh", key)
            found.set(f"parallel.{option}", size, key)
            found.notes.append(f"{key}: the number of processes, a multiple of {size}, is given with --processes")
        elif size is not None and size > 1:
            found.refuse(key, size, f"the strategy {found.value('parallel.name')} has no such dimension")
        elif size is not None:
            found.drop(key, size, "one process is the default")
    shard = shared.number(keys, found, "dp_shard_size")
    if shard is not None and found.value("parallel.name") == "mesh":
        found.drop("dp_shard_size", shard, "the mesh shards weights over data and context")
    elif shard is not None and found.value("parallel.name", "fsdp") == "fsdp":
        found.set("parallel.name", "fsdp", "dp_shard_size")
        found.set("parallel.shard_size", shard, "dp_shard_size")
    elif shard is not None:
        found.refuse("dp_shard_size", shard, "the mesh has no dimension that shards weights")


def model(keys: Keys, found: Translation) -> None:
    """Read the revision, and how a checkpoint's own quantization is loaded."""
    revision = keys.take("revision_of_model")
    name = keys.get("base_model")
    if revision is not None and isinstance(name, str) and "/" in name and not name.startswith((".", "/")):
        found.set("model", f"hf:{keys.take('base_model')}@{revision}", "base_model, revision_of_model")
    elif revision is not None:
        found.refuse("revision_of_model", revision, "a folder has no revisions")
    keys.rename("model_config", "overrides_of_model_config")
    for name, value in shared.mapping(keys, found, "overrides_of_model_config").items():
        _override(name, value, found)
    config, values = keys.take("model_quantization_config"), shared.mapping(keys, found, "model_quantization_config_kwargs")
    if config == "Mxfp4Config" and values.get("dequantize"):
        found.drop("model_quantization_config", config, "weights stored in MXFP4 are expanded when they are trained")
    elif config is not None:
        found.refuse("model_quantization_config", config, "weights stored in MXFP4 are expanded when they are trained")


def _override(name: str, value: Any, found: Translation) -> None:
    """Read a field of config.json that is set for a run."""
    origin = f"overrides_of_model_config.{name}"
    if name == "output_router_logits":
        if is_on(value):
            found.set("router_loss", "checkpoint", origin)
        else:
            found.drop(origin, value, "it is the default")
    elif name == "rope_scaling" and isinstance(value, dict):
        found.set("rope_scaling", value, origin)
    elif name == "use_cache":
        found.drop(origin, value, "a training needs no cache; the checkpoint's own setting is saved")
    else:
        found.refuse(origin, value, "the configuration of the checkpoint is used")


def tokens(keys: Keys, found: Translation) -> None:
    """Read special tokens and the chat template."""
    for name, token in shared.mapping(keys, found, "special_tokens").items():
        if name == "pad_token":
            found.drop("special_tokens.pad_token", token, "padding is masked, whichever token it is")
        elif name == "eos_token":
            found.drop(f"special_tokens.{name}", token, "answers are trained through the end-of-turn token of the chat template")
        elif name in ("bos_token", "unk_token"):
            found.drop(f"special_tokens.{name}", token, "the chat template and the tokenizer of the checkpoint are used")
        elif name in ("additional_special_tokens", "extra_special_tokens"):
            found.set("new_special_tokens", token, f"special_tokens.{name}")
        else:
            found.refuse(f"special_tokens.{name}", token, "the special tokens of the checkpoint are used")
    added = keys.take("tokens")
    if is_on(added):
        found.set("new_tokens", added, "tokens")
    elif added is not None:
        found.drop("tokens", added, "no tokens are added")
    template = keys.take("chat_template")
    if template in (None, "tokenizer_default"):
        if template:
            found.drop("chat_template", template, "the chat template of the checkpoint is the default")
    elif template == "jinja" or keys.get("chat_template_jinja"):
        code = keys.take("chat_template_jinja")
        found.refuse("chat_template_jinja", code, "write it to a file and give its path: chat_template: FILE.jinja")
    elif str(template).endswith(".jinja"):
        found.set("chat_template", str(template), "chat_template")
    else:
        name = str(template).removeprefix("tokenizer_default_fallback_")
        found.drop("chat_template", template, "the chat template of the checkpoint is used")
        found.notes.append(f"chat_template: if the checkpoint has no template of its own, give one like '{name}' as a file: chat_template")
