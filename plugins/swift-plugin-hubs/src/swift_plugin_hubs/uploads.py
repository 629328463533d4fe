"""Common parts of uploads to the hubs: the token, and the refusal to publish what should be private."""

from __future__ import annotations

import os

from swift_core.contract import Reference, UsageError


def token_from(variable: str, reference: Reference) -> str:
    """Return the token in an environment variable, the only place that it is read from."""
    if token := os.environ.get(variable, "").strip():
        return token
    hint = f"Set {variable} to a token with write access."
    raise UsageError(f"uploading to {reference.scheme}: needs a token", code="HUB-044", where=variable, hint=hint)


def public_already(reference: Reference) -> UsageError:
    """Return the error for a repository that exists and is public while `--private` is given."""
    hint = "Make it private on the hub first, choose another name, or omit --private."
    return UsageError("the repository exists and is public", code="HUB-045", where=str(reference), hint=hint)
