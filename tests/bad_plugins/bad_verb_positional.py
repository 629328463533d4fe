"""Takes bare words for an option that it does not have."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec

OPTIONS = Ref("swift_core.options.common:ModelOptions")


@hookimpl
def swift_verbs():
    return [
        VerbSpec(name="verb-positional", summary="Does it badly", options=OPTIONS, job=Ref("faults.verbs:nothing"), positional="dataset")
    ]
