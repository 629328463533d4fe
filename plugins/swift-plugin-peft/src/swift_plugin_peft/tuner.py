"""The tuner behind every PEFT method: build PEFT's configuration from our options, attach the adapter, save, load and merge it."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from swift_train.heads import score_modules
from swift_train.model_parts import parts_of
from swift_train.save_model import is_shared
from swift_train.tuner_bases import PeftSwitching

from swift_core.contract import SwiftError, UsageError, suggestion
from swift_plugin_peft import pissa_to_lora
from swift_plugin_peft.adapter_options import AdapterOptions
from swift_plugin_peft.fused_lora import fuse
from swift_plugin_peft.gradient_start import NAME as LORA_GA, GradientStart
from swift_plugin_peft.methods import method_config
from swift_plugin_peft.options import AnyPeftOptions, Ia3Options, LoraOptions
from swift_plugin_peft.restoring import remove_partial_adapter, truly_missing, under_all_names
from swift_plugin_peft.selection import Selection, select
from swift_plugin_peft.target_parameters import find_parameters
from swift_plugin_peft.targets import find_modules_to_save
from swift_plugin_peft.task_types import task_type
from swift_plugin_peft.tied_weights import check_can_untie, untie
from swift_plugin_peft.token_rows import token_rows

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.contract import ModelFamily

# Fields of PEFT's configuration that are set here and can't be given in `config`.
_MANAGED_FIELDS = frozenset({"task_type", "inference_mode", "peft_type", "target_modules", "modules_to_save", "base_model_name_or_path"})

_CHECK_BASE = "Use the base model that the adapter was trained on."
_MODULE_REPR = re.compile(r"\(\n.*\n\)", re.DOTALL)  # the multi-line repr of a module's children in PEFT's messages


class PeftTuner(GradientStart, PeftSwitching):
    """Adds an adapter to a frozen base model, and saves and restores it in PEFT's format."""

    def __init__(self, options: AdapterOptions) -> None:
        self.options = options
        self.remarks: list[str] = []
        self._tokens: list[int] = []

    def train_tokens(self, ids: Sequence[int]) -> None:
        """Train the rows of new tokens in the embeddings and the output layer, and save them with the adapter."""
        self._tokens = list(ids)

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Wrap the model in a PeftModel with a new adapter; only the adapter is trainable.

        Raises:
            UsageError: the targets or values do not match this model.
            SwiftError: PEFT left base parameters trainable.
        """
        self.remarks.clear()
        check_can_untie(model, find_modules_to_save(self.options.modules_to_save, model), "tuner.modules_to_save")
        base = dict(model.named_parameters())
        if self._init_modifies_base() and getattr(model, "is_quantized", False):
            raise UsageError(
                "this initialisation modifies the base weights, which are quantized",
                code="TUNER-008",
                where="tuner.init",
                hint="Use --tuner.init default, or load the base unquantized.",
            )
        try:
            config = self._config(model, family)
            self.estimate(model, config)
            adapted = get_peft_model(model, config)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise UsageError(
                f"PEFT rejected the options: {_MODULE_REPR.sub('', str(error))}",
                code="TUNER-009",
                where="tuner",
                hint="Check the tuner's options against the layer sizes.",
            ) from error
        _check_dora_magnitudes(adapted)
        if not (isinstance(self.options, LoraOptions) and self.options.bias != "none") and (
            trainable := [name for name, weight in base.items() if weight.requires_grad]
        ):
            raise SwiftError(
                f"the base model is not frozen: {', '.join(trainable[:3])} would be trained",
                code="TUNER-010",
                where="tuner",
                hint="Use another tuner, and report this as a bug.",
            )
        if self._init_modifies_base():
            pissa_to_lora.save_initial_values(adapted)
        fuse(adapted)
        result: Module = adapted.train()
        return result

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Load a saved adapter of any method onto a base model, or next to the adapters that it already has.

        The first adapter loaded is active.

        Raises:
            UsageError: the adapter does not match the base model, which is left unchanged.
        """
        if "." in name:
            raise UsageError(
                f"an adapter name must not contain a dot: '{name}'",
                code="TUNER-011",
                where="adapter",
                hint="Choose another name: name=folder.",
            )
        adapted: Any = model
        try:
            if not isinstance(model, PeftModel):
                config = PeftConfig.from_pretrained(str(folder))
                config.inference_mode = not trainable
                adapted = get_peft_model(adapted, config, adapter_name=name)
            # read into main memory, as safetensors does not know every device; the values are copied into the adapter's own weights
            result = adapted.load_adapter(folder, name, is_trainable=trainable, torch_device="cpu")
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            remove_partial_adapter(model, name)
            reason = str(error).strip().splitlines()
            raise UsageError(
                f"the adapter does not match the base model: {reason[-1].strip() if reason else type(error).__name__}",
                code="TUNER-012",
                where=str(folder),
                hint=_CHECK_BASE,
            ) from error
        if wrong := [*truly_missing(adapted, result.missing_keys), *result.unexpected_keys]:
            remove_partial_adapter(model, name)
            raise UsageError(
                f"the adapter does not match the base model: {len(wrong)} weights are missing or unexpected, such as {wrong[0]}",
                code="TUNER-013",
                where=str(folder),
                hint=_CHECK_BASE,
            )
        if trainable:
            fuse(adapted)
        restored: Module = adapted.train(trainable)
        return restored

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """Return one group, or two for LoRA+, whose B has the higher learning rate; magnitudes and biases go with B, as in PEFT."""
        trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        ratio = self.options.lr_ratio if isinstance(self.options, LoraOptions) else 1.0
        if ratio == 1.0:
            return [{"params": [parameter for _, parameter in trainable]}]
        fast = [parameter for name, parameter in trainable if "lora_B" in name or parameter.ndim == 1]
        slow = [parameter for name, parameter in trainable if "lora_B" not in name and parameter.ndim != 1]
        return [{"params": slow}, {"params": fast, "mult": ratio}]

    def save(self, model: Module, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write adapter_model.safetensors and adapter_config.json; `weights` are full (gathered) tensors by parameter name."""
        state = get_peft_model_state_dict(
            model, state_dict={**model.state_dict(), **under_all_names(model, weights or {})}, save_embedding_layers=False
        )
        config: Any = model.peft_config["default"]  # type: ignore[index]
        if initial := pissa_to_lora.initial_values(model):
            state, config = pissa_to_lora.as_plain_lora(state, config, initial)
        folder.mkdir(parents=True, exist_ok=True)
        # Clones: safetensors refuses tensors that share memory, and some methods share tensors between layers.
        save_file(
            {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()},
            folder / "adapter_model.safetensors",
            {"format": "pt"},
        )
        config = copy.copy(config)
        config.inference_mode = True
        config.save_pretrained(str(folder))

    def merge(self, model: Module) -> Module:
        """Merge the active adapter into the base weights and return the plain model.

        Raises:
            SwiftError: the base is quantized (PEFT would silently drop the adapter), or the method does not support merging.
            UsageError: the adapter is on a module whose weight is tied and can't be untied.
        """
        adapted: Any = model
        if getattr(adapted.get_base_model(), "is_quantized", False):
            raise SwiftError(
                "an adapter can't be merged into a quantized base",
                code="TUNER-014",
                where="merge",
                hint="Load the base unquantized, or dequantize it first.",
            )
        base: Any = adapted.get_base_model()
        # Trainable token rows (token_adapter) are meant for all modules that share the embedding, so they stay tied.
        layers = [path for path, _ in base.named_modules() if path.endswith(".base_layer") and "token_adapter" not in path]
        check_can_untie(base, layers, "merge")
        untie(base, layers)
        tied = getattr(base.config, "tie_word_embeddings", False)
        try:
            merged: Module = adapted.merge_and_unload(safe_merge=True)
        except (ValueError, AttributeError, NotImplementedError) as error:
            raise SwiftError(
                f"PEFT can't merge this adapter: {error}",
                code="TUNER-015",
                where="merge",
                hint="Serve the adapter with its base model instead.",
            ) from error
        if tied and (head := base.get_output_embeddings()) is not None and is_shared(base, head):
            base.config.tie_word_embeddings = True  # PEFT compares with the input embeddings, which may be the encoder's
        return merged

    def _init_modifies_base(self) -> bool:
        return isinstance(self.options, LoraOptions) and self.options.init.startswith(("pissa", "olora", LORA_GA))

    def _config(self, model: Module, family: ModelFamily) -> Any:
        options = self.options
        config_class: Any = method_config(options.method) if isinstance(options, AnyPeftOptions) else getattr(peft, options.config_class)
        values = {field: getattr(options, name) for name, field in options.keys.items()}
        if isinstance(options, LoraOptions) and options.init in ("default", "true"):
            values["init_lora_weights"] = True
        if isinstance(options, LoraOptions) and options.init == LORA_GA:
            values["lora_ga_config"] = peft.LoraGAConfig(options.ga_direction, options.ga_scale, options.ga_gamma)
        if isinstance(options, Ia3Options):
            return self._ia3(config_class, values, model, family)
        values |= self._common_values(config_class, model, family)
        if isinstance(options, LoraOptions) and options.parameters:
            values["target_parameters"] = find_parameters(options.parameters, model)
        return config_class(**values, target_modules=self._targets(model, family, config_class(**values)))

    def _ia3(self, config_class: Any, values: dict[str, Any], model: Module, family: ModelFamily) -> Any:
        if self.options.targets == "auto":  # PEFT has a table of key, value and feed-forward layers per architecture
            del values["feedforward_modules"]
            return config_class(**values, **self._common_values(config_class, model, family), target_modules=None)
        values["feedforward_modules"] = values["feedforward_modules"] or []
        values |= self._common_values(config_class, model, family)
        return config_class(**values, target_modules=self._targets(model, family, config_class(**values)))

    def _vision_modules(self, model: Module, family: ModelFamily) -> list[str]:
        """Return the paths of tower and aligner, if all of their weights are to be trained."""
        if not self.options.full_vit:
            return []
        parts = parts_of(model, family)
        if not parts.tower:
            message = "this model has no vision tower"
            raise UsageError(message, code="TUNER-032", where="tuner.full_vit", hint="Leave it out, or choose a vision-language model.")
        return [path for path in (parts.tower, parts.aligner) if path]

    def _targets(self, model: Module, family: ModelFamily, method: PeftConfig) -> list[str] | str:
        selection: Selection = select(self.options.targets, model, family, method, self.options.trained)
        self.remarks += selection.remarks
        if self._init_modifies_base():  # modules tied to an adapted one must keep the original weight
            untie(model, selection.tied)
        return selection.targets

    def _common_values(self, config_class: Any, model: Module, family: ModelFamily) -> dict[str, Any]:
        known = {field.name for field in dataclasses.fields(config_class)} - _MANAGED_FIELDS
        for name in self.options.config:
            if name not in known:
                raise UsageError(
                    f"{config_class.__name__} has no field '{name}' that can be set",
                    code="TUNER-016",
                    where=f"tuner.config.{name}",
                    hint=suggestion(name, known) or f"Known: {', '.join(sorted(known))}.",
                )
        scores = score_modules(model)
        saved = [
            *self.options.modules_to_save,
            *self._vision_modules(model, family),
            *(name for name in scores if name not in self.options.modules_to_save),
        ]
        rows = token_rows(self._tokens, model, saved, config_class)
        saved += rows.pop("modules_to_save", [])
        return {"task_type": task_type(model), "modules_to_save": saved or None, **rows, **self.options.config}


def _check_dora_magnitudes(adapted: Module) -> None:
    """Refuse DoRA on weights with all-zero rows: they have no direction, and the first loss would be NaN."""
    for name, weight in adapted.named_parameters():
        if "lora_magnitude_vector" in name and not weight.is_meta and not bool(weight.detach().all()):
            path = name.removeprefix("base_model.model.").partition(".lora_magnitude_vector")[0]
            raise UsageError(
                f"DoRA divides by the norm of each weight row, and '{path}' has rows of zeros",
                code="TUNER-017",
                where="tuner.targets",
                hint="Exclude this module, or use --tuner lora.",
            )
