"""Checkpoint validation from the config, the tokenizer and the headers of the weights, before any work starts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError
from swift_formats.weights import ADAPTER, INDEX, WHOLE, read_header, weight_files, weight_map

_AGAIN = "Fetch the checkpoint again."
_SHARD = re.compile(r"-\d+-of-(\d+)\.safetensors$")
_FLOATS = ("F64", "F32", "F16", "BF16", "BOOL")
_MATRIX = re.compile(r"(^|\.)(q?weight|weight_packed|kernel)$")
_EMBEDDINGS = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|embeddings?)\.weight$")
_SETTINGS = (
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "preprocessor_config.json",
    "processor_config.json",
)


def check(folder: Path) -> None:
    """Check that a safetensors checkpoint is complete and consistent.

    Raises:
        UsageError: the first problem found, in the order config, weights, tokenizer; `where` names the file.
    """
    if not (folder / "config.json").is_file():
        if (folder / ADAPTER).is_file():
            hint = "Copy adapter_config.json from the adapter's page into the folder."
            raise UsageError("has an adapter's weights but no adapter_config.json", code="CKPT-003", where=str(folder), hint=hint)
        hint = "Copy config.json from the model's page into the folder."
        raise UsageError("has weights but no config.json", code="CKPT-004", where=str(folder), hint=hint)
    config = Checkpoint.at(folder).config
    if not config.get("model_type"):
        raise UsageError(
            "has no model_type, so the architecture is unknown",
            code="CKPT-005",
            where=str(folder / "config.json"),
            hint="Use the config.json that was published with the model.",
        )
    for name in _SETTINGS:
        if (folder / name).is_file():
            json_object(folder / name)
    shapes = check_tensors(folder, config)
    if (folder / "tokenizer.json").is_file():
        _check_tokenizer(folder, config, shapes)


def check_tensors(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Check that the weight files are complete and match the index and the config.

    Returns:
        The shapes of the tensors that are stored in a floating-point type, by name.

    Raises:
        UsageError: a file is missing, damaged or misnamed, or the weights are quantized and the config has no quantization_config.
    """
    files = weight_files(folder)
    if not (folder / INDEX).is_file() and files != [folder / WHOLE]:
        shards = [file.name for file in files if _SHARD.search(file.name)]
        if shards:
            total = _SHARD.search(shards[0])
            problem = f"{len(shards)} of {int(total[1]) if total else '?'} shards, and no index ({INDEX}) that maps tensors to shards"
            raise UsageError(problem, code="CKPT-006", where=str(folder), hint=f"Copy {INDEX} from the model's page into the folder.")
        problem = f"the weights are in {files[0].name}, but {WHOLE} was expected"
        raise UsageError(
            problem, code="CKPT-007", where=str(folder), hint=f"Rename the file if it contains the whole model, or add {INDEX}."
        )
    if (folder / WHOLE).is_file() and folder / WHOLE not in files:
        problem = f"contains two sets of weights: {WHOLE}, and the {len(files)} files that {INDEX} names"
        hint = f"Libraries differ in which one they read: move {WHOLE}, or the index and its shards, out of the folder."
        raise UsageError(problem, code="CKPT-008", where=str(folder), hint=hint)
    headers = {file.name: read_header(file) for file in files}
    if (folder / INDEX).is_file():
        lost = [name for name, file in weight_map(folder).items() if name not in headers[file]]
        if lost:
            problem = f"lists {len(lost)} tensors that are not in their files: {', '.join(sorted(lost)[:3])}"
            raise UsageError(
                problem, code="CKPT-009", where=str(folder / INDEX), hint="Index and weights come from different versions. " + _AGAIN
            )
    tensors = {name: entry for header in headers.values() for name, entry in header.items()}
    if not _quantized(folder, config):
        packed = [name for name, entry in tensors.items() if entry["dtype"] not in _FLOATS and _MATRIX.search(name)]
        if packed:
            stored = f"{len(packed)} weights are stored as {tensors[packed[0]]['dtype']} ({packed[0]})"
            problem = f"{stored}, but config.json has no quantization_config"
            hint = "They can't be decoded without it: copy config.json from the model's page, or start from the full-precision model."
            raise UsageError(problem, code="CKPT-010", where=str(folder), hint=hint)
    return {name: tuple(entry["shape"]) for name, entry in tensors.items() if entry["dtype"] in _FLOATS}


def _quantized(folder: Path, config: Mapping[str, Any]) -> bool:
    parts = [config, *(value for value in config.values() if isinstance(value, Mapping))]
    return (folder / "hf_quant_config.json").is_file() or any(
        part.get("quantization_config") or part.get("compression_config") for part in parts
    )


def _check_tokenizer(folder: Path, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that every token has an embedding; models with a second embedding table for added tokens are skipped."""
    file = folder / "tokenizer.json"
    tokenizer = json_object(file)
    rows = max((shape[0] for name, shape in shapes.items() if len(shape) == 2 and _EMBEDDINGS.search(name)), default=0)
    if not rows or any("additional_vocab_size" in part for part in (config, config.get("text_config") or {})):
        return
    try:
        beyond = {number: text for number, text in _tokens(tokenizer) if number >= rows}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise UsageError("not a tokenizer file of the `tokenizers` library", code="CKPT-011", where=str(file), hint=_AGAIN) from None
    if beyond:
        first = min(beyond)
        raise UsageError(
            f"{len(beyond)} tokens have no embedding, first {beyond[first]!r} (id {first}): the model has {rows} embeddings",
            code="CKPT-012",
            where=str(file),
            hint="The tokenizer belongs to another model, or tokens were added to it only: use the tokenizer files of this model.",
        )


def _tokens(tokenizer: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    vocabulary = tokenizer["model"]["vocab"]
    if isinstance(vocabulary, Mapping):
        yield from ((int(number), text) for text, number in vocabulary.items())
    else:
        yield from ((number, str(entry[0])) for number, entry in enumerate(vocabulary))
    yield from ((int(token["id"]), str(token["content"])) for token in tokenizer.get("added_tokens") or ())


def json_object(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        UsageError: the file has no JSON object.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"not JSON: {error}", code="CKPT-013", where=str(file), hint=_AGAIN) from None
    if not isinstance(value, dict):
        raise UsageError("not a JSON object", code="CKPT-014", where=str(file), hint=_AGAIN)
    return value
