"""The verbs of `swift data`: resolved as every verb is, but carried out by their commands at once, in this process."""

from __future__ import annotations

from swift_core.contract import Ref, VerbSpec

_PARTS = {"task": "sft", "loader": "transformers"}
_PREPARE = (Ref("swift_data.resolving:prepare"),)
_CHECK = Ref("swift_data.resolving:problems")

CHECK = VerbSpec(
    name="data check",
    summary="Check datasets before training",
    options=Ref("swift_data.options:DataCheckOptions"),
    takes=("rows",),
    positional="dataset",
    main="task",
    parts=_PARTS,
    prepare=_PREPARE,
    check=_CHECK,
)
SHOW = VerbSpec(
    name="data show",
    summary="Show a row as the model sees it, with its loss mask",
    options=Ref("swift_data.options:DataShowOptions"),
    takes=("rows",),
    positional="dataset",
    main="task",
    parts=_PARTS,
    prepare=_PREPARE,
    check=_CHECK,
)
CONVERT = VerbSpec(
    name="data convert",
    summary="Write datasets as JSONL in the standard format of their kind",
    options=Ref("swift_data.options:DataConvertOptions"),
    takes=("rows",),
    gives="rows",
    positional="dataset",
    prepare=_PREPARE,
)
