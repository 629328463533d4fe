"""A checkpoint folder as OpenVINO opens it, and what has to be known of the model before it is asked anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract.errors import UsageError

ANY_LENGTH = 1_000_000  # tokens, for a model that doesn't say how many it takes


@dataclass(frozen=True, slots=True)
class Model:
    """`path` is what OpenVINO opens: a GGUF file, or a folder in its own format. `ends` are ids of tokens that end an answer."""

    path: Path
    context: int
    ends: frozenset[int]


def find_model(folder: Path) -> Model:
    """The model in a folder.

    Raises:
        UsageError: there is none that OpenVINO reads, several, or one that is damaged.
    """
    if (folder / "openvino_model.xml").is_file():
        return _own_format(folder)
    files = sorted(folder.glob("*.gguf"))
    if len(files) == 1:
        return _gguf(files[0])
    if files:
        raise UsageError(
            f"{len(files)} GGUF files: {', '.join(file.name for file in files[:4])}", where=str(folder), hint="Leave one there."
        )
    raise UsageError(
        "nothing here that OpenVINO reads: no GGUF file and no openvino_model.xml",
        where=str(folder),
        hint="swift-plugin-openvino's README says how a checkpoint is converted.",
    )


def _own_format(folder: Path) -> Model:
    if not (folder / "openvino_tokenizer.xml").is_file():
        hint = "Convert it again: optimum-cli export openvino writes the tokenizer too where openvino-tokenizers is installed."
        raise UsageError("a model without its tokenizer (openvino_tokenizer.xml)", where=str(folder), hint=hint)
    config = _json(folder / "config.json")
    ends = _json(folder / "generation_config.json").get("eos_token_id", config.get("eos_token_id"))
    positions = config.get("text_config", config).get("max_position_embeddings")
    return Model(folder, int(positions or ANY_LENGTH), frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends]))


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", where=str(path), hint="Convert the model again.") from error


def _gguf(file: Path) -> Model:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)  # maps every tensor, and fails on one beyond the end
    except (ValueError, OSError, IndexError, KeyError, TypeError) as error:
        raise UsageError(f"not a whole GGUF file: {error}", where=str(file), hint="Fetch it again.") from error

    def value(name: str) -> Any:
        field = reader.get_field(name)
        return None if field is None else field.contents()

    positions = value(f"{value('general.architecture')}.context_length")
    ends = (value("tokenizer.ggml.eos_token_id"), value("tokenizer.ggml.eot_token_id"))
    return Model(file, int(positions or ANY_LENGTH), frozenset(int(end) for end in ends if end is not None))
