"""Its options lack those that every run has."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec


@hookimpl
def swift_verbs():
    options, job = Ref("faults.options:Loose"), Ref("faults.verbs:nothing")
    return [VerbSpec(name="verb-options", summary="Does it badly", options=options, job=job)]
