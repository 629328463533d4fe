"""Symmetric round-to-nearest quantization with one scale per row, implemented as a transformers quantizer (`HfQuantizer`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from swift_plugin_acme.options import AcmeOptions

if TYPE_CHECKING:
    from swift_core.contract import ModelFamily


class Acme:
    """Provides the loader's arguments for quantization."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def load_arguments(self, family: ModelFamily, dtype: str) -> Mapping[str, Any]:
        """Return the `quantization_config` for the loader."""
        return {"quantization_config": AcmeConfig([*family.skip_quantization, *self.options.skip])}

    def ready_to_train(self, model: nn.Module) -> None:
        """Do nothing: gradients pass through the quantized layers without preparation."""


class Int8Linear(nn.Linear):
    """A linear layer with int8 weights and one scale per row; the product is computed in the dtype of the input."""

    scale: Tensor

    def __init__(self, whole: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = whole.in_features, whole.out_features
        scale = (whole.weight.detach().abs().amax(dim=1, keepdim=True) / 127).clamp(min=torch.finfo(whole.weight.dtype).tiny)
        self.weight = nn.Parameter((whole.weight.detach() / scale).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale)
        self.bias = whole.bias

    def forward(self, input: Tensor) -> Tensor:
        """Dequantize the weight and apply the layer."""
        return functional.linear(input, self.weight.to(input.dtype) * self.scale.to(input.dtype), self.bias)


@register_quantization_config("acme")
class AcmeConfig(QuantizationConfigMixin):
    """The settings of the quantizer below, as stored in `config.json`."""

    def __init__(self, skip: list[str] | None = None, **_: Any) -> None:
        self.quant_method = "acme"  # type: ignore[assignment]  # transformers takes the name of any registered method
        self.skip = skip or []


@register_quantizer("acme")
class AcmeQuantizer(HfQuantizer):
    """Replaces the linear layers; transformers calls it once the weights are loaded."""

    quantization_config: AcmeConfig
    requires_calibration = False

    def _process_model_after_weight_loading(self, model: nn.Module, **_: Any) -> nn.Module:
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear) and not any(name.endswith(skip) for skip in self.quantization_config.skip):
                model.set_submodule(name, Int8Linear(module))
        return model

    def is_serializable(self, **_: Any) -> bool:
        """Return False: the quantized model is for inference and for training adapters, and can't be saved."""
        return False

    @property
    def is_trainable(self) -> bool:
        """True if adapters can be trained on the model."""
        return True
