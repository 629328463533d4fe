"""Options of swift data tokenize, and of the data set `tokens`."""

from __future__ import annotations

from typing import Any

from swift_data.options import FILTERS, DatasetOptions, RowFileOptions, SkippingOptions

from swift_core.options import FamilyOptions, HubOptions, Options, Several, option

SUFFIX = ".tokens"


class TokensOptions(Options):
    """Options of `tokens`."""

    path: str = option(..., "Folder of shards, or its URL in an object store, such as s3://bucket/corpus.tokens.", min_length=1)
    streaming: bool = option(False, "Read one shard after the other during training, instead of all of them before.")


class TokenizeOptions(RowFileOptions, DatasetOptions, FamilyOptions, HubOptions):
    """Options of swift data tokenize."""

    model: str = option(..., "Model whose tokenizer is used.", also=("model_id_or_path", "model_name_or_path"))
    output: str = option(..., "Folder for the shards, or a URL in an object store (fsspec); it ends in .tokens.", affects_result=False)
    executor: Any = option(
        "local",
        "Who does the work: local:processes=8, or ray:address=auto:processes=64 (swift-plugin-ray); in YAML {name: local, processes: 8}.",
        affects_result=False,
    )
    rows_per_shard: int = option(50_000, "Rows of a part, each of which becomes a shard; files of one JSON array are one part.", ge=1)
    filters: Several = option(list, FILTERS, also=("filter",))
    near_duplicates: float = option(
        0.0,
        "Drop rows whose texts resemble an earlier row: the share of their word sequences that both have, such as 0.8; "
        "0: keep all (needs swift-corpus[minhash]).",
        ge=0,
        le=1,
    )
    against: Several = option(list, "Evaluation data: drop rows that contain one of its questions.")
    data: SkippingOptions = option(SkippingOptions, "How rows are read.")
