"""Options of the quantizers; `also` lists the names of other tools."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Names, Options, option


class SkipOptions(Options):
    """Options of every method."""

    skip: Names = option(list, "Modules not to quantize, in addition to those of the model family.", also=("ignore",))


class GroupOptions(SkipOptions):
    """Options of methods that quantize weights in groups."""

    group_size: int = option(128, "Weights per quantization group; -1: one group per row.", ge=-1)
    symmetric: bool = option(
        True,
        "Symmetric quantization; otherwise each group has a zero point, which vLLM supports and transformers 5.23 does not.",
        also=("sym",),
    )
    mixed: dict[str, Literal[4, 8]] = option(
        dict, 'Bits per weight of single modules, by name or regular expression: {"down_proj": 8}, {"re:.*layers.0\\..*": 8}.'
    )


class W4a16Options(GroupOptions):
    """Round-to-nearest (RTN)."""

    bits: Literal[4, 8] = option(4, "Bits per weight.", also=("quant_bits",))


class GptqOptions(W4a16Options):
    """GPTQ (https://arxiv.org/abs/2210.17323)."""

    dampening: float = option(
        0.01, "Damping: fraction of the mean Hessian diagonal added to the diagonal; higher is safer.", gt=0, also=("dampening_frac",)
    )
    block_size: int = option(128, "Columns quantized per block.", ge=1)


class AwqOptions(GroupOptions):
    """AWQ (https://arxiv.org/abs/2306.00978)."""

    bits: Literal[4] = option(4, "Bits per weight.", also=("quant_bits",))
    grid: int = option(20, "Number of scales tried per layer; fewer are faster.", ge=1, also=("n_grid",))


class Fp8Options(SkipOptions):
    """FP8 (E4M3), one scale per output channel."""


class W8a8Options(SkipOptions):
    """INT8, one scale per output channel and, for activations, per token."""

    smoothing: float = option(
        0.8, "SmoothQuant migration strength, from activations to weights (https://arxiv.org/abs/2211.10438).", gt=0, le=1
    )
