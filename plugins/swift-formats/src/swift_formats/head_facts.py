"""Meaning of the outputs of a checkpoint's head: names of classes, activation, and the kind of text that they are computed from.

`head.json` is written beside the weights of classifiers, reward models and rerankers, also of adapters, which have no `config.json` for
it. Checkpoints of other tools have none: then `config.json` decides, as in transformers and sentence-transformers.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from swift_core.system import write_json
from swift_formats.completeness import json_object
from swift_formats.cross_encoder import copy_logit_score
from swift_formats.sentence_transformers import copy_pooling

FILE = "head.json"
Activation = Literal["none", "sigmoid", "softmax"]
Input = Literal["", "text", "chat", "pair", "words"]
_PROBLEMS: Mapping[Any, Activation] = {
    "regression": "none",
    "multi_label_classification": "sigmoid",
    "single_label_classification": "softmax",
}


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """Meaning of the outputs of a head.

    Attributes:
        labels: names of the numbers.
        activation: what makes probabilities or scores of the logits; none: they are the result.
        input: what the head was trained on: plain texts, conversations rendered by the chat template, queries with documents, or the
            first token of each word of a text; empty if unknown.
        system: default system prompt of the conversations.
        problem_type: of transformers; empty if unknown.
    """

    labels: tuple[str, ...] = ()
    activation: Activation = "none"
    input: Input = ""
    system: str = ""
    problem_type: str = ""


def head_facts(folder: Path, base: Path | None = None) -> HeadFacts:
    """Read the facts of a checkpoint; of an adapter without `head.json`, those of its base.

    Raises:
        UsageError: a file is not a JSON object.
    """
    if (folder / FILE).is_file():
        data = {name: value for name, value in json_object(folder / FILE).items() if name in {each.name for each in fields(HeadFacts)}}
        return HeadFacts(**{**data, "labels": tuple(data.get("labels", ()))})
    found = next((each for each in (folder, base) if each is not None and (each / "config.json").is_file()), None)
    config = json_object(found / "config.json") if found else {}
    names = config.get("id2label") or {}
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    return HeadFacts(labels, _activation(config, len(labels)), problem_type=str(config.get("problem_type") or ""))


def write_head_facts(folder: Path, facts: HeadFacts) -> None:
    """Write the facts beside a checkpoint, and into its `config.json` if it has one: transformers and other servers read them there."""
    write_json(folder / FILE, asdict(facts))
    if not (folder / "config.json").is_file():
        return
    config = json_object(folder / "config.json")
    if facts.labels:
        config["id2label"] = {str(number): label for number, label in enumerate(facts.labels)}
        config["label2id"] = {label: number for number, label in enumerate(facts.labels)}
    if facts.problem_type:
        config["problem_type"] = facts.problem_type
    if facts.input == "pair":
        kind = "Sigmoid" if facts.activation == "sigmoid" else "Identity"
        place = "activation.Sigmoid" if kind == "Sigmoid" else "linear.Identity"
        config["sentence_transformers"] = {**(config.get("sentence_transformers") or {}), "activation_fn": f"torch.nn.modules.{place}"}
    write_json(folder / "config.json", config)


def copy_head_files(source: Path, target: Path) -> None:
    """Copy what says how texts become numbers from a checkpoint folder to one that was made from it; do nothing if it has none."""
    copy_pooling(source, target)
    copy_logit_score(source, target)
    if (source / FILE).is_file():
        shutil.copyfile(source / FILE, target / FILE)
        write_head_facts(target, head_facts(source))


def _activation(config: Mapping[str, Any], count: int) -> Activation:
    """Return the activation of a checkpoint of another tool, as sentence-transformers and vLLM choose it."""
    own = config.get("sentence_transformers") or {}
    name = str(own.get("activation_fn") or config.get("sbert_ce_default_activation_function") or "").rpartition(".")[2]
    if name in ("Sigmoid", "Softmax", "Identity"):
        return "none" if name == "Identity" else "sigmoid" if name == "Sigmoid" else "softmax"
    return _PROBLEMS.get(config.get("problem_type")) or ("softmax" if count > 1 else "sigmoid")
