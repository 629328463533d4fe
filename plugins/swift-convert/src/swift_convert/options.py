"""Options of merge, export and quantize."""

from __future__ import annotations

from swift_data.options import DATASETS, SkippingOptions

from swift_convert.common_options import DeviceOptions, OutputOptions
from swift_core.options import EngineOptions, Options, Several, option


class VerifyOptions(Options):
    """Options for verifying a result against its source."""

    max_kl: float | None = option(
        None, "Maximum mean KL divergence from the source model (nats per token); default depends on the bit width.", gt=0
    )
    tokens: int = option(1024, "Held-out tokens to compare on, from Python's documentation.", ge=16)


class VerifyOnRowsOptions(VerifyOptions):
    """Options for verifying a result, on held-out text that may be the user's."""

    tokens: int = option(1024, "Held-out tokens to compare on, from --val-dataset or else from Python's documentation.", ge=16)


class MergeOptions(DeviceOptions, OutputOptions):
    """Options of swift merge."""

    verify: bool | VerifyOptions = option(
        True, "Compare the merged model with base + adapter on held-out text; a few fixed prompts are always compared."
    )


class CalibrationOptions(Options):
    """Calibration set: whole rows, sampled with a fixed seed until `tokens` is reached."""

    tokens: int = option(65_536, "Total tokens of the calibration set.", ge=1)
    max_length: int = option(2048, "Maximum tokens per row; longer rows are truncated.", ge=2, also=("quant_seqlen",))
    seed: int = option(42, "Seed of the row sampling.", ge=0)


class CalibratedOptions(EngineOptions, OutputOptions):
    """Options of every verb that may need calibration rows."""

    data: SkippingOptions = option(SkippingOptions, "How rows are read.")
    calibration: CalibrationOptions = option(CalibrationOptions, "How the calibration set is built.")


class ExportOptions(CalibratedOptions):
    """Options of swift export."""

    dataset: Several = option(list, f"Calibration set, for exporters that calibrate. {DATASETS}")
    verify: bool | VerifyOptions = option(True, "Compare the result with its source, and fail if it differs too much.")


class QuantizeOptions(DeviceOptions, CalibratedOptions):
    """Options of swift quantize."""

    dataset: Several = option(list, f"Calibration set. {DATASETS}")
    training_rows: bool = option(
        False, "Use the rows of the training that made the checkpoint as the calibration set.", also=("load_data_args",)
    )
    val_dataset: Several = option(list, "Validation rows to compare source and result on.", also=("validation",))
    verify: bool | VerifyOnRowsOptions = option(True, "Compare the result with its source, and fail if it differs too much.")
