"""Options of the freeze tuner and AdamW."""

from __future__ import annotations

from pydantic import model_validator

from swift_core.options.model import Names, Options, option


class FreezeOptions(Options):
    """Which weights learn: those of `last_blocks`, `train` and `train_regex` together (all, if none is given), less the frozen ones."""

    last_blocks: int = option(0, "Train the last so many decoder blocks.", ge=0, also=("freeze_trainable_layers",))
    train: Names = option(list, "Train the weights whose names start so: model.layers.29, model.norm.", also=("trainable_parameters",))
    train_regex: str = option(
        "", "Train the weights in whose names this regular expression is found.", also=("trainable_parameters_regex",)
    )
    freeze: Names = option(list, "Freeze the weights whose names start so.", also=("freeze_parameters",))
    freeze_regex: str = option("", "Freeze the weights in whose names this regular expression is found.", also=("freeze_parameters_regex",))

    @model_validator(mode="after")
    def _something(self) -> FreezeOptions:
        if not any((self.last_blocks, self.train, self.train_regex, self.freeze, self.freeze_regex)):
            raise ValueError(
                "say what learns (last_blocks, train, train_regex) or does not (freeze, freeze_regex); for all: the tuner 'full'"
            )
        return self


class AdamWOptions(Options):
    """torch.optim.AdamW."""

    weight_decay: float = option(0.1, "Weight decay, for matrices only.", ge=0, also=("adam_weight_decay",))
    beta1: float = option(0.9, "Decay of the mean of the gradients.", ge=0, lt=1, also=("adam_beta1",))
    beta2: float = option(0.95, "Decay of the mean of their squares.", ge=0, lt=1, also=("adam_beta2",))
    eps: float = option(1e-8, "Added to the denominator.", gt=0, also=("adam_epsilon",))
