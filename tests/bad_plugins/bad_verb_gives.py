"""Says that it gives a file, and gives none."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec

OPTIONS = Ref("swift_core.options.common:ModelOptions")
SWIFT_EXAMPLES = Ref("faults.verbs:EXAMPLES")


@hookimpl
def swift_verbs():
    return [VerbSpec(name="verb-gives", summary="Does it badly", options=OPTIONS, job=Ref("faults.verbs:nothing"), gives="file")]
