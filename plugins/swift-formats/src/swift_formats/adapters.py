"""Adapters as PEFT saves them: completeness, the recorded base, and whether another base fits.

PEFT records at most the name of the base. If that is not conclusive, the two tokenizers are compared, and a note says what can't be
verified. Shapes are compared when the tuner loads the adapter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swift_core.checkpoints import Checkpoint, base_mismatch
from swift_core.contract import Source, UsageError
from swift_formats.completeness import json_object
from swift_formats.weights import ADAPTER, read_header

CONFIG = "adapter_config.json"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def check(folder: Path) -> None:
    """Check that an adapter is complete, and that its weights are not pickled.

    Raises:
        UsageError: the first problem found.
    """
    json_object(folder / CONFIG)
    if (folder / ADAPTER).is_file():
        read_header(folder / ADAPTER)
    elif (folder / "adapter_model.bin").is_file():
        problem = "its weights are pickled (adapter_model.bin): loading them could run arbitrary code"
        raise UsageError(problem, code="CKPT-001", where=str(folder), hint="Use the adapter in safetensors format.")
    elif not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"has no weights ({ADAPTER})", code="CKPT-002", where=str(folder), hint="Copy the file from the adapter's page into the folder."
        )


def base_name(folder: Path) -> str:
    """Return the base model that an adapter's `adapter_config.json` names; '' if it names none.

    Raises:
        UsageError: the file is not JSON.
    """
    return str(json_object(folder / CONFIG).get("base_model_name_or_path") or "")


def check_base(folder: Path, base: Source, note: Callable[[str], None]) -> None:
    """Check that an adapter without a manifest fits a base model, as far as that can be known.

    Args:
        folder: the adapter.
        base: the base model that it is to be used with.
        note: called with a sentence on what can't be verified.

    Raises:
        UsageError: the adapter was trained on another model, or with another vocabulary.
    """
    named = base_name(folder)
    if named and Path(named, "config.json").is_file():
        if Path(named).resolve() != Path(base.path).resolve() and Checkpoint.at(named).hash() != _hash(base):
            raise base_mismatch(folder, base, named)
        return
    known = _hub_ids(base)
    if known and _HUB_ID.fullmatch(named) and named.lower() not in known:
        raise base_mismatch(folder, base, named)
    _check_vocabulary(folder, base)
    if named.lower() not in known:
        recorded = f"records '{named}' as its base" if named else "does not record its base"
        note(f"the adapter {folder} {recorded}: can't verify that it was trained on {base.reference or base.path}")


def _hash(base: Source) -> str:
    return base.hash or Checkpoint.at(base.path).hash()


def _hub_ids(base: Source) -> set[str]:
    """Return the hub ids of the base, in lower case."""
    manifest = Checkpoint.at(base.path).manifest
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
        ids = f"{token!r} has id {theirs[token]} in the adapter and {ours.get(token, 'none')} in the base"
        raise base_mismatch(folder, base, "a model with another vocabulary", f": {ids}")


def _vocabulary(folder: Path) -> Mapping[str, int]:
    """Return token → id from the folder's `tokenizer.json`; empty if there is none that can be read."""
    try:
        data: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        tokens = data["model"]["vocab"]
        found = dict(tokens) if isinstance(tokens, dict) else {token: number for number, (token, _) in enumerate(tokens)}
        return found | {token["content"]: token["id"] for token in data.get("added_tokens") or ()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
