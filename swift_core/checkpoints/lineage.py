"""Adapter lineage: check that an adapter was trained on a given base model.

The adapter's manifest records the hash of the weights that it was trained on. An adapter saved by PEFT alone records at most the name of
its base: in that case the names and the two tokenizers are compared, and a note says what can't be verified. Shapes are compared when the
tuner restores the adapter onto the loaded model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swift_core.checkpoints.manifest import content_hash, read_manifest
from swift_core.contract import Source, UsageError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HINT = "Use the base that it was trained on, or add --allow-other-base if you know that they are compatible."


def check_base(folder: Path, base: Source, note: Callable[[str], None] = lambda _: None) -> None:
    """Check that `base` is the model that the adapter in `folder` was trained on.

    Args:
        folder: the adapter checkpoint.
        base: the base model that it is to be used with.
        note: called with a sentence on what can't be verified.

    Raises:
        UsageError: the adapter was trained on other weights, or with another vocabulary.
    """
    manifest = read_manifest(folder)
    if manifest and (expected := manifest.base.get("hash", "")):
        if expected != (found := _hash(base)):
            named = manifest.base.get("reference") or manifest.base.get("path") or "another checkpoint"
            raise _mismatch(folder, base, f"{named} ({expected[:12]}…)", f" ({found[:12]}…)")
        return
    named = base_name(folder)
    if named and Path(named, "config.json").is_file():
        if Path(named).resolve() != Path(base.path).resolve() and content_hash(Path(named)) != _hash(base):
            raise _mismatch(folder, base, named)
        return
    known = _hub_ids(base)
    if known and _HUB_ID.fullmatch(named) and named.lower() not in known:
        raise _mismatch(folder, base, named)
    _check_vocabulary(folder, base)
    if named.lower() not in known:
        recorded = f"records '{named}' as its base" if named else "does not record its base"
        note(f"the adapter {folder} {recorded}: can't verify that it was trained on {base.reference or base.path}")


def base_name(folder: Path) -> str:
    """Return the base model that an adapter's `adapter_config.json` names; '' if it names none.

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


def _mismatch(folder: Path, base: Source, trained_on: str, detail: str = "") -> UsageError:
    message = f"the adapter was trained on {trained_on}, but the base is {base.reference or base.path}{detail}"
    return UsageError(message, where=str(folder), hint=_HINT)


def _hub_ids(base: Source) -> set[str]:
    """Return the hub ids of the base, in lower case."""
    manifest = read_manifest(Path(base.path))
    references = [base.reference, manifest.origin if manifest else ""]
    names = [reference.partition(":")[2].partition("@")[0] for reference in references if not reference.startswith("file:")]
    return {name.lower() for name in names if _HUB_ID.fullmatch(name)}


def _check_vocabulary(folder: Path, base: Source) -> None:
    """Check that the tokenizers of adapter and base assign the same ids to the tokens that both have."""
    ours, theirs = _vocabulary(Path(base.path)), _vocabulary(folder)
    if not (ours and theirs):
        return
    wrong = [token for token, number in theirs.items() if ours.get(token, number) != number]
    absent = [token for token in theirs if token not in ours]
    if wrong or len(absent) > len(theirs) // 2:
        token = (wrong or absent)[0]
        message = (
            f"the adapter was trained with another vocabulary than {base.reference or base.path}: "
            f"{token!r} has id {theirs[token]} in the adapter and {ours.get(token, 'none')} in the base"
        )
        raise UsageError(message, where=str(folder), hint=_HINT)


def _vocabulary(folder: Path) -> Mapping[str, int]:
    """Return token → id from the folder's `tokenizer.json`; empty if there is none that can be read."""
    try:
        data: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        tokens = data["model"]["vocab"]
        found = dict(tokens) if isinstance(tokens, dict) else {token: number for number, (token, _) in enumerate(tokens)}
        return found | {token["content"]: token["id"] for token in data.get("added_tokens") or ()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
