"""The data set `tokens`: the shards that `swift data tokenize` writes."""

from __future__ import annotations

from swift_core.contract import DatasetSpec, Ref, hookimpl


@hookimpl
def swift_datasets() -> list[DatasetSpec]:
    """Return `tokens`."""
    return [
        DatasetSpec(
            name="tokens",
            summary="Shards of tokenised rows, as swift data tokenize writes them: a folder NAME.tokens, or its URL in an object store",
            factory=Ref("swift_corpus.dataset:TokensDataset"),
            options=Ref("swift_corpus.options:TokensOptions"),
            suffixes=(".tokens",),
        )
    ]
