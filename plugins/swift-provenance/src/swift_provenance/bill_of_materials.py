"""A bill of materials of a checkpoint in CycloneDX 1.6 (ECMA-424): the model with its card, its bases, data sets and software.

Written by hand, since the CycloneDX library for Python has no class for model cards; its strict validator is the reference in the tests.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from swift_core.contract import __version__
from swift_provenance.description import Data, Description, Score, public_name
from swift_provenance.licences import Terms, terms_of_checkpoint
from swift_provenance.lineage import Made

_TASKS = {"": "text-generation", "hidden": "feature-extraction", "token": "token-classification"}  # by kind of head


def bill_of_materials(about: Description, name: str) -> dict[str, Any]:
    """Return the document as JSON values.

    Args:
        about: what is known of the checkpoint.
        name: its name.
    """
    identity = about.checkpoint.hash()
    bases = [_base(made) for made in about.bases]
    data = [_data(item) for item in about.data]
    software = [_library(package, version) for package, version in about.manifest.versions.items() if "/" not in package]
    model = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{identity}",
        "name": name,
        "version": identity[:12],
        "hashes": [_hash(identity)],
        **_licences(about.terms),
        "modelCard": _card(about, data),
        "components": [_file(path, digest) for path, digest in sorted(about.manifest.files.items())],
        "pedigree": {"ancestors": bases[:1]} if bases else {},
        "properties": [{"name": "swift:format", "value": about.checkpoint.format}, {"name": "swift:method", "value": about.method}],
    }
    components = [*bases, *data, *software]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'swift:{identity}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "swift-core", "version": __version__}]},
            "component": {key: value for key, value in model.items() if value},
        },
        "components": components,
        "dependencies": [{"ref": model["bom-ref"], "dependsOn": [each["bom-ref"] for each in components]}],
    }


def _card(about: Description, data: list[dict[str, Any]]) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "approach": {"type": "supervised"} if about.training else {},
        "task": _TASKS.get(about.checkpoint.head.partition(":")[0], "text-classification"),
        "architectureFamily": about.manifest.family,
        "modelArchitecture": about.architecture,
        "datasets": [{"ref": each["bom-ref"]} for each in data],
    }
    card: dict[str, Any] = {"modelParameters": {key: value for key, value in parameters.items() if value}}
    if metrics := [*(_metric(score) for score in about.scores), *_figures(about)]:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    if hyper := about.hyperparameters:
        card["properties"] = [{"name": f"swift:{name}", "value": str(value)} for name, value in hyper.items()]
    return card


def _metric(score: Score) -> dict[str, Any]:
    found: dict[str, Any] = {"type": f"{score.task}.{score.metric}", "value": str(score.value)}
    if score.interval:
        found["confidenceInterval"] = {"lowerBound": str(score.interval[0]), "upperBound": str(score.interval[1])}
    return found


def _figures(about: Description) -> Iterator[dict[str, Any]]:
    for name, value in about.manifest.figures.items():
        if isinstance(value, float) and ("loss" in name or "heldout" in name):
            yield {"type": name, "value": str(value), "slice": "validation" if "heldout" in name else "training"}


def _base(made: Made) -> dict[str, Any]:
    terms = terms_of_checkpoint(made.path, made.reference)
    found = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{made.hash or made.path.name}",
        "name": public_name(made.reference) or made.path.name,
        "hashes": [_hash(made.hash)] if made.hash else [],
        **_licences(terms),
    }
    return {key: value for key, value in found.items() if value}


def _data(item: Data) -> dict[str, Any]:
    found = {
        "type": "data",
        "bom-ref": f"data:{item.use}:{item.hash or item.name}",
        "name": item.name,
        "hashes": [_hash(item.hash)] if item.hash else [],
        **_licences(item.terms),
        "data": [{"type": "dataset", "name": item.name, **_contents(item)}],
        "properties": [{"name": "swift:use", "value": item.use}],
    }
    return {key: value for key, value in found.items() if value}


def _contents(item: Data) -> dict[str, Any]:
    return {"contents": {"url": item.terms.origin}} if "://" in item.terms.origin else {}


def _library(package: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
    return {"type": "library", "bom-ref": purl, "name": package, "version": version, "purl": purl}


def _file(name: str, digest: str) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [_hash(digest)]}


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _licences(terms: Terms) -> dict[str, Any]:
    """Return the licence as an SPDX expression if it is one, else by its name."""
    if not terms.licence:
        return {}
    try:
        from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
    except ImportError:  # packaging before 24.2
        return {"licenses": [{"license": {"name": terms.licence}}]}
    try:
        return {"licenses": [{"expression": canonicalize_license_expression(terms.licence)}]}
    except InvalidLicenseExpression:
        return {"licenses": [{"license": {"name": terms.licence}}]}
