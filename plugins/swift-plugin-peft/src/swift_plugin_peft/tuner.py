"""The tuner behind every adapter: PEFT's configuration class from our options, its model, and its files."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper
from safetensors.torch import save_file

from swift_core.errors import SwiftError, UsageError, suggestion
from swift_plugin_peft import pissa_to_lora
from swift_plugin_peft.options import AdapterOptions, AnyPeftOptions, Ia3Options, LoraOptions
from swift_plugin_peft.selection import Selection, select
from swift_plugin_peft.targets import check_modules
from swift_plugin_peft.tied_weights import check_apart, untie

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.specs import ModelFamily

_OURS = frozenset({"task_type", "inference_mode", "peft_type", "target_modules", "modules_to_save", "base_model_name_or_path"})


_INSIDE = re.compile(r"\(\n.*\n\)", re.DOTALL)  # what a module holds, line by line


class PeftTuner:
    """Adds an adapter to a frozen base, and keeps what it learned as PEFT does."""

    def __init__(self, options: AdapterOptions) -> None:
        self.options = options
        self.remarks: list[str] = []

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """A PeftModel with a new adapter; nothing else learns.

        Raises:
            UsageError: targets or values that do not fit this model.
        """
        self.remarks.clear()
        check_apart(model, check_modules(self.options.modules_to_save, model), "tuner.modules_to_save")
        base = dict(model.named_parameters())
        if self._moves_base() and getattr(model, "is_quantized", False):
            raise UsageError(
                "this start changes the base's weights, which are quantized",
                where="tuner.init",
                hint="Use --tuner.init default, or load the base unquantized.",
            )
        try:
            adapted = get_peft_model(model, self._config(model, family))
        except (ValueError, TypeError, NotImplementedError) as error:
            raise UsageError(
                f"PEFT refuses: {_INSIDE.sub('', str(error))}", where="tuner", hint="Check the tuner's options against the layers' sizes."
            ) from error
        _check_magnitudes(adapted)
        if getattr(self.options, "bias", "none") == "none" and (
            learning := [name for name, weight in base.items() if weight.requires_grad]
        ):
            raise SwiftError(
                f"the base is not frozen: {', '.join(learning[:3])} would learn", where="tuner", hint="Use another tuner, and report this."
            )
        if self._moves_base():
            pissa_to_lora.remember(adapted)
        learner: Module = adapted.train()
        return learner

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Put a saved adapter of any method onto a base, or beside the adapters that it has. The first one is active.

        Raises:
            UsageError: the adapter does not fit the base, which is left as it was.
        """
        if "." in name:
            raise UsageError(f"an adapter's name can't have a dot: '{name}'", where="adapter", hint="Name it otherwise: name=folder.")
        adapted: Any = model
        try:
            if not isinstance(model, PeftModel):
                config = PeftConfig.from_pretrained(str(folder))
                config.inference_mode = not trainable
                adapted = get_peft_model(adapted, config, adapter_name=name)
            result = adapted.load_adapter(folder, name, is_trainable=trainable, torch_device=str(adapted.device))
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            _take_off(model, name)
            reason = str(error).strip().splitlines()
            raise UsageError(
                f"the adapter does not fit the base: {reason[-1].strip() if reason else type(error).__name__}",
                where=str(folder),
                hint=_BASE,
            ) from error
        if wrong := [*_unset(adapted, result.missing_keys), *result.unexpected_keys]:
            _take_off(model, name)
            raise UsageError(
                f"the adapter does not fit the base: {len(wrong)} weights differ, such as {wrong[0]}", where=str(folder), hint=_BASE
            )
        restored: Module = adapted.train(trainable)
        return restored

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """One group; two with LoRA+, whose B has the higher rate. Magnitudes and biases go with B, as in PEFT."""
        learning = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        ratio = getattr(self.options, "lr_ratio", 1.0)
        if ratio == 1.0:
            return [{"params": [parameter for _, parameter in learning]}]
        fast = [parameter for name, parameter in learning if "lora_B" in name or parameter.ndim == 1]
        slow = [parameter for name, parameter in learning if "lora_B" not in name and parameter.ndim != 1]
        return [{"params": slow}, {"params": fast, "mult": ratio}]

    def save(self, model: Module, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write adapter_model.safetensors and adapter_config.json; `weights` are gathered tensors by parameter name."""
        state = get_peft_model_state_dict(
            model, state_dict={**model.state_dict(), **_by_every_name(model, weights or {})}, save_embedding_layers=False
        )
        config: Any = model.peft_config["default"]  # type: ignore[index]
        if initial := pissa_to_lora.initial_of(model):
            state, config = pissa_to_lora.as_plain_lora(state, config, initial)
        folder.mkdir(parents=True, exist_ok=True)
        # clones, since methods that share tensors between layers can't be written as they are
        save_file(
            {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()},
            folder / "adapter_model.safetensors",
            {"format": "pt"},
        )
        config = copy.copy(config)
        config.inference_mode = True
        config.save_pretrained(str(folder))

    def merge(self, model: Module) -> Module:
        """The base with the active adapter folded in.

        Raises:
            SwiftError: the base is quantized (PEFT would silently drop the adapter), or the method can't be merged.
        """
        adapted: Any = model
        if getattr(adapted.get_base_model(), "is_quantized", False):
            raise SwiftError(
                "an adapter can't be merged into a quantized base", where="merge", hint="Load the base unquantized, or dequantize it first."
            )
        base: Any = adapted.get_base_model()
        # rows of single tokens are learned for all who share them
        layers = [path for path, _ in base.named_modules() if path.endswith(".base_layer") and "token_adapter" not in path]
        check_apart(base, layers, "merge")
        untie(base, layers)
        try:
            merged: Module = adapted.merge_and_unload(safe_merge=True)
        except (ValueError, AttributeError, NotImplementedError) as error:
            raise SwiftError(f"PEFT can't merge this adapter: {error}", where="merge", hint="Serve it beside its base instead.") from error
        return merged

    def speaking_as(self, model: Module, name: str) -> AbstractContextManager[None]:
        """One adapter answers, or the base."""
        adapted: Any = model
        if not name:
            return adapted.disable_adapter()  # type: ignore[no-any-return]
        adapted.set_adapter(name)
        return nullcontext()

    def drop(self, model: Module, name: str) -> Module:
        """Take an adapter off; with the last one, PEFT's wrapper too."""
        adapted: Any = model
        left = [other for other in adapted.peft_config if other != name]
        if not left:
            base: Module = adapted.unload()
            return base
        adapted.set_adapter(left[0])
        adapted.delete_adapter(name)
        return model

    def in_layers(self, model: Module) -> bool:
        """All do but those that are learned as a prompt."""
        adapted: Any = model
        return not any(config.is_prompt_learning for config in adapted.peft_config.values())

    def _moves_base(self) -> bool:
        return isinstance(self.options, LoraOptions) and self.options.init.startswith(("pissa", "olora"))

    def _config(self, model: Module, family: ModelFamily) -> Any:
        options = self.options
        config_class: Any = _method(options.method) if isinstance(options, AnyPeftOptions) else getattr(peft, options.config_class)
        values = {theirs: getattr(options, ours) for ours, theirs in options.keys.items()}
        if isinstance(options, LoraOptions) and options.init in ("default", "true"):
            values["init_lora_weights"] = True
        if isinstance(options, Ia3Options):
            return self._ia3(config_class, values, model, family)
        values |= self._shared(config_class)
        return config_class(**values, target_modules=self._targets(model, family, config_class(**values)))

    def _ia3(self, config_class: Any, values: dict[str, Any], model: Module, family: ModelFamily) -> Any:
        if self.options.targets == "auto":  # PEFT knows keys, values and feed-forward of the architecture
            del values["feedforward_modules"]
            return config_class(**values, **self._shared(config_class), target_modules=None)
        values["feedforward_modules"] = values["feedforward_modules"] or []
        values |= self._shared(config_class)
        return config_class(**values, target_modules=self._targets(model, family, config_class(**values)))

    def _targets(self, model: Module, family: ModelFamily, method: PeftConfig) -> list[str] | str:
        selection: Selection = select(self.options.targets, model, family, method)
        self.remarks += selection.remarks
        if self._moves_base():  # those that share a weight are to keep it as it is
            untie(model, selection.tied)
        return selection.targets

    def _shared(self, config_class: Any) -> dict[str, Any]:
        known = {field.name for field in dataclasses.fields(config_class)} - _OURS
        for name in self.options.config:
            if name not in known:
                raise UsageError(
                    f"{config_class.__name__} has no field '{name}' to set",
                    where=f"tuner.config.{name}",
                    hint=suggestion(name, known) or f"Known: {', '.join(sorted(known))}.",
                )
        return {"task_type": "CAUSAL_LM", "modules_to_save": self.options.modules_to_save or None, **self.options.config}


def _check_magnitudes(adapted: Module) -> None:
    """Refuse DoRA on weights with rows of zeros, whose direction is nothing: the first loss would not be a number."""
    for name, weight in adapted.named_parameters():
        if "lora_magnitude_vector" in name and not weight.is_meta and not bool(weight.detach().all()):
            path = name.removeprefix("base_model.model.").partition(".lora_magnitude_vector")[0]
            raise UsageError(
                f"DoRA divides by the length of each row of a weight, and '{path}' has rows of zeros",
                where="tuner.targets",
                hint="Leave it out, or use --tuner lora.",
            )


def _by_every_name(model: Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under all names of their parameters: some methods share a parameter between layers (VB-LoRA's bank of vectors)."""
    parameters = list(model.named_parameters(remove_duplicate=False))
    given = {id(parameter): weights[name] for name, parameter in parameters if name in weights}
    return {**weights, **{name: given[id(parameter)] for name, parameter in parameters if id(parameter) in given}}


def _take_off(model: Any, name: str) -> None:
    """Make a model what it was before an adapter failed to load: a server goes on with it."""
    if isinstance(model, PeftModel):
        if name in model.peft_config:
            model.delete_adapter(name)
        return
    for path, module in reversed(list(model.named_modules())):
        inner = getattr(module, "base_layer", None) if isinstance(module, BaseTunerLayer) else None
        inner = module.original_module if isinstance(module, AuxiliaryTrainingWrapper) else inner
        if inner is not None:
            parent, _, last = path.rpartition(".")
            setattr(model.get_submodule(parent), last, inner)
    vars(model).pop("peft_config", None)


def _unset(model: Module, missing: list[str]) -> list[str]:
    """Those of the missing weights that are not merely other names of weights which were found (VB-LoRA's one bank in every layer)."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    found = {id(parameter) for name, parameter in parameters.items() if name not in missing}
    return [name for name in missing if name not in parameters or id(parameters[name]) not in found]


_BASE = "Is this the base that it was trained on?"


def _method(name: str) -> type[PeftConfig]:
    """PEFT's configuration class of a method that adapts layers."""
    methods = {
        str(kind.value).lower(): config
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        if {"target_modules", "modules_to_save"} <= {field.name for field in dataclasses.fields(config)}
    }
    if name.lower() not in methods:
        raise UsageError(
            f"PEFT has no method '{name}' that adapts layers",
            where="tuner.method",
            hint=suggestion(name, methods) or f"Known: {', '.join(sorted(methods))}.",
        )
    return methods[name.lower()]
