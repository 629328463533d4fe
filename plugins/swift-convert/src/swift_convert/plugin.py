"""The verbs that turn one checkpoint into another: merge, quantize, export."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from swift_convert.other_tools import IGNORED, UNSUPPORTED
from swift_core.contract import Problem, Ref, SectionSpec, VerbSpec, hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Run

MERGE = VerbSpec(
    name="merge",
    summary="Merge an adapter into its base model, and verify the result",
    also=("merge-lora",),
    options=Ref("swift_convert.options:MergeOptions"),
    takes=("checkpoint",),
    gives="checkpoint",
    positional="model",
    parts={"tuner": "", "loader": "transformers"},
    fixed=frozenset({"tuner"}),
    job_from=("tuner.merger",),
    complete=(Ref("swift_convert.merge:choose_tuner"),),
    output_ratio=1.0,
    ignored=IGNORED,
    unsupported=UNSUPPORTED,
)

QUANTIZE = VerbSpec(
    name="quantize",
    summary="Quantize a checkpoint, and measure the loss in quality",
    options=Ref("swift_convert.options:QuantizeOptions"),
    takes=("checkpoint", "rows"),
    gives="checkpoint",
    positional="model",
    main="quantizer",
    parts={"quantizer": "", "loader": "transformers"},
    job_from=("loader.quantizer",),
    prepare=(Ref("swift_data.resolving:prepare"), Ref("swift_convert.training_rows:prepare")),
    check=Ref("swift_convert.quantize:problems"),
    output_ratio=1 / 16,
    spellings={
        "quant_method": "quantizer",
        "quantization_method": "quantizer",
        "quant_method=gptq_v2": "quantizer=gptq-native format=gptq_v2",
    },
    ignored=IGNORED,
    unsupported=UNSUPPORTED,
    command=Ref("swift_convert.commands.quantize:QuantizeCommand"),
)

EXPORT = VerbSpec(
    name="export",
    summary="Convert a checkpoint to another format",
    options=Ref("swift_convert.options:ExportOptions"),
    takes=("checkpoint", "rows"),
    gives="checkpoint",
    positional="model",
    main="exporter",
    parts={"exporter": ""},
    flags={"exporter": "to"},
    job=Ref("swift_convert.export:export"),
    prepare=(Ref("swift_data.resolving:prepare"),),
    check=Ref("swift_convert.export:problems"),
    output_ratio=1 / 16,
    ignored=IGNORED,
    unsupported=UNSUPPORTED,
    rewrite=Ref("swift_convert.commands.ms_swift:export"),
)


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return merge, quantize and export."""
    return [MERGE, QUANTIZE, EXPORT]


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the comparison of quantization methods."""
    return [
        SectionSpec(
            name="quantization", title="Quantization", summary="Size against divergence from the source, for each method of a comparison",
            order=250, content=Ref("swift_convert.report:content"),
        )
    ]  # fmt: skip


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """Refuse a run whose checkpoint does not fit on the disk (`VerbSpec.output_ratio`)."""
    from swift_convert import disk_space
    from swift_core.plugins import registry

    return list(disk_space.problems(run, registry()))
