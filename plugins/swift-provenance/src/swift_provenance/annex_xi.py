"""The fields of Annex XI, Section 1 of Regulation (EU) 2024/1689 (AI Act) for which a run has recorded something.

Annex XI lists the technical documentation of providers of general-purpose AI models. What runs don't know is marked. The table is a
record of facts; whether a model falls under the Act, and whether its documentation is sufficient, is not said here.
"""

from __future__ import annotations

from collections.abc import Iterator

from swift_provenance.description import Description

NOTE = (
    "This table lists what the runs recorded, by the points of Annex XI, Section 1 of Regulation (EU) 2024/1689. It makes no statement on "
    "whether the Regulation applies or is complied with."
)


def table(about: Description) -> Iterator[str]:
    """Yield the section, as lines of Markdown."""
    from swift_provenance.model_card import MISSING

    yield from ("## EU AI Act, Annex XI", "", NOTE, "", "| point | recorded |", "|---|---|")
    for point, text in _points(about):
        yield f"| {point} | {text.replace('|', '/') or MISSING} |"


def _points(about: Description) -> Iterator[tuple[str, str]]:
    figures = dict(about.result.get("figures", {}))
    tokens = figures.get("tokens")
    whole = next((made for made in reversed(about.lineage)), None)
    yield "1 (a) tasks and systems it is intended for", ""
    yield "1 (b) acceptable use policies", ""
    yield "1 (c) date of release and methods of distribution", ""
    yield "1 (d) architecture and number of parameters", _joined(about.architecture, _parameters(about))
    yield "1 (e) modality and format of inputs and outputs", _modalities(about)
    yield "1 (f) licence", about.terms.licence
    yield "2 (a) technical means for integration", f"{about.checkpoint.format} checkpoint"
    yield "2 (b) training methodologies", _joined(about.method, ", ".join(f"{key}={value}" for key, value in about.hyperparameters.items()))
    data = [f"{item.name} ({item.use}, licence: {item.terms.licence or 'not stated'})" for item in about.data]
    yield "2 (c) data for training, testing and validation", "; ".join(data)
    compute = [f"{tokens:,} tokens" if isinstance(tokens, int) else "", _hours(about), _hardware(about)]
    yield "2 (d) computational resources and training time", _joined(*compute)
    joules = sum(about.record("energy.json").get("joules", {}).values())
    yield "2 (e) energy consumption", f"{joules / 3.6e6:.4f} kWh measured by the counters of CPU and GPU" if joules else ""
    if whole and len(about.lineage) > 1:
        yield "Provenance: made from", " ← ".join(made.hash[:12] or made.path.name for made in about.lineage)


def _parameters(about: Description) -> str:
    what = "of the adapter" if about.checkpoint.spec.adapter else "stored"
    return f"{about.parameters:,} weights {what}" if about.parameters else ""


def _modalities(about: Description) -> str:
    from swift_core.contract import ModelFamily
    from swift_core.plugins import registry

    family = next((spec for spec in registry().all(ModelFamily) if spec.name == about.manifest.family), None)
    return f"{', '.join(family.modalities)} in; text out" if family else ""


def _hours(about: Description) -> str:
    seconds = about.result.get("seconds")
    return f"{seconds / 3600:.3f} hours" if seconds else ""


def _hardware(about: Description) -> str:
    machine = about.record("environment.json")
    return ", ".join(map(str, machine.get("accelerators") or ())) or str(machine.get("processor", ""))


def _joined(*texts: str) -> str:
    return "; ".join(filter(None, texts))
