"""ms-swift's `swift sample --sampler_engine client`: answers of a server that runs elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence

from swift_train.flag_words import take_flags

from swift_core.cli import note
from swift_core.contract import UsageError

_NAMES = ("sampler_engine", "engine_kwargs", "model", "stream", "sampler_type")


def rewrite(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the words with `--url` and `--name` for the server of a client; '' for the verb that was typed.

    Raises:
        UsageError: the client has no URL.
    """
    rest, found = take_flags(words, _NAMES)
    if found.get("sampler_engine") != ["client"]:
        return "", list(words)
    try:
        url = str(json.loads(" ".join(found.get("engine_kwargs", [])) or "{}").get("base_url") or "")
    except (ValueError, AttributeError):
        url = ""
    if not url:
        hint = "Give it as --url URL, or in --engine_kwargs '{\"base_url\": URL}'."
        raise UsageError("a client needs the URL of a server", code="RL-045", where="--sampler_engine", hint=hint)
    own = ["--url", url, *(["--name", *found["model"]] if found.get("model") else [])]
    note(f"--sampler_engine client is {' '.join(own)} here")
    return "", [*rest, *own]
