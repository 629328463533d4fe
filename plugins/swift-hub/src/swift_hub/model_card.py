"""The model card (README.md) of an uploaded checkpoint: base, data, method, figures and licence, from its manifest and run record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from swift_core.checkpoints import Checkpoint, Manifest
from swift_core.contract import Run

_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.\-]*")
_HUB_ID = re.compile(r"[a-z]+:([\w.-]+/[\w.-]+?)(?:@.*)?")


def model_card(checkpoint: Checkpoint, name: str, run: Run | None) -> str:
    """Return the text of the model card.

    Args:
        checkpoint: what is uploaded.
        name: the name of the repository.
        run: the run that made the checkpoint, if its record is there.
    """
    manifest = checkpoint.manifest or Manifest()
    base = manifest.base.get("reference", "")
    base = "" if base.startswith("file:") else base
    licence = manifest.licence or "not recorded"
    facts = {
        "Base": f"{base or 'not published'} (hash {manifest.base['hash'][:12]})" if manifest.base.get("hash") else base,
        "Data": ", ".join(_data(run)),
        "Method": _method(manifest, run),
        "Format": checkpoint.format,
        "Family": manifest.family,
        "Data type": manifest.dtype,
        "Licence": licence,
    }
    lines = [_front_matter(manifest, base, checkpoint), f"# {name.rpartition('/')[2]}", ""]
    lines += [f"- {label}: {text}" for label, text in facts.items() if text]
    if figures := [(key, value) for key, value in manifest.figures.items() if isinstance(value, int | float | str)]:
        lines += ["", "## Figures", "", "| figure | value |", "|---|---|", *(f"| {key} | {value} |" for key, value in figures)]
    if versions := [f"{key} {value}" for key, value in manifest.versions.items() if "/" not in key]:  # a local plugin is named by its path
        lines += ["", "## Versions", "", ", ".join(versions)]
    return "\n".join([*lines, ""])


def _data(run: Run | None) -> Iterable[str]:
    """Yield the names of the data sets; of local files only the file name."""
    for choice in run.datasets if run else ():
        yield choice.asked.rpartition("/")[2] if choice.name == "file" else choice.asked


def _method(manifest: Manifest, run: Run | None) -> str:
    made = [run.verb if run else manifest.origin]
    for record in (manifest.tuner, manifest.quantizer):
        if record:
            options = ", ".join(f"{key}={value}" for key, value in _simple(record.get("options", {})).items())
            made.append(f"{record.get('name', '')}{f' ({options})' if options else ''}")
    return ", ".join(filter(None, made))


def _simple(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if isinstance(value, int | float | str) and value != ""}


def _front_matter(manifest: Manifest, base: str, checkpoint: Checkpoint) -> str:
    """Return the YAML header that both hubs read. JSON strings are YAML strings, so nothing in the values can break out."""
    licence = manifest.licence.lower()
    header: dict[str, Any] = {"tags": ["swift-core", *([str(manifest.tuner["name"])] if manifest.tuner.get("name") else [])]}
    if licence:
        header |= {"license": licence} if _LICENCE_ID.fullmatch(licence) else {"license": "other", "license_name": manifest.licence}
    if found := _HUB_ID.fullmatch(base):
        header |= {"base_model": found[1]}
    if checkpoint.spec.adapter:
        header |= {"library_name": "peft"}
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in header.items()), "---", ""])
