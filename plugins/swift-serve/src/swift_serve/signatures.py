"""`swift serve --require-signature KEY`: nothing is served that the key's owner did not sign."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.contract import Problem, Run, SwiftError
from swift_core.plugins import Registry


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield a problem for each checkpoint of the run whose signature does not hold, and for adapters that nobody would verify."""
    if not run.options["require_signature"]:
        return
    from swift_provenance.signing import verify

    if run.options["runtime_adapters"]:
        message = "adapters that are added at runtime are not verified"
        hint = "Omit --runtime-adapters, and name the adapters at the start."
        yield Problem(code="SERVE-090", where="require_signature", message=message, hint=hint)
    key = Path(run.options["require_signature"])
    for where, source in {"model": run.model, **{f"adapter.{name}": source for name, source in run.adapters.items()}}.items():
        if source is None:
            continue
        try:
            verify(Path(source.path), key)
        except SwiftError as error:
            yield Problem(code=error.code, where=where, message=f"{error.where}: {error.message}", hint=error.hint)
