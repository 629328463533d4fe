"""The catalogue of models on the hubs: for each id its architecture, and how it would be loaded.

Entries are facts, no claims of support: a model that is not listed works as well, if its architecture does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Literal

GROUP = "swift.catalogues"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model on the hubs.

    Attributes:
        architecture: the first entry of `architectures` in its `config.json`; empty if it has none.
        code: what loads it: `native` a class of transformers, `remote` the repository's own code (`--trust-remote-code`), `other` a library
            of its authors.
        hugging_face: id on Hugging Face; empty if it is not there.
        modelscope: id on ModelScope; empty if it is not there.
        takes: kinds of input, joined by `+`: `text+image`.
        task: `reward`, `reranker` or `prm`; empty for a model that generates.
        verified: a small model of its architecture was loaded, trained with LoRA, merged and compared at each stage
            (docs/reference/architectures.md).
        native_twin: id of the same weights in the layout of transformers, for an entry that needs remote code; empty if none is known.
    """

    architecture: str
    code: Literal["native", "remote", "other"]
    hugging_face: str = ""
    modelscope: str = ""
    takes: str = "text"
    task: str = ""
    verified: bool = False
    native_twin: str = ""

    @property
    def references(self) -> tuple[str, ...]:
        """Return the references of the model, one for each hub that has it."""
        named = (("hf", self.hugging_face), ("ms", self.modelscope))
        return tuple(f"{scheme}:{name}" for scheme, name in named if name)


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """Return the entries of every installed catalogue: functions without arguments, entry points of the group `swift.catalogues`."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(entry for point in points for entry in point.load()())


def search(text: str) -> list[CatalogueEntry]:
    """Return the entries whose ids or architecture contain `text`, whatever its case."""
    folded = text.lower()
    return [entry for entry in catalogue() if folded in " ".join((entry.architecture, entry.hugging_face, entry.modelscope)).lower()]
