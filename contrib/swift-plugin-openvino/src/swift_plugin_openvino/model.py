"""The model in a checkpoint folder: its file, its context length and its stop tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError

ANY_LENGTH = 1_000_000  # context length in tokens of a model that does not state one


@dataclass(frozen=True, slots=True)
class Model:
    """A model for OpenVINO: `path` is a GGUF file or a folder in OpenVINO IR, `context` the context length, `ends` the stop token ids."""

    path: Path
    context: int
    ends: frozenset[int]


def find_model(folder: Path) -> Model:
    """Return the model in a folder.

    Raises:
        UsageError: there is no model that OpenVINO reads, several, or a damaged one.
    """
    if (folder / "openvino_model.xml").is_file():
        return _ir(folder)
    files = sorted(folder.glob("*.gguf"))
    if len(files) == 1:
        return _gguf(files[0])
    if files:
        raise UsageError(
            f"the folder has {len(files)} GGUF files: {', '.join(file.name for file in files[:4])}",
            code="EXPORT-005",
            where=str(folder),
            hint="Keep one.",
        )
    raise UsageError(
        "the folder has neither a GGUF file nor openvino_model.xml",
        code="EXPORT-006",
        where=str(folder),
        hint="Convert the checkpoint: swift export CHECKPOINT --to openvino-ir.",
    )


def _ir(folder: Path) -> Model:
    if not (folder / "openvino_tokenizer.xml").is_file():
        hint = "Convert it again: optimum-cli export openvino also writes the tokenizer if openvino-tokenizers is installed."
        raise UsageError("the model has no tokenizer (openvino_tokenizer.xml)", code="EXPORT-007", where=str(folder), hint=hint)
    config = _json(folder / "config.json")
    ends = _json(folder / "generation_config.json").get("eos_token_id", config.get("eos_token_id"))
    positions = config.get("text_config", config).get("max_position_embeddings")
    return Model(folder, int(positions or ANY_LENGTH), frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends]))


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except ValueError as error:
        raise UsageError(
            f"the file is not valid JSON: {error}", code="EXPORT-008", where=str(path), hint="Convert the model again."
        ) from error


def _gguf(file: Path) -> Model:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)  # maps every tensor, and fails if the file is truncated
    except (ValueError, OSError, IndexError, KeyError, TypeError) as error:
        raise UsageError(f"damaged GGUF file: {error}", code="EXPORT-009", where=str(file), hint="Download it again.") from error

    def value(name: str) -> Any:
        field = reader.get_field(name)
        return None if field is None else field.contents()

    positions = value(f"{value('general.architecture')}.context_length")
    ends = (value("tokenizer.ggml.eos_token_id"), value("tokenizer.ggml.eot_token_id"))
    return Model(file, int(positions or ANY_LENGTH), frozenset(int(end) for end in ends if end is not None))
