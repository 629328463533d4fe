"""Options of every task that samples answers while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator
from swift_train.options import TRUNCATIONS, ChatOptions

from swift_core.options import Options, Several, option
from swift_rollouts.engine_options import Rollout

if TYPE_CHECKING:
    from swift_rollouts.generation import Answer

Scale = Literal["group", "batch", "none"]
Estimator = Literal["grpo", "rloo", "reinforce_plus_plus"]


class CodeOptions(Options):
    """Options for code of the user."""

    modules: Several = option(
        list,
        "Python files or modules whose functions and classes reward_funcs, multi_turn_scheduler and tools may name alone.",
        also=("external_plugins",),
    )


class TurnOptions(Options):
    """Which sampled turns learn."""

    turns: Literal["all", "last"] = option("all", "With a scheduler or tools: turns of the model that are trained, all or the last one.")


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
        256, "Maximum tokens per answer, including all of its turns and replies.", ge=1, also=("max_new_tokens", "response_length")
    )
    temperature: float = option(1.0, "Sampling temperature.", gt=0, le=2)
    top_p: float = option(1.0, "Nucleus sampling: sample from the most likely tokens with this total probability.", gt=0, le=1)
    top_k: int = option(-1, "Sample from the k most likely tokens; -1: from all.", ge=-1, values={"0": -1})
    min_p: float = option(0.0, "Minimum probability of a token relative to the most likely one.", ge=0, le=1)
    repetition_penalty: float = option(1.0, "Repetition penalty: divides the logits of tokens that already occurred.", gt=0)
    stop: list[str] = option(list, "Strings that end an answer.", also=("stop_words",))
    steps_per_generation: int | None = option(
        None,
        "Micro-batches of answers that are sampled at once, a multiple of gradient_accumulation_steps; default: "
        "those of one step. A divisor of that number has the same "
        "effect, since the weights do not change within "
        "a step.",
        ge=1,
    )
    num_iterations: int = option(1, "Number of passes over each batch of sampled answers.", ge=1)
    multi_turn_scheduler: str = option(
        "", "Replies to answers, so that a conversation has several turns: FILE.py:FUNCTION_OR_CLASS, MODULE:NAME, or a name with options."
    )
    tools: Several = option(
        list, "Functions that the model may call: FILE.py:FUNCTION or MODULE:FUNCTION; tools of an MCP server: mcp:URL or mcp:COMMAND."
    )
    max_turns: int = option(10, "With a scheduler or tools: maximum answers of the model in a conversation.", ge=1)
    mask: TurnOptions = option(TurnOptions, "Which sampled turns are trained.")
    turn_timeout: float = option(60.0, "Maximum seconds for a reply of a scheduler or tool.", gt=0, affects_result=False)

    @property
    def engine(self) -> Rollout:
        """The engine that samples the answers."""
        return Rollout(name=self.rollout) if isinstance(self.rollout, str) else self.rollout

    @property
    def sampled_share(self) -> float:
        """Share of the prompts whose answers are sampled; the others take the answers of their rows."""
        return 1.0

    @property
    def truncated(self) -> bool:
        """True if answers are sampled from another distribution than that of the model at the temperature."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0 or self.repetition_penalty != 1

    @property
    def steps_at_once(self) -> int:
        """Optimizer steps whose answers are sampled at once."""
        return max(1, (self.steps_per_generation or 1) // self.gradient_accumulation_steps)

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        given, step = self.steps_per_generation or 1, self.gradient_accumulation_steps
        if given % step and step % given:
            raise ValueError("steps_per_generation must be a multiple or a divisor of gradient_accumulation_steps")
        if self.packing:
            raise ValueError("packing is not for rows that are sampled: rows share a forward pass anyway, up to micro_tokens")
        return self


class RewardWeights(Options):
    """Weights of several rewards."""

    reward_weights: list[float] = option(list, "Weight of each reward; default: 1 each.")
    reward_timeout: float = option(120.0, "Maximum seconds for the rewards of a batch of answers.", gt=0, affects_result=False)


class RewardOptions(RewardWeights, RolloutOptions):
    """Options of every task on groups of answers that rewards score."""

    num_generations: int = option(8, "Answers per prompt.", ge=1)
    num_generations_eval: int | None = option(
        None, "Answers per held-out prompt in an evaluation; default: num_generations.", ge=1, affects_result=False
    )
    reward_funcs: Several = option(
        list,
        "Rewards: a name with options after colons (accuracy, cosine:max_len=512), FILE.py:FUNCTION or MODULE:FUNCTION; in YAML also "
        "{name: NAME, option: value}.",
        also=("reward_func",),
    )
    reward_model: str = option(
        "", "Reward model, whose score is a reward of the name reward-model: a checkpoint with one score (swift rm), served for the run."
    )
    reward_server: str = option(
        "",
        "URL of a running server of a reward model, ending in /v1: instead of reward_model, or as what serves it.",
        affects_result=False,
    )
    metric_for_best_model: str = option(
        "reward",
        "Metric of the answers to held-out prompts that decides on the best checkpoint and early stopping: reward, rewards/NAME, …",
    )
    greater_is_better: bool = option(True, "A greater metric_for_best_model is better.")
    dynamic_sample: bool = option(
        False, "Dynamic sampling: replace groups whose answers all have the same reward (zero advantage) by groups of other prompts."
    )
    max_resample_times: int = option(3, "With dynamic_sample: maximum rounds of resampling.", ge=1)
    missing_eos_penalty: float = option(
        0.0, "Subtracted from the reward of an answer that was truncated at max_completion_length, without a token that ends it.", ge=0
    )
    mask_truncated_completions: bool = option(
        False, "Exclude answers that were truncated at max_completion_length from the loss.", also=("overlong_filter",)
    )

    def excludes(self, answer: Answer) -> bool:
        """Return whether an answer is excluded from the loss."""
        return self.mask_truncated_completions and answer.finish == "length"

    @property
    def has_reward_model(self) -> bool:
        """Whether there is a reward model."""
        return bool(self.reward_model or self.reward_server)

    @property
    def answers_per_row(self) -> int:
        """Answers to a prompt that are rows of their own; 1 if a row is made of all of them."""
        return self.num_generations

    @model_validator(mode="after")
    def _weights(self) -> Self:
        rewards = len(self.reward_funcs) + self.has_reward_model
        if self.reward_weights and len(self.reward_weights) != rewards:
            raise ValueError(f"{len(self.reward_weights)} reward_weights for {rewards} rewards (reward_funcs, then reward_model)")
        if self.dynamic_sample and self.num_generations == 1:
            raise ValueError("dynamic_sample replaces groups of answers with equal rewards: it needs num_generations of 2 or more")
        return self
