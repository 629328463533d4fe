"""Options of the supervised tokens of a conversation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import field_validator, model_validator

from swift_core.options import Options, option
from swift_train import token_weights


class MaskOptions(Options):
    """Which tokens of a conversation are supervised."""

    end: Literal["turn", "separator"] = option(
        "turn",
        "Last supervised token of a turn: its end-of-turn token (turn), or the whitespace after that (separator).",
    )
    turns: Literal["all", "last", "everything"] = option(
        "all", "Supervised turns: all assistant turns, only the last one, or every message of every role (as in pre-training)."
    )
    weights: str = option(
        "",
        "Loss weights of text within the supervised turns, as a JSON object, regular expression → weight; or the name of a set: "
        "empty-think and think-prefix (weight 0), hermes (tool calls twice), react, alpha-umi, qwen-functions.",
    )

    @field_validator("weights")
    @classmethod
    def _weights(cls, value: str) -> str:
        return token_weights.checked(value)

    @model_validator(mode="after")
    def _within_turns(self) -> Self:
        if self.weights and self.turns == "everything":
            raise ValueError("weights are of text within the assistant's turns: omit turns everything, or weights")
        return self
