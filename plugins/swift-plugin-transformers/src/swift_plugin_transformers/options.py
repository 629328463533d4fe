"""Options of the tuner `freeze`."""

from __future__ import annotations

from pydantic import model_validator

from swift_core.options import Names, Options, option


class FreezeOptions(Options):
    """Trainable weights: those of the blocks, `train` and `train_regex` together (all if none is set), minus the frozen ones."""

    last_blocks: int = option(0, "Number of decoder blocks to train, counted from the last.", ge=0, also=("freeze_trainable_layers",))
    first_blocks: int = option(0, "Number of decoder blocks to train, counted from the first.", ge=0)
    spread_blocks: int = option(
        0, "Number of decoder blocks to train, spread evenly: the last of each of so many equal parts, as LLaMA Pro adds them.", ge=0
    )
    train: Names = option(
        list, "Train the weights with these name prefixes, such as model.layers.29 or model.norm.", also=("trainable_parameters",)
    )
    train_regex: str = option(
        "", "Train the weights whose names contain a match of this regular expression.", also=("trainable_parameters_regex",)
    )
    freeze: Names = option(list, "Freeze the weights with these name prefixes.", also=("freeze_parameters",))
    freeze_regex: str = option(
        "", "Freeze the weights whose names contain a match of this regular expression.", also=("freeze_parameters_regex",)
    )

    @model_validator(mode="after")
    def _not_empty(self) -> FreezeOptions:
        blocks = (self.last_blocks, self.first_blocks, self.spread_blocks)
        if not any((*blocks, self.train, self.train_regex, self.freeze, self.freeze_regex)):
            raise ValueError("set what to train (last_blocks, train, train_regex, …) or freeze (freeze, freeze_regex); else use 'full'")
        return self
