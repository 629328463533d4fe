"""Compare an export with its source checkpoint: the logits on held-out text, and the tokenisation of conversations."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from swift_core.contract import SwiftError, UsageError
from swift_core.system import write_text
from swift_train.build import load_checkpoint
from swift_train.processors import tokenizer_of
from swift_train.template_facts import golden_texts
from swift_train.verify import compare_logits, held_out_text, save_logits

if TYPE_CHECKING:
    from swift_convert.verify import Result
    from torch import Tensor

    from swift_core.contract import Source
    from swift_train.roles import Loaded

_RESULT_FIGURES = ("load_seconds", "peak_bytes")


class LoadedExport:
    """An export in a format that an installed loader reads; an exporter's `load` returns it for such formats."""

    def __init__(self, exported: Path, *, trust_remote_code: bool = False) -> None:
        self._loaded = load_checkpoint(exported, dtype="float32", trust_remote_code=trust_remote_code)
        self.vocabulary = int(self._loaded.model.get_output_embeddings().weight.shape[0])  # type: ignore[operator]

    @torch.inference_mode()
    def logits(self, ids: list[int]) -> Any:
        """Return the logits after each token, as a float32 array (tokens, vocabulary)."""
        model: Any = self._loaded.model
        logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0]
        return logits.float().cpu().contiguous().numpy()

    def encode(self, text: str) -> list[int]:
        """Tokenise a rendered conversation."""
        tokenizer = tokenizer_of(self._loaded.processor)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def compare(source: Source, result: Result, *, tokens: int, scratch: Path, trust_remote_code: bool = False) -> dict[str, float]:
    """Compare an export with its source, which is computed in float32.

    Args:
        source: the checkpoint that was exported.
        result: the export, which answers a file of questions.
        tokens: amount of held-out text.
        scratch: folder for the logits of both, removed afterwards: tokens × vocabulary × 8 bytes.
        trust_remote_code: allow the source's own code to run.

    Returns:
        The figures of `compare_logits`; `load_seconds` of the result and `load_seconds_before` of the source; `peak_bytes`, the peak
        memory of the result's process, if it runs in one of its own.

    Raises:
        NotImplementedError: no installed loader reads the format of the source.
        SwiftError: the result tokenises the manifest's conversations differently from the source.
    """
    began = time.perf_counter()
    loaded = _loaded(source, trust_remote_code=trust_remote_code)
    seconds = time.perf_counter() - began
    rows = held_out_text(tokenizer_of(loaded.processor), tokens)
    conversations = golden_texts(loaded.processor)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="logits-") as name:
        folder = Path(name)
        saved = save_logits(loaded.model, rows, folder)
        del loaded
        question_file, answer_file = folder / "questions.jsonl", folder / "answers.safetensors"
        questions: list[dict[str, Any]] = [{"ids": list(row)} for row in rows] + [{"text": text} for text, _ in conversations]
        write_text(question_file, "".join(json.dumps(item) + "\n" for item in questions))
        found = result.answer(question_file, answer_file)
        for (text, expected), actual in zip(conversations, found["texts"], strict=True):
            if list(expected) != list(actual):
                raise SwiftError(f"the export tokenises {text!r} differently from its source", code="TRAIN-025", where=source.path)
        figures = compare_logits(_pairs(saved, answer_file, rows))
    return {**figures, "load_seconds_before": seconds, **{name: found[name] for name in _RESULT_FIGURES if name in found}}


def _loaded(source: Source, *, trust_remote_code: bool) -> Loaded:
    try:
        return load_checkpoint(Path(source.path), dtype="float32", family=source.family, trust_remote_code=trust_remote_code)
    except UsageError as error:
        if source.format == "safetensors":
            raise
        raise NotImplementedError(f"the source can't be loaded: {error.message}") from error


def _pairs(saved: list[Path], answers: Path, rows: list[list[int]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the logits of the source and of the result for each row, without those of its last token, and the row."""
    with safe_open(answers, "pt") as file:
        for number, (path, row) in enumerate(zip(saved, rows, strict=True)):
            before, after = torch.load(path), file.get_tensor(str(number))[:-1]
            if before.shape != after.shape:
                raise SwiftError(
                    f"the export has a vocabulary of {after.shape[1]} tokens, but its source one of {before.shape[1]}", code="TRAIN-026"
                )
            yield before, after, torch.tensor(list(row))
