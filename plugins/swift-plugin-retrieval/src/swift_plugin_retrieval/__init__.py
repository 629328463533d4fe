"""Embedding models and rerankers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec

if TYPE_CHECKING:
    from swift_core.contract import Settings, VerbSpec

SWIFT_EXAMPLES = Ref("swift_plugin_retrieval.examples:EXAMPLES")


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Register the tasks."""
    return [
        TaskSpec(
            name="embedding",
            summary="Train an embedding model on queries with documents, or on pairs with similarity scores",
            also=("embed",),
            rows=("retrieval",),
            factory=Ref("swift_plugin_retrieval.embedding:Embedding"),
            options=Ref("swift_plugin_retrieval.options:EmbeddingOptions"),
            trainer=Ref("swift_train.job:train"),
            inspector=Ref("swift_train.inspection:Inspector"),
            loss_scope="step",
            head="hidden",
        ),
        _reranker(
            name="reranker",
            summary="Train a reranker, which scores a document for a query",
            also=("rerank",),
            task="Reranker",
            head="score:1",
        ),
        _reranker(
            name="generative-reranker",
            summary="Train a language model as a reranker that answers yes or no",
            also=("generative_reranker",),
            task="GenerativeReranker",
        ),
    ]


def _reranker(*, task: str, **facts: Any) -> TaskSpec:
    return TaskSpec(
        **facts,
        rows=("retrieval",),
        factory=Ref(f"swift_plugin_retrieval.reranking:{task}"),
        options=Ref(f"swift_plugin_retrieval.options:{task}Options"),
        trainer=Ref("swift_train.job:train"),
        inspector=Ref("swift_train.inspection:Inspector"),
        loss_scope="sample",
    )


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Apply ms-swift's environment variables of losses."""
    from swift_plugin_retrieval import launch_variables

    return list(launch_variables.apply(verb, settings, environment))
