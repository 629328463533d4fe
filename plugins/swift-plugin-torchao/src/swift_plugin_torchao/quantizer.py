"""torchao through transformers, as an argument of the model loader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily
    from swift_plugin_torchao.options import TorchaoOptions


class TorchaoQuantizer:
    """Quantization of the linear layers while the model is loaded, except those that the model family or the user excludes."""

    def __init__(self, options: TorchaoOptions) -> None:
        self.options = options

    def load_arguments(self, family: ModelFamily, dtype: str) -> Mapping[str, Any]:
        """Return the `quantization_config` argument of `from_pretrained`; `dtype` is not used."""
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        kinds = {"int8": Int8WeightOnlyConfig, "fp8": Float8WeightOnlyConfig}
        skipped = [*family.skip_quantization, *self.options.skip]
        return {"quantization_config": TorchAoConfig(kinds[self.options.kind](), modules_to_not_convert=skipped)}

    def ready_to_train(self, model: Module) -> None:
        """Do nothing: gradients flow through the quantized layers."""
