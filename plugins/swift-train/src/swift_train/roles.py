"""Roles that touch an `nn.Module`, and so share the training process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer as TorchOptimizer

    from swift_core.contract import ModelFamily


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with what turns text (and images) into its inputs: a tokenizer, or a processor that holds one."""

    model: Module  # in evaluation mode, on the device and in the dtype of `Loading`
    processor: Any  # the tokenizer, or a processor with one as `tokenizer`


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """Arguments of loading a model. A dataclass, so that it can grow without breaking existing loaders.

    `device` is "cpu", "cuda", "meta" (shapes only), …; `dtype` "float32", "bfloat16", "float16"; `arguments` come from a load-time
    quantizer; `trust_remote_code` is true where the user has named this very repository and revision as trusted. `head` is the output
    layer, as in `TaskSpec.head`; a new one is drawn from torch's generator. `rope` is what `swift_train.rope.apply_rope` sets in the
    configuration.
    """

    device: str
    dtype: str
    attention: str = "auto"  # implementation of attention; auto: the library's choice
    experts: str = "auto"  # how experts of a mixture are computed; auto: the library's choice
    trust_remote_code: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    head: str = ""
    rope: Mapping[str, Any] = field(default_factory=dict)


class Loader(Protocol):
    """Checkpoint folder → model and processor."""

    def load(self, checkpoint: Path, family: ModelFamily, loading: Loading) -> Loaded:
        """Load it. Raises UsageError for missing, truncated or pickled weights, or code that is not trusted."""
        ...


class LoadQuantizer(Protocol):
    """Quantizes while a model is loaded."""

    def load_arguments(self, family: ModelFamily, dtype: str) -> Mapping[str, Any]:
        """Keyword arguments for the loader."""
        ...

    def ready_to_train(self, model: Module) -> None:
        """Do what a loaded model needs before an adapter on it is trained; most need nothing."""
        ...


class Tuner(Protocol):
    """Which weights learn, and how what they learned is kept."""

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Make the model trainable: adapters added, all else frozen (or all of it trainable)."""
        ...

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Put what `save` wrote onto a freshly loaded base; an adapter under `name`, beside others that are on it already."""
        ...

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """Groups of trainable parameters for the optimizer: `params`, and `mult` where a group's rate differs (LoRA+)."""
        ...

    def save(self, model: Module, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
        """Write what was learned as the ecosystem does (PEFT adapter files, or safetensors).

        `weights` are the full, gathered tensors by name where a parallel strategy has sharded the module's own.
        """
        ...

    def merge(self, model: Module) -> Module:
        """Fold the adapter into the base: full precision in, full precision out."""
        ...


@runtime_checkable
class RemarkingTuner(Tuner, Protocol):
    """A tuner that tells the user what it decided while it was attached, such as the layers that it left out."""

    remarks: list[str]


@runtime_checkable
class TokenTuner(Tuner, Protocol):
    """A tuner that freezes the embeddings, but for the rows of tokens that were added for the run."""

    def train_tokens(self, ids: Sequence[int]) -> None:
        """Train these rows of the embeddings and of the output layer too; called before `attach`."""
        ...


@runtime_checkable
class GradientTuner(Tuner, Protocol):
    """A tuner whose new adapter may start from gradients of the first training rows (LoRA-GA)."""

    @property
    def gradient_rows(self) -> int:
        """The number of rows; 0 if it needs none."""
        ...

    def use_gradients(self, backward: Callable[[Module], None]) -> None:
        """Take a function that accumulates the gradients of these rows in a model's parameters; called before `attach`."""
        ...


@runtime_checkable
class ScheduledTuner(Tuner, Protocol):
    """A tuner that changes its adapter during training and must know the number of updates (AdaLoRA). Its runs can't be resumed."""

    def prepare(self, model: Module, optimizer: TorchOptimizer, steps: int) -> None:
        """Set the schedule for `steps` updates; called once, before the first step, with the attached model and its optimizer."""
        ...


@runtime_checkable
class SwitchingTuner(Tuner, Protocol):
    """A tuner whose adapters take turns on one base, request by request: what the embedded server needs to serve them beside it.

    The adapters of a tuner that is none are served merged.
    """

    def speaking_as(self, model: Module, name: str) -> AbstractContextManager[None]:
        """While the context lasts, the adapter `name` of those that were restored answers alone; the base, if `name` is empty."""
        ...

    def drop(self, model: Module, name: str) -> Module:
        """Take an adapter off; with the last one, return the base as it was loaded."""
        ...

    def in_layers(self, model: Module) -> bool:
        """True if its adapters act in the base's own layers.

        If not, they act in the module that `restore` returned, which is then called as a whole, one request at a time, and must have
        transformers' `generate`.
        """
        ...


class OptimizerFactory(Protocol):
    """Parameter groups → optimizer."""

    def build(self, groups: Sequence[Mapping[str, Any]], lr: float) -> TorchOptimizer:
        """An optimizer over the groups."""
        ...


@runtime_checkable
class ModelOptimizerFactory(OptimizerFactory, Protocol):
    """An optimizer factory that does better if it has the model too, whose names and sizes tell what a weight is."""

    def build_for(self, model: Module, groups: Sequence[Mapping[str, Any]], lr: float) -> TorchOptimizer:
        """An optimizer over the groups of a model, with its adapters."""
        ...


@runtime_checkable
class AveragingOptimizer(Protocol):
    """An optimizer that keeps an average of the weights beside those that it trains (Schedule-Free).

    It is an optimizer of torch too; `param_groups` are those of torch.
    """

    param_groups: list[dict[str, Any]]

    def eval(self) -> None:
        """Give the model the average, for evaluations and checkpoints."""
        ...

    def train(self) -> None:
        """Give the model the weights that are trained."""
        ...
