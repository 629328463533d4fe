"""The checkpoint that is evaluated, and the one that it is compared with; each is loaded when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from swift_evaluate.roles import Evaluation
from swift_evaluate.rows.files import SourceRow
from swift_train.build import load_checkpoint, source_of
from swift_train.processors import tokenizer_of

from swift_core.checkpoints import family_of
from swift_core.contract import UsageError
from swift_plugin_transformers.evaluation.encoding import RowEncoder, Sequence
from swift_plugin_transformers.evaluation.options import BuiltinOptions
from swift_plugin_transformers.evaluation.scored_model import ScoredModel

_TOKENS = {"cpu": 512}  # tokens of a pass: more need more memory and are not faster
_TOKENS_ELSEWHERE = 8192


@dataclass
class Subject:
    """The checkpoint that is evaluated, with its first adapter active."""

    checkpoint: Path
    asked: Evaluation
    options: BuiltinOptions

    @cached_property
    def _loaded(self) -> Any:
        options = self.options
        return load_checkpoint(self.checkpoint, device=options.device, dtype=options.dtype, adapters=self.asked.adapters)

    @cached_property
    def model(self) -> ScoredModel:
        """The model."""
        return self._scored(self._loaded.model)

    @cached_property
    def reference(self) -> ScoredModel:
        """The model to compare with.

        Raises:
            UsageError: it has another vocabulary.
        """
        loaded = load_checkpoint(Path(self.options.reference), device=self.options.device, dtype=self.options.dtype)
        if tokenizer_of(loaded.processor).get_vocab() != self.encoder.tokenizer.get_vocab():
            raise UsageError(
                "the reference has another vocabulary", code="EVAL-065", where="reference", hint="Name a checkpoint of the same base model."
            )
        return self._scored(loaded.model)

    @cached_property
    def encoder(self) -> RowEncoder:
        """The encoder of rows; of a conversation, all turns of the assistant count."""
        return self._encoder("all")

    @cached_property
    def last_turn(self) -> RowEncoder:
        """The encoder of conversations of which only the last turn counts."""
        return self._encoder("last")

    def windows(self, row: SourceRow) -> tuple[list[Sequence], int]:
        """Return the windows of a row, and the bytes of its text.

        Raises:
            UsageError: no token counts.
        """
        sequences, size = self.encoder.encode(row)
        found = [window for sequence in sequences for window in sequence.windows(self.options.max_length)]
        if not any(any(window.counted) for window in found):
            raise UsageError(
                "no token of the row is scored",
                code="EVAL-066",
                where=row.where,
                hint="Text must not be empty; a conversation needs an answer.",
            )
        return found, size

    def _encoder(self, turns: str) -> RowEncoder:
        return RowEncoder(tokenizer_of(self._loaded.processor), family_of(source_of(self.checkpoint)).stop_tokens, turns=turns)

    def _scored(self, module: Any) -> ScoredModel:
        kind = next(module.parameters()).device.type
        return ScoredModel(module, self.options.micro_tokens or _TOKENS.get(kind, _TOKENS_ELSEWHERE))
