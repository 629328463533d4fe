"""A checkpoint format, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.contract.specs import Named, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatSpec(Named):
    """A checkpoint format: how a folder in that format is recognised, and which files the checkpoint consists of.

    All patterns are compared with file names (`fnmatch`). There is no factory: loaders, exporters and backends name the formats that they
    read, and `LoaderSpec.converts` the ones that a loader can convert.

    Recognition:
        recognised_by: a folder has this format if each of these patterns matches a file in it.
        precedence: if several formats match, the one with the highest number is used.

    Files, which are also what the identity (hash) of a checkpoint is computed from:
        weights: the files with the tensors.
        others: the configuration, the tokenizer and the like.
        download: (names of the files in a hub's repository) -> the names of those to download; by default the ones at its top level that
            match `weights` and `others`. Raises a UsageError if the repository has several checkpoints.

    Properties:
        adapter: whether it is an adapter, which needs a base model.
        base: (folder) -> the reference of the base model that an adapter records; '' if it records none.
        check_base: (folder, base: `Source`, note) -> None; raises a UsageError if an adapter without a manifest does not fit its base.
        family_from: the JSON file that names the architecture; '' if the model family can't be identified.
        quantization: (contents of config.json) -> the method that the weights are quantized with; '' if they are not.
        head: (folder) -> the output layer, as in `TaskSpec.head`; '' if it predicts the next token.
        check: (folder) -> None; raises a UsageError if the checkpoint is incomplete or damaged.
    """

    kind: ClassVar[str] = "format"
    recognised_by: tuple[str, ...]
    weights: tuple[str, ...]
    others: tuple[str, ...] = ("*.json", "*.jinja", "*.model", "*.tiktoken", "*.txt")
    download: Ref | None = None
    precedence: int = 0
    adapter: bool = False
    base: Ref | None = None
    check_base: Ref | None = None
    family_from: str = ""
    quantization: Ref | None = None
    head: Ref | None = None
    check: Ref | None = None
