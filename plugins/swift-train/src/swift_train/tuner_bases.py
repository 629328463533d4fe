"""Bases for tuners: one that trains weights of the model itself, and what every tuner of PEFT adapters switches alike."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError, UsageError
from swift_train.heads import is_score

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily


class WholeModelTuner:
    """Base class of a tuner whose checkpoint is a full model (`trains="weights"` in its spec); it trains all weights.

    Override `is_trainable` to train only some. Its spec has `merger=Ref("swift_train.merge:merge")`.
    """

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Make the selected weights trainable and freeze the others.

        Raises:
            UsageError: the model is quantized, so that its weights can't be trained; or no weight is trainable.
        """
        if getattr(model, "is_quantized", False):
            raise UsageError(
                "the weights of a quantized model can't be trained",
                code="TUNER-019",
                where="tuner",
                hint="Train an adapter (--tuner qlora), or load it unquantized.",
            )
        for name, parameter in model.named_parameters():  # a head of scores may be new
            parameter.requires_grad_(is_score(name, model) or self.is_trainable(name, family, model))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UsageError("no trainable weights left", code="TUNER-020", where="tuner", hint="Freeze fewer weights.")
        return model.train()

    def is_trainable(self, name: str, family: ModelFamily, model: Module) -> bool:
        """Return whether the weight of that name, such as `model.layers.0.input_layernorm.weight`, is trained."""
        return True

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Load the weights that `save` wrote. `name` is ignored, since a full model has one set of weights.

        Raises:
            SwiftError: the checkpoint lacks weights.
        """
        own: Any = type(model)
        saved, info = own.from_pretrained(folder, dtype=model.dtype, local_files_only=True, use_safetensors=True, output_loading_info=True)
        if info["missing_keys"]:
            raise SwiftError(
                f"the checkpoint lacks {', '.join(sorted(info['missing_keys'])[:5])}",
                code="TUNER-021",
                where=str(folder),
                hint="Check that the checkpoint was written completely.",
            )
        model.load_state_dict(saved.state_dict())
        return model.train(trainable)

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """Return one parameter group, with all trainable parameters."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def save(self, model: Module, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
        """Write the full model as safetensors, including frozen weights and the buffers of checkpoints, in its training dtype."""
        whole: Any = model
        whole.save_pretrained(folder, state_dict={**_buffers(model), **weights} if weights else None)

    def merge(self, model: Module) -> Module:
        """Return the model unchanged: there is no adapter to merge."""
        return model


class PeftSwitching:
    """Mixin of a tuner whose `restore` returns a `peft.PeftModel`: a `SwitchingTuner`, whose adapters are served beside the base."""

    def speaking_as(self, model: Module, name: str) -> AbstractContextManager[None]:
        """Activate one adapter, or for an empty name disable all adapters while the context is open."""
        adapted: Any = model
        if not name:
            return adapted.disable_adapter()  # type: ignore[no-any-return]
        adapted.set_adapter(name)
        return nullcontext()

    def drop(self, model: Module, name: str) -> Module:
        """Remove an adapter; with the last one, remove PEFT's wrapper as well."""
        adapted: Any = model
        remaining = [other for other in adapted.peft_config if other != name]
        if not remaining:
            for module in adapted.modules():
                if hasattr(module, "modules_to_save") and hasattr(module, "original_module"):  # PEFT would keep the trained copy
                    for other in module.modules_to_save:
                        module.modules_to_save[other] = module.original_module
            base: Module = adapted.unload()
            return base
        adapted.set_adapter(remaining[0])
        adapted.delete_adapter(name)
        return model

    def in_layers(self, model: Module) -> bool:
        """Return True unless the adapter is learned as a prompt (prompt tuning, prefix tuning)."""
        adapted: Any = model
        return not any(config.is_prompt_learning for config in adapted.peft_config.values())


def _buffers(model: Module) -> dict[str, Any]:
    """Return the buffers that checkpoints have, such as the biases of DeepSeek-V3's routers; they are not trained."""
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {name: value for name, value in model.state_dict().items() if name not in parameters}
