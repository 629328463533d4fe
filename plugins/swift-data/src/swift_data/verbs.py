"""The verbs of `swift data`: resolved as every verb is, but carried out by their commands at once, in this process."""

from __future__ import annotations

from dataclasses import replace

from swift_core.contract import Ref, VerbSpec

_PREPARE = (Ref("swift_data.resolving:prepare"),)

CHECK = VerbSpec(
    name="data check",
    summary="Check datasets before training",
    options=Ref("swift_data.options:DataCheckOptions"),
    takes=("rows",),
    records=False,
    positional="dataset",
    main="task",
    parts={"task": "sft", "loader": "transformers"},
    prepare=_PREPARE,
    check=Ref("swift_data.resolving:problems"),
)
SHOW = replace(
    CHECK,
    name="data show",
    summary="Show a row as the model sees it, with its loss mask",
    options=Ref("swift_data.options:DataShowOptions"),
)
CONVERT = VerbSpec(
    name="data convert",
    summary="Write datasets as JSONL in the standard format of their kind",
    options=Ref("swift_data.options:DataConvertOptions"),
    takes=("rows",),
    records=False,
    gives="rows",
    positional="dataset",
    prepare=_PREPARE,
)
