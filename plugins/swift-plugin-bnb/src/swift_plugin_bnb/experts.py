"""Experts of mixtures in 4 bits: parameters of three dimensions, one matrix per expert, which are no linear layers.

transformers' quantizer for bitsandbytes replaces linear layers alone, and so leaves most of a mixture's weights as they are. Each stack is
packed as soon as it is read, so that one at a time is whole, and expanded where the model uses it (bitsandbytes.nn.parametrize).
"""

from __future__ import annotations

from typing import Any

import torch
from bitsandbytes import functional
from bitsandbytes.nn.parametrize import replace_parameter_4bit_prequantized
from transformers.integrations.bitsandbytes import Bnb4bitQuantize
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING, register_quantizer
from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer
from transformers.quantizers.quantizers_utils import get_module_from_name, should_convert_module
from transformers.utils.quantization_config import BitsAndBytesConfig, QuantizationMethod

_METHOD = "bitsandbytes-experts"
_STATE = "swift_quant_state"
_MATRICES = 3  # dimensions: experts, rows, columns


class _Quantize(Bnb4bitQuantize):
    def convert(self, input_dict: dict[str, Any], *arguments: Any, **kwargs: Any) -> dict[str, Any]:
        model = kwargs["model"]
        done: dict[str, Any] = {}
        for name, value in input_dict.items():
            if not is_stack(model, name):
                done |= super().convert({name: value}, *arguments, **kwargs)
                continue
            config = self.hf_quantizer.quantization_config
            packed, state = functional.quantize_4bit(
                value[0] if isinstance(value, list) else value,
                compress_statistics=config.bnb_4bit_use_double_quant,
                quant_type=config.bnb_4bit_quant_type,
            )
            done[name] = torch.nn.Parameter(packed, requires_grad=False)
            setattr(done[name], _STATE, state)
        return done


class _Quantizer(Bnb4BitHfQuantizer):
    def param_needs_quantization(self, model: Any, param_name: str, **kwargs: Any) -> bool:
        if super().param_needs_quantization(model, param_name, **kwargs):
            return True
        return is_stack(model, param_name) and should_convert_module(param_name, self.modules_to_not_convert)

    def get_quantize_ops(self) -> Any:
        return _Quantize(self)  # type: ignore[no-untyped-call]

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        for module in list(model.modules()):
            for name, parameter in list(module.named_parameters(recurse=False)):
                if state := getattr(parameter, _STATE, None):
                    replace_parameter_4bit_prequantized(module, name, state.as_dict(packed=True), parameter.device)
        self.quantization_config.quant_method = QuantizationMethod.BITS_AND_BYTES  # as other code, and what is saved, knows it
        return super()._process_model_after_weight_loading(model, **kwargs)


def with_experts(config: BitsAndBytesConfig) -> BitsAndBytesConfig:
    """Return the configuration of 4-bit weights, changed so that experts are quantized too."""
    if _METHOD not in AUTO_QUANTIZER_MAPPING:
        register_quantizer(_METHOD)(_Quantizer)
    config.quant_method = _METHOD  # type: ignore[assignment]
    return config


def is_stack(model: Any, name: str) -> bool:
    """Return whether a parameter is a stack of matrices of a model's own layer; convolutions of torch have as many dimensions."""
    module, own = get_module_from_name(model, name)
    parameter = getattr(module, own, None)
    if not isinstance(parameter, torch.nn.Parameter) or type(module).__module__.startswith("torch."):
        return False
    return hasattr(parameter, _STATE) or (parameter.is_floating_point() and parameter.ndim == _MATRICES)
