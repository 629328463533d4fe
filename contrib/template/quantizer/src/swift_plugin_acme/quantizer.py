"""Round to nearest, symmetric, one scale a row: the plainest quantization there is, through transformers' own door for quantizers.

The rounded weights are kept in the type they came in (so-called fake quantization): memory stays as it is, the loss of quality is the
true one. A real quantizer replaces the layers by some that hold the integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.quantizers import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from swift_plugin_acme.options import AcmeOptions

if TYPE_CHECKING:
    from swift_core.specs import ModelFamily


class Acme:
    """Answers what the loader needs to quantize."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def load_arguments(self, family: ModelFamily, dtype: str) -> Mapping[str, Any]:
        """`quantization_config` for the loader."""
        return {"quantization_config": RoundingConfig(self.options.bits, list(family.skip_quantization))}

    def ready_to_train(self, model: nn.Module) -> None:
        """Nothing: the layers are ordinary linear layers."""


def rounded(weight: Tensor, bits: int) -> Tensor:
    """The nearest of 2^bits - 1 evenly spaced values, the largest of each row among them."""
    most = 2 ** (bits - 1) - 1
    scale = (weight.abs().amax(dim=1, keepdim=True) / most).clamp(min=torch.finfo(weight.dtype).tiny)
    return (weight / scale).round().clamp(-most, most) * scale


@register_quantization_config("acme")
class RoundingConfig(QuantizationConfigMixin):
    """What the quantizer below is told, and what `config.json` keeps of it."""

    def __init__(self, bits: int = 8, skip: list[str] | None = None, **_: Any) -> None:
        self.quant_method = "acme"
        self.bits = bits
        self.skip = skip or []


@register_quantizer("acme")
class RoundingQuantizer(HfQuantizer):
    """Called by transformers when the weights are in place."""

    requires_calibration = False

    def _process_model_after_weight_loading(self, model: nn.Module, **_: Any) -> nn.Module:
        config = self.quantization_config
        with torch.no_grad():
            for name, module in model.named_modules():
                if isinstance(module, nn.Linear) and not any(name.endswith(skip) for skip in config.skip):
                    module.weight.copy_(rounded(module.weight, config.bits))
        return model

    def is_serializable(self, **_: Any) -> bool:
        """The weights are floats: any loader reads them."""
        return True

    @property
    def is_trainable(self) -> bool:
        """An adapter on them learns as on any other."""
        return True
