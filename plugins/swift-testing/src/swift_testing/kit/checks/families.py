"""Checks of a model family against the modules that transformers builds for it, on the meta device, so without weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swift_core.contract import ModelFamily
from swift_testing.kit.model import Example, Skip, check, require
from swift_testing.kit.subject import Subject

FAMILY = "family"
_NEEDS = ("torch", "transformers")
_SHORT = {"num_hidden_layers": 4}


def _models(subject: Subject) -> list[Any]:
    """Return one model per model type and configuration of the example, built once."""
    found = subject.keep("models", lambda: list(build(subject.spec, subject.example)))
    if not found:
        raise Skip("transformers has no class for it; it requires remote code")
    return found


def build(family: ModelFamily, example: Example) -> Iterator[Any]:
    """Build, on the meta device, the models that transformers has for the model types of a family, in the example's configurations."""
    import torch
    import transformers
    from transformers.models.auto import modeling_auto as auto

    tables = (
        auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
        auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )
    names = {kind: name for table in tables for kind, name in table.items()}
    for model_type in family.model_types:
        if model_type in transformers.CONFIG_MAPPING and model_type in names:
            for config in _configs(transformers.CONFIG_MAPPING[model_type], example.configurations):
                with torch.device("meta"):
                    yield getattr(transformers, names[model_type])(config)


def _configs(config_class: Any, configurations: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    from transformers import AutoConfig

    parts = config_class.sub_configs
    for values in configurations:
        if "text_config" not in parts:
            yield config_class(**{**_SHORT, **values})
            continue
        text = {**_SHORT, **values}
        if parts["text_config"] is AutoConfig:  # any language model is accepted
            text.setdefault("model_type", "llama")
        yield config_class(**{part: text if part == "text_config" else {} for part in parts})


def _below(prefix: str, name: str) -> bool:
    return name.startswith(f"{prefix}.")


@check(FAMILY)
def check_architectures(subject: Subject) -> None:
    """It lists the architectures in `config.json` by which the family of a checkpoint is recognised."""
    require(subject.spec.architectures, "it lists no architectures, so no checkpoint is recognised as this family")


@check(FAMILY, needs=_NEEDS)
def check_architectures_exist(subject: Subject) -> None:
    """Each architecture for which transformers has a class is the class that it builds for the model type."""
    import transformers

    built = {type(model).__name__ for model in _models(subject)}
    wrong = {name for name in subject.spec.architectures if hasattr(transformers, name)} - built
    require(not wrong, f"transformers builds {', '.join(sorted(built))} for its model types, not {', '.join(sorted(wrong))}")


@check(FAMILY, needs=_NEEDS)
def check_targets_exist(subject: Subject) -> None:
    """Each target is the name of a linear layer inside `blocks`: an adapter on a missing layer would fail every training."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    spec: ModelFamily = subject.spec
    require(spec.targets, "it lists no targets for adapters")
    names = {
        name
        for model in _models(subject)
        for name, module in model.named_modules()
        if isinstance(module, Linear | Conv1D) and _below(spec.blocks, name)
    }
    missing = sorted(set(spec.targets) - {name.rpartition(".")[2] for name in names})
    available = ", ".join(sorted({name.rpartition(".")[2] for name in names})) or "none"
    require(not missing, f"targets that are not linear layers in '{spec.blocks}': {', '.join(missing)}. Available: {available}")


@check(FAMILY, needs=_NEEDS)
def check_paths_exist(subject: Subject) -> None:
    """`blocks`, `embeddings` and `head` are paths of the right modules: quantizers, pipelines and freezing rely on them."""
    spec: ModelFamily = subject.spec
    for model in _models(subject):
        modules = dict(model.named_modules())
        for name in ("blocks", "embeddings", "head"):
            path = getattr(spec, name)
            require(path in modules, f"{name}: {type(model).__name__} has no module '{path}'")
        require(type(modules[spec.blocks]).__name__ == "ModuleList", f"blocks: '{spec.blocks}' is not a ModuleList")
        require(modules[spec.embeddings] is model.get_input_embeddings(), f"embeddings: '{spec.embeddings}' is not the input embedding")
        require(modules[spec.head] is model.get_output_embeddings(), f"head: '{spec.head}' is not the output layer")


@check(FAMILY, needs=_NEEDS)
def check_skipped_modules_exist(subject: Subject) -> None:
    """The modules in `skip_quantization` exist: a module with a misspelt name would be quantized silently."""
    names = [name for model in _models(subject) for name, _ in model.named_modules()]
    missing = [skip for skip in subject.spec.skip_quantization if not any(name.endswith(skip) for name in names)]
    require(not missing, f"skip_quantization lists modules that don't exist: {', '.join(missing)}")


@check(FAMILY, needs=_NEEDS)
def check_prefixes_partition_parameters(subject: Subject) -> None:
    """Every parameter of a multimodal model belongs to one of its parts (language model, vision tower, aligner), which can be frozen."""
    spec: ModelFamily = subject.spec
    prefixes = [prefix for prefix in (spec.language_model, spec.vision_tower, spec.aligner) if prefix]
    if len(spec.modalities) == 1:
        require(not prefixes, "its only modality is text, but it names parts of a multimodal model")
        return
    require(spec.language_model and spec.vision_tower, "it is multimodal, but has no language_model or no vision_tower")
    require(_below(spec.language_model, spec.blocks), f"its blocks, {spec.blocks}, are not inside its language_model")
    inside = [(one, other) for one in prefixes for other in prefixes if one is not other and (one == other or _below(other, one))]
    overlapping = [pair for pair in inside if pair != (spec.aligner, spec.vision_tower)]  # the longest prefix wins
    require(not overlapping, f"prefixes that overlap: {'; '.join(f'{one} and {other}' for one, other in overlapping)}")
    for model in _models(subject):
        owned = dict.fromkeys(prefixes, 0)
        for name, _ in model.named_parameters():
            if _below(spec.head, name) or name.startswith(subject.example.outside or ("\0",)):
                continue
            owner = max((prefix for prefix in prefixes if _below(prefix, name)), key=len, default="")
            require(owner, f"the parameter {name} belongs to none of {', '.join(prefixes)}")
            owned[owner] += 1
        empty = [prefix for prefix, count in owned.items() if not count]
        require(not empty, f"no parameter has the prefix {', '.join(empty)}")


@check(FAMILY)
def check_remote_code(subject: Subject) -> None:
    """`remote_code` is set exactly if transformers has no class for it, since users are asked to trust that code."""
    import importlib.util

    if importlib.util.find_spec("transformers") is None:
        raise Skip("transformers is not installed")
    from transformers import CONFIG_MAPPING

    native = [name for name in subject.spec.model_types if name in CONFIG_MAPPING]
    require(not (subject.spec.remote_code and native), f"transformers has a class for {', '.join(native)}; no remote code is needed")
    native_or_remote = subject.spec.remote_code or native or not subject.spec.model_types
    require(native_or_remote, "transformers has no class for it, so remote_code must be set")
