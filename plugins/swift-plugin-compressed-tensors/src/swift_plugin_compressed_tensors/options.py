"""Options of the quantizers; other tools' spellings of them are in `also`."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Names, Options, option


class SkipOptions(Options):
    """Of every method: what is left whole."""

    skip: Names = option(list, "Modules to leave as they are, beside those that the family names.", also=("ignore",))


class GroupOptions(SkipOptions):
    """Of methods whose weights share a scale in groups."""

    group_size: int = option(128, "Weights of a row that share a scale; -1: the whole row.", ge=-1)
    symmetric: bool = option(
        True,
        "Numbers around zero; without it, each group has a zero of its own, which vLLM reads and transformers 5.23 does not.",
        also=("sym",),
    )
    mixed: dict[str, Literal[4, 8]] = option(
        dict, 'Other bits for some modules: {"down_proj": 8}, or by a pattern on the whole name {"re:.*layers.0\\..*": 8}.'
    )


class W4a16Options(GroupOptions):
    """Round to nearest."""

    bits: Literal[4, 8] = option(4, "Bits a weight.", also=("quant_bits",))


class GptqOptions(W4a16Options):
    """GPTQ (https://arxiv.org/abs/2210.17323)."""

    dampening: float = option(
        0.01, "Part of the Hessian's mean diagonal that is added to it; more is steadier.", gt=0, also=("dampening_frac",)
    )
    block_size: int = option(128, "Columns that are computed at once.", ge=1)


class AwqOptions(GroupOptions):
    """AWQ (https://arxiv.org/abs/2306.00978)."""

    bits: Literal[4] = option(4, "Bits a weight.", also=("quant_bits",))
    grid: int = option(20, "Scales that are tried a layer; fewer are quicker.", ge=1, also=("n_grid",))


class Fp8Options(SkipOptions):
    """FP8 (E4M3), a scale an output channel."""


class W8a8Options(SkipOptions):
    """8-bit whole numbers; activations a token at a time."""

    smoothing: float = option(
        0.8, "How far outliers move from activations into weights (SmoothQuant, https://arxiv.org/abs/2211.10438).", gt=0, le=1
    )
