"""Options of every task that samples answers while it trains."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator
from swift_train.options import TRUNCATIONS, ChatOptions

from swift_core.options import Options, Several, option

Scale = Literal["group", "batch", "none"]
Estimator = Literal["grpo", "rloo", "reinforce_plus_plus"]


class Rollout(Options):
    """The engine that samples the answers."""

    name: str = option(
        "transformers", "Serving backend that is started for the run (transformers, vllm, …), or URL of a running server, ending in /v1."
    )
    options: dict[str, Any] = option(dict, 'Options of the backend, as JSON: {"device": "cuda:1", "gpu_memory_utilization": 0.8}.')
    model: str = option("", "Name of the model on a running server; default: its first model.")
    folder: str = option(
        "", "Folder for the weights that the engine reads, shared with a server on another machine; default: policies in the run folder."
    )
    ahead: int = option(
        0, "Sample this many batches of answers ahead, with older weights, while the model is trained (asynchronous rollouts).", ge=0
    )
    concurrency: int = option(16, "Maximum prompts that are answered at the same time.", ge=1)
    api_key_env: str = option("SWIFT_API_KEY", "Environment variable with the API key of a running server.")

    @property
    def is_url(self) -> bool:
        """Whether a running server is used."""
        return "://" in self.name


class CodeOptions(Options):
    """Where code of the user is."""

    modules: Several = option(
        list,
        "Python files or modules whose functions and classes reward_funcs, multi_turn_scheduler and tools may name alone.",
        also=("external_plugins",),
    )


class RolloutOptions(CodeOptions, ChatOptions):
    """Options of every task on prompts whose answers are sampled."""

    truncation: Literal["error", "left", "drop"] = option(
        "error",
        "How to handle a prompt longer than max_length: error, cut on the left, or drop the row.",
        also=("truncation_strategy",),
        values=TRUNCATIONS,
    )
    rollout: str | Rollout = option(
        Rollout,
        "Engine that samples the answers: a serving backend that is started for the run, or the URL of a running server.",
        also=("vllm_server_base_url",),
        affects_result=False,
    )
    max_completion_length: int = option(
        256, "Maximum tokens of an answer, with all of its turns and replies.", ge=1, also=("max_new_tokens", "response_length")
    )
    temperature: float = option(1.0, "Sampling temperature.", gt=0, le=2)
    top_p: float = option(1.0, "Nucleus sampling: sample from the most likely tokens with this total probability.", gt=0, le=1)
    top_k: int = option(-1, "Sample from the k most likely tokens; -1: from all.", ge=-1, values={"0": -1})
    min_p: float = option(0.0, "Minimum probability of a token relative to the most likely one.", ge=0, le=1)
    steps_per_generation: int | None = option(
        None,
        "Micro-batches of answers that are sampled at once, a multiple of gradient_accumulation_steps; default: those of one step.",
        ge=1,
    )
    num_iterations: int = option(1, "Number of passes over each batch of sampled answers.", ge=1)
    multi_turn_scheduler: str = option(
        "", "Replies to answers, so that a conversation has several turns: FILE.py:FUNCTION_OR_CLASS, MODULE:NAME, or a name with options."
    )
    tools: Several = option(list, "Functions that the model may call: FILE.py:FUNCTION or MODULE:FUNCTION.")
    max_turns: int = option(10, "With a scheduler or tools: maximum answers of the model in a conversation.", ge=1)
    turn_timeout: float = option(60.0, "Maximum seconds for a reply of a scheduler or tool.", gt=0, affects_result=False)

    @property
    def engine(self) -> Rollout:
        """The engine that samples the answers."""
        return Rollout(name=self.rollout) if isinstance(self.rollout, str) else self.rollout

    @property
    def truncated(self) -> bool:
        """Whether answers are sampled from a part of the distribution."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0

    @property
    def steps_at_once(self) -> int:
        """Optimizer steps whose answers are sampled at once."""
        return (self.steps_per_generation or self.gradient_accumulation_steps) // self.gradient_accumulation_steps

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        if (self.steps_per_generation or self.gradient_accumulation_steps) % self.gradient_accumulation_steps:
            raise ValueError("steps_per_generation must be a multiple of gradient_accumulation_steps")
        if self.packing:
            raise ValueError("packing is not for rows that are sampled: rows share a forward pass anyway, up to micro_tokens")
        return self


class RewardWeights(Options):
    """How several rewards are added."""

    reward_weights: list[float] = option(list, "Weight of each reward; default: 1 each.")
    reward_timeout: float = option(120.0, "Maximum seconds for the rewards of a batch of answers.", gt=0, affects_result=False)


class RewardOptions(RewardWeights, RolloutOptions):
    """Options of every task on groups of answers that rewards score."""

    num_generations: int = option(8, "Answers per prompt.", ge=2)
    num_generations_eval: int | None = option(
        None, "Answers per held-out prompt in an evaluation; default: num_generations.", ge=1, affects_result=False
    )
    reward_funcs: Several = option(
        list,
        "Rewards: a name with options after colons (accuracy, cosine:max_len=512), FILE.py:FUNCTION or MODULE:FUNCTION; in YAML also "
        "{name: NAME, option: value}.",
        also=("reward_func",),
    )
    metric_for_best_model: str = option(
        "reward",
        "Metric of the answers to held-out prompts that decides on the best checkpoint and early stopping: reward, rewards/NAME, …",
    )
    greater_is_better: bool = option(True, "A greater metric_for_best_model is better.")
    dynamic_sample: bool = option(
        False, "Replace groups whose answers all have the same reward, from which nothing is learned, by those of other prompts."
    )
    max_resample_times: int = option(3, "With dynamic_sample: maximum rounds of replacing.", ge=1)
    mask_truncated_completions: bool = option(
        False, "Leave answers that were cut at max_completion_length out of the loss.", also=("overlong_filter",)
    )

    @model_validator(mode="after")
    def _weights(self) -> Self:
        if self.reward_weights and len(self.reward_weights) != len(self.reward_funcs):
            raise ValueError(f"{len(self.reward_weights)} reward_weights for {len(self.reward_funcs)} reward_funcs")
        return self
