"""Kind of a checkpoint's answers: text, or by its head vectors, classes or scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from swift_formats.cross_encoder import logit_score_of

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Run

AnswerKind = Literal["text", "embedding", "classification", "token classification", "reranking"]
ROUTES: Mapping[AnswerKind, str] = {
    "embedding": "embeddings",
    "classification": "classify",
    "token classification": "token_classify",
    "reranking": "score",
}  # in `BackendSpec.serves`
TASK_TYPES: Mapping[str, AnswerKind] = {
    "causal_lm": "text",
    "embedding": "embedding",
    "seq_cls": "classification",
    "token_cls": "token classification",
    "reranker": "reranking",
    "generative_reranker": "reranking",
}


def answer_kind(folder: Path) -> AnswerKind:
    """Return what a checkpoint folder, or an adapter's, answers; text for one that is no folder.

    Raises:
        UsageError: a file of it is damaged.
    """
    if not folder.is_dir():
        return "text"
    head = Checkpoint.at(folder).head.partition(":")[0]
    if head == "hidden":
        return "embedding"
    if not head:
        return "reranking" if logit_score_of(folder) else "text"
    if head == "token":
        return "token classification"
    return "reranking" if made_for_pairs(folder) else "classification"


def made_for_pairs(folder: Path) -> bool:
    """Return whether a head of scores was trained on queries with documents."""
    from swift_formats.head_facts import head_facts

    return head_facts(folder).input == "pair"


def answer_kind_of_run(run: Run) -> AnswerKind:
    """Return what a run asks for: by its option `task_type`, else by its last adapter or model; text of a server that it names."""
    if asked := str(run.options.get("task_type") or ""):
        return TASK_TYPES[asked]
    folders = [source.path for source in (run.model, *run.adapters.values()) if source]
    return answer_kind(Path(folders[-1])) if folders and not run.options.get("url") else "text"


def serves_base(run: Run) -> bool:
    """Return whether a run's base model answers beside its adapters: not if these have a head that it lacks."""
    return not run.model or base_is_served(Path(run.model.path), [Path(source.path) for source in run.adapters.values()])


def base_is_served(base: Path, adapters: Collection[Path]) -> bool:
    """Return whether a base model answers beside adapters; with adapters of vectors, it gives vectors too."""
    kinds = [answer_kind(folder) for folder in adapters]
    return all(kind in ("text", "embedding") for kind in kinds) or all(kind == answer_kind(base) for kind in kinds)
