"""Options of labels that all classifiers have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from swift_core.options import Options, option


class LabelOptions(Options):
    """The number of classes and their names."""

    num_labels: int = option(2, "Number of classes; default: of label_names, else 2.", ge=1)
    label_names: list[str] = option(
        list, "Names of the classes, in the order of their indices; rows may use them as labels. They are saved with the model."
    )

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, data: Any) -> Any:
        """Count the names if the number is not given."""
        names = data.get("label_names") if isinstance(data, Mapping) else None
        return {"num_labels": len(names), **data} if isinstance(names, list | tuple) and names else data

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.label_names and len(self.label_names) != self.num_labels:
            raise ValueError("label_names must have a name for each of num_labels")
        if len(set(self.label_names)) != len(self.label_names):
            raise ValueError("label_names must differ")
        return self
