"""Round to nearest, symmetric, one scale a row: the plainest quantization there is, through transformers' own door for quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.quantizers import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from swift_plugin_acme.options import AcmeOptions

if TYPE_CHECKING:
    from swift_core.contract.specs import ModelFamily


class Acme:
    """Answers what the loader needs to quantize."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def load_arguments(self, family: ModelFamily, dtype: str) -> Mapping[str, Any]:
        """`quantization_config` for the loader."""
        return {"quantization_config": AcmeConfig([*family.skip_quantization, *self.options.skip])}

    def ready_to_train(self, model: nn.Module) -> None:
        """Nothing: gradients go through the layers as they are."""


class Int8Linear(nn.Linear):
    """A linear layer whose weight is whole numbers and a scale a row; the product is computed in the type of the input."""

    def __init__(self, whole: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = whole.in_features, whole.out_features
        scale = (whole.weight.detach().abs().amax(dim=1, keepdim=True) / 127).clamp(min=torch.finfo(whole.weight.dtype).tiny)
        self.weight = nn.Parameter((whole.weight.detach() / scale).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale)
        self.bias = whole.bias

    def forward(self, input: Tensor) -> Tensor:
        """The weight is made whole for the product and forgotten again."""
        return functional.linear(input, self.weight.to(input.dtype) * self.scale.to(input.dtype), self.bias)


@register_quantization_config("acme")
class AcmeConfig(QuantizationConfigMixin):
    """What the quantizer below is told, and what `config.json` keeps of it."""

    def __init__(self, skip: list[str] | None = None, **_: Any) -> None:
        self.quant_method = "acme"
        self.skip = skip or []


@register_quantizer("acme")
class AcmeQuantizer(HfQuantizer):
    """Called by transformers when the weights are in place."""

    requires_calibration = False

    def _process_model_after_weight_loading(self, model: nn.Module, **_: Any) -> nn.Module:
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear) and not any(name.endswith(skip) for skip in self.quantization_config.skip):
                model.set_submodule(name, Int8Linear(module))
        return model

    def is_serializable(self, **_: Any) -> bool:
        """It makes models to use and to train adapters on, not checkpoints."""
        return False

    @property
    def is_trainable(self) -> bool:
        """An adapter on it learns."""
        return True
