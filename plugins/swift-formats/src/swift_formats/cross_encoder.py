"""Language models as rerankers, in sentence-transformers' layout: the score of a pair is the logit of one token minus that of another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.system import write_json
from swift_formats.completeness import json_object

_MODULES, _SETTINGS, _FOLDER = "modules.json", "config_sentence_transformers.json", "1_LogitScore"
_TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
_LOGIT_SCORE = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
_LOGITS: Mapping[str, Any] = {"method": "forward", "method_output_name": "logits"}
_TRANSFORMER_CONFIG: Mapping[str, Any] = {  # without `message`, pairs would not be rendered by the chat template
    "transformer_task": "text-generation",
    "modality_config": {"text": _LOGITS, "message": {**_LOGITS, "format": "flat"}},
    "module_output_name": "causal_logits",
}


@dataclass(frozen=True, slots=True)
class LogitScore:
    """The tokens whose logits make the score: of a relevant pair, and of another one (None: the first logit alone)."""

    true_token_id: int  # of a relevant pair
    false_token_id: int | None  # of another one; None: the score is the first logit


def logit_score_of(folder: Path) -> LogitScore | None:
    """Return the tokens of a checkpoint, or None if it is no such reranker."""
    try:
        modules = json.loads((folder / _MODULES).read_text(encoding="utf-8"))
        kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
        if kinds != ["Transformer", "LogitScore"]:
            return None
        config = json_object(folder / str(modules[1]["path"]) / "config.json")
        return LogitScore(int(config["true_token_id"]), config.get("false_token_id"))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_logit_score(folder: Path, tokens: LogitScore) -> None:
    """Add the files to a checkpoint folder, also of an adapter."""
    kinds = (("", _TRANSFORMER), (_FOLDER, _LOGIT_SCORE))
    write_json(
        folder / _MODULES, [{"idx": number, "name": str(number), "path": path, "type": kind} for number, (path, kind) in enumerate(kinds)]
    )
    (folder / _FOLDER).mkdir(exist_ok=True)
    config: Mapping[str, Any] = {"true_token_id": tokens.true_token_id, "false_token_id": tokens.false_token_id}
    write_json(folder / _FOLDER / "config.json", {**config, "module_input_name": "causal_logits"})
    write_json(folder / "sentence_bert_config.json", _TRANSFORMER_CONFIG)
    write_json(folder / _SETTINGS, {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None})


def copy_logit_score(source: Path, target: Path) -> None:
    """Copy the files from a checkpoint folder to one that was made from it; do nothing if it has none."""
    if logit_score_of(source) is None:
        return
    for name in (_MODULES, _SETTINGS, "sentence_bert_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    for module in json.loads((source / _MODULES).read_text(encoding="utf-8")):
        if path := str(module.get("path", "")):
            shutil.copytree(source / path, target / path, dirs_exist_ok=True)
