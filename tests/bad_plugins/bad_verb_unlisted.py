"""Is not in the entry-point group swift.verbs."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec

OPTIONS = Ref("swift_core.options.common:ModelOptions")


@hookimpl
def swift_verbs():
    return [VerbSpec(name="verb-unlisted", summary="Does it badly", options=OPTIONS, job=Ref("faults.verbs:nothing"))]
