"""The base class of optimizer factories: it splits the parameter groups by weight decay, and a subclass makes the optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from swift_train.optimizer_options import DecayOptions
from swift_train.parameter_groups import split_by_decay

if TYPE_CHECKING:
    from torch.optim import Optimizer

Groups = list[dict[str, Any]]  # parameter groups of torch, each with its own `lr` and `weight_decay`
FactoryOptions = TypeVar("FactoryOptions", bound=DecayOptions)


class DecayOptimizerFactory(ABC, Generic[FactoryOptions]):
    """A `swift_train.roles.OptimizerFactory` with weight decay on matrices only, not on norms and biases.

    The learning rate of a group is multiplied by its `mult`.
    """

    def __init__(self, options: FactoryOptions) -> None:
        self.options = options

    def build(self, groups: Sequence[Mapping[str, Any]], lr: float) -> Optimizer:
        """Return the optimizer over the groups, each split by weight decay."""
        return self.make(split_by_decay(groups, lr, self.options.weight_decay), lr)

    @abstractmethod
    def make(self, groups: Groups, lr: float) -> Optimizer:
        """Return the optimizer over groups that `split_by_decay` made."""
