"""The models that are known by id, from `catalogue.tsv`: an entry of the group `swift.catalogues`.

A row of the table is an id's architecture, what loads it, its ids on Hugging Face and ModelScope (`=`: the same), its inputs and its task.
`architectures.tsv` is the record of what classes of transformers went through as small models (docs/architectures.py).
"""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import Literal

    from swift_hub.catalogue import CatalogueEntry


def catalogue() -> list[CatalogueEntry]:
    """Return the models of the table, each with its twin in the layout of transformers (`-hf`) if the table has one."""
    from swift_hub.catalogue import CatalogueEntry

    rows = _table("catalogue.tsv")
    passed = {row["class"] for row in _table("architectures.tsv") if row["stage"] == "passed"}
    native = {row["hugging_face"].lower(): row["hugging_face"] for row in rows if row["code"] == "native"}
    return [
        CatalogueEntry(
            architecture=row["architecture"],
            code=cast("Literal['native', 'remote', 'other']", row["code"]),
            hugging_face=row["hugging_face"],
            modelscope=row["hugging_face"] if row["modelscope"] == "=" else row["modelscope"],
            takes=row["takes"],
            task=row["task"],
            verified=row["code"] == "native" and row["architecture"] in passed,
            native_twin=native.get(f"{row['hugging_face']}-hf".lower(), "") if row["code"] == "remote" else "",
        )
        for row in rows
    ]


def _table(name: str) -> list[dict[str, str]]:
    text = files("swift_plugin_families").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
