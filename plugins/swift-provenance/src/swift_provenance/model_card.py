"""The model card (README.md) of a checkpoint in Hugging Face's format: what the runs recorded is filled in, the rest is marked.

The sections are those of the hub's template (huggingface_hub/templates/modelcard_template.md), and so is the mark of what is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from swift_core.system import format_value
from swift_provenance.description import Description, public_name

MISSING = "[More Information Needed]"
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.\-]*")
_HUB_ID = re.compile(r"(?:hf|ms):([\w.-]+/[\w.-]+?)(?:@.*)?")


def model_card(about: Description, name: str, *, annex_xi: bool = False) -> str:
    """Return the text of the model card.

    Args:
        about: what is known of the checkpoint.
        name: its name; of `org/name` the last part is the heading.
        annex_xi: add the table of the fields of Annex XI of the EU AI Act that the runs know.
    """
    from swift_provenance.annex_xi import table

    lines = [_header(about), f"# Model Card for {name.rpartition('/')[2]}", ""]
    for title, texts in _sections(about):
        lines += [f"## {title}", "", *texts, ""]
    if annex_xi:
        lines += [*table(about), ""]
    return "\n".join(lines)


def _sections(about: Description) -> Iterator[tuple[str, list[str]]]:
    base = _base(about)
    details = {
        "Model type": about.architecture,
        "Family": about.manifest.family,
        "License": about.terms.licence,
        "Finetuned from model": f"{base or 'not published'}{_hash(about)}" if about.bases else "",
        "Method": about.method,
        "Format": about.checkpoint.format,
        "Data type": about.manifest.dtype,
        "Stored weights": f"{about.parameters:,}" if about.parameters else "",
        "SHA-256 of the checkpoint": about.checkpoint.hash(),
    }
    unknown = ["Developed by", "Language(s) (NLP)"]
    yield "Model Details", [f"- **{label}:** {details.get(label) or MISSING}" for label in [*unknown, *details]]
    yield "Uses", [MISSING]
    yield "Bias, Risks, and Limitations", [MISSING]
    yield "Training Data", list(_data(about, "training")) or [MISSING]
    yield "Training Hyperparameters", _values(about.hyperparameters)
    yield "Speeds, Sizes, Times", _values(_numbers(dict(about.result.get("figures", {})) or dict(about.manifest.figures)))
    testing = [*_data(about, "validation"), *(f"- {task}" for task in dict.fromkeys(score.task for score in about.scores))]
    yield "Testing Data", testing or [MISSING]
    yield "Evaluation", list(_results(about)) or [MISSING]
    yield "Environmental Impact", list(_impact(about))
    versions = [f"{key} {value}" for key, value in about.manifest.versions.items() if "/" not in key]  # a local plugin is named by its path
    yield "Software", [", ".join(versions) or MISSING]


def _header(about: Description) -> str:
    """Return the YAML header that the hubs read. JSON strings are YAML strings, so nothing in the values can break out."""
    licence, tuner = about.terms.licence.lower(), about.manifest.tuner.get("name")
    header: dict[str, Any] = {"tags": ["swift-core", *([str(tuner)] if tuner else [])]}
    if licence:
        header |= {"license": licence} if _LICENCE_ID.fullmatch(licence) else {"license": "other", "license_name": about.terms.licence}
    if found := _HUB_ID.fullmatch(_base(about)):
        header |= {"base_model": found[1]}
    if data := list(dict.fromkeys(found[1] for item in about.data if (found := _HUB_ID.fullmatch(item.name)))):
        header |= {"datasets": data}
    if about.checkpoint.spec.adapter:
        header |= {"library_name": "peft"}
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in header.items()), "---", ""])


def _base(about: Description) -> str:
    """Return the nearest base that others can fetch; '' if there is none."""
    references = (about.manifest.base.get("reference", ""), *(made.reference for made in about.bases))
    return next((each for each in references if each and not each.startswith("file:")), "")


def _hash(about: Description) -> str:
    digest = about.bases[0].hash or about.manifest.base.get("hash", "")
    return f" (hash {digest[:12]})" if digest else ""


def _data(about: Description, use: str) -> Iterator[str]:
    for item in about.data:
        if item.use == use:
            origin = f", from {public_name(item.terms.origin)}" if item.terms.origin and item.terms.origin != item.name else ""
            hashed = f", SHA-256 {item.hash[:12]}" if item.hash else ""
            yield f"- {item.name}{origin}, licence: {item.terms.licence or MISSING}{hashed}"


def _results(about: Description) -> Iterator[str]:
    if about.scores:
        yield "| task | metric | score | 95 % interval | items |"
        yield "|---|---|---|---|---|"
    for score in about.scores:
        bounds = " to ".join(map(format_value, score.interval)) if score.interval else ""
        yield f"| {score.task} | {score.metric} | {format_value(score.value)} | {bounds} | {score.items or ''} |"


def _impact(about: Description) -> Iterator[str]:
    machine, energy = about.record("environment.json"), about.record("energy.json")
    hardware = ", ".join(map(str, machine.get("accelerators") or ())) or machine.get("processor", "")
    seconds = about.result.get("seconds")
    joules = sum(energy.get("joules", {}).values())
    yield f"- **Hardware Type:** {hardware or MISSING}"
    yield f"- **Hours used:** {f'{seconds / 3600:.3f}' if seconds else MISSING}"
    yield f"- **Energy measured (counters of CPU and GPU):** {f'{joules / 3.6e6:.4f} kWh' if joules else MISSING}"
    yield f"- **Carbon Emitted:** {MISSING}"


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if isinstance(value, int | float | str)}


def _values(values: dict[str, Any]) -> list[str]:
    rows = [f"| {name} | {format_value(value)} |" for name, value in values.items()]
    return ["| name | value |", "|---|---|", *rows] if rows else [MISSING]
