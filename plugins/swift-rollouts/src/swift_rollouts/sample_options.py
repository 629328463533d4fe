"""Options of `swift sample`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator
from swift_data.options import RowFileOptions
from swift_serve.options import AnsweringOptions, SamplingOptions

from swift_core.options import Several, option
from swift_rollouts.options import CodeOptions, RewardWeights


class SampleOptions(CodeOptions, RewardWeights, SamplingOptions, RowFileOptions, AnsweringOptions):
    """Options of `swift sample`; names of ms-swift are accepted."""

    model: str = option(
        "", "Checkpoint to ask; it is served while the answers are sampled.", also=("model_id_or_path", "model_name_or_path")
    )
    dataset: Several = option(list, "Prompt rows, or chat rows, whose last answer is resampled.")
    system: str = option("", "System prompt of the rows that have none.")
    num_generations: int = option(4, "Answers per prompt.", ge=1, also=("num_return_sequences",))
    keep: int = option(1, "Maximum answers to keep per prompt, the best first.", ge=1, also=("n_best_to_keep",))
    threshold: float | None = option(None, "Keep only answers with at least this total reward.", also=("prm_threshold",))
    rows: Literal["chat", "preference"] = option(
        "chat", "Rows to write: one conversation per kept answer (chat), or pairs of the best and the worst answer (preference)."
    )
    reward_funcs: Several = option(
        list, "Rewards: names with options after colons, FILE.py:FUNCTION or MODULE:FUNCTION; without any, all answers are kept.",
        also=("reward_func", "orm_model"),
    )  # fmt: skip
    max_tokens: int = option(512, "Maximum new tokens per answer.", ge=1, also=("max_new_tokens",))
    temperature: float = option(1.0, "Sampling temperature; 0: greedy decoding.", ge=0)
    seed: int = option(42, "Random seed of sampling; each answer has its own.", ge=0)
    concurrency: int = option(8, "Maximum number of prompts sampled at the same time.", ge=1, affects_result=False)
    resume: bool = option(False, "Resume from the partial results that an interrupted run left beside --output.", affects_result=False)
    output: str = option("", "File for the rows (JSONL); default: sampled.jsonl in the run folder.", affects_result=False)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.rows == "preference" and not (self.reward_funcs and self.num_generations > 1):
            raise ValueError("pairs need a reward, and at least 2 answers per prompt (num_generations)")
        return self
