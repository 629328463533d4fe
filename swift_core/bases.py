"""Decide whether an adapter belongs on a base.

The adapter's manifest keeps the hash of the weights that it was trained on. An adapter that only PEFT wrote keeps the name of its base at
most: then the names and the two tokenizers are compared, and what can't be checked is said. Shapes are compared with the loaded model, by
the tuner that restores the adapter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swift_core.checkpoint import content_hash, read_manifest
from swift_core.errors import UsageError
from swift_core.run import Source

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HINT = "Name the base that it was trained on, or add --allow-other-base if you know that they fit."


def check_base(folder: Path, base: Source, note: Callable[[str], None] = lambda _: None) -> None:
    """Check that `base` is what the adapter in `folder` was trained on.

    Args:
        note: called with what can't be checked.

    Raises:
        UsageError: it was trained on other weights, or with another vocabulary.
    """
    manifest = read_manifest(folder)
    if manifest and (wanted := manifest.base.get("hash", "")):
        if wanted != (found := _hash(base)):
            named = manifest.base.get("reference") or manifest.base.get("path") or "another checkpoint"
            raise _refusal(folder, base, f"{named} ({wanted[:12]}…)", f" ({found[:12]}…)")
        return
    named = base_name(folder)
    if named and Path(named, "config.json").is_file():
        if Path(named).resolve() != Path(base.path).resolve() and content_hash(Path(named)) != _hash(base):
            raise _refusal(folder, base, named)
        return
    known = _hub_ids(base)
    if known and _HUB_ID.fullmatch(named) and named.lower() not in known:
        raise _refusal(folder, base, named)
    _check_vocabulary(folder, base)
    if named.lower() not in known:
        said = f"says that it was trained on '{named}'" if named else "does not say what it was trained on"
        note(f"the adapter {folder} {said}: whether the weights of {base.reference or base.path} are the same can't be checked")


def base_name(folder: Path) -> str:
    """The base that an adapter's `adapter_config.json` names, empty where it names none.

    Raises:
        UsageError: the file is not JSON.
    """
    path = folder / "adapter_config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError):
        raise UsageError("not a JSON object", where=str(path), hint="Fetch the adapter again.") from None
    return str(found or "")


def _hash(base: Source) -> str:
    return base.hash or content_hash(Path(base.path))


def _refusal(folder: Path, base: Source, trained_on: str, detail: str = "") -> UsageError:
    message = f"the adapter was trained on {trained_on}, and this base is {base.reference or base.path}{detail}"
    return UsageError(message, where=str(folder), hint=_HINT)


def _hub_ids(base: Source) -> set[str]:
    """The names, in lower case, that hubs have for the base."""
    manifest = read_manifest(Path(base.path))
    references = [base.reference, manifest.origin if manifest else ""]
    names = [reference.partition(":")[2].partition("@")[0] for reference in references if not reference.startswith("file:")]
    return {name.lower() for name in names if _HUB_ID.fullmatch(name)}


def _check_vocabulary(folder: Path, base: Source) -> None:
    """Compare the ids that the adapter's tokenizer and the base's give to the tokens which both have."""
    ours, theirs = _vocabulary(Path(base.path)), _vocabulary(folder)
    if not (ours and theirs):
        return
    wrong = [token for token, number in theirs.items() if ours.get(token, number) != number]
    absent = [token for token in theirs if token not in ours]
    if wrong or len(absent) > len(theirs) // 2:
        token = (wrong or absent)[0]
        message = (
            f"the adapter was trained with another vocabulary than that of {base.reference or base.path}: "
            f"{token!r} is token {theirs[token]} there, and {ours.get(token, 'none')} here"
        )
        raise UsageError(message, where=str(folder), hint=_HINT)


def _vocabulary(folder: Path) -> Mapping[str, int]:
    """Tokens and their ids by the folder's `tokenizer.json`; empty where it has none that can be read."""
    try:
        data: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        tokens = data["model"]["vocab"]
        found = dict(tokens) if isinstance(tokens, dict) else {token: number for number, (token, _) in enumerate(tokens)}
        return found | {token["content"]: token["id"] for token in data.get("added_tokens") or ()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
