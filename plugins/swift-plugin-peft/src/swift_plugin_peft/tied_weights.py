"""Weights that several modules share: an adapter on one of them is merged into a copy of its own, or refused before it is trained.

A merge into a shared weight changes all who share it, which is not what was trained. Head and embeddings come apart where the architecture
can have two; other shared weights (blocks that stand in several places) can't be written apart.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from swift_core.errors import UsageError


def shared(model: nn.Module) -> dict[str, list[str]]:
    """Each module, by path, that holds a weight which others hold too, with the paths of the others."""
    owners: dict[int, list[str]] = defaultdict(list)
    for path, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)].append(path)
    return {path: [other for other in paths if other != path] for paths in owners.values() if len(paths) > 1 for path in paths}


def check_apart(model: Any, paths: Iterable[str], where: str) -> None:
    """See that adapters on these modules can be merged: what they share with others can be written apart.

    Raises:
        UsageError: one shares its weight, and the architecture has no two.
    """
    found = shared(model)
    tied = [path for path in paths if path in found]
    if not tied:
        return
    names = {id(module): path for path, module in model.named_modules()}
    ends = [names[id(end)] for end in (model.get_input_embeddings(), model.get_output_embeddings()) if id(end) in names]
    stuck = [path for path in tied if not all(any(_is_in(one, end) for end in ends) for one in (path, *found[path]))]
    if stuck or not _comes_apart(model):
        path = (stuck or tied)[0]
        raise UsageError(
            f"'{path}' shares its weight with '{found[path][0]}', and {type(model).__name__} can't have two: "
            "what is learned there could not be merged",
            where=where,
            hint="Leave it out, or train the weight itself: --tuner freeze.",
        )


def untie(model: nn.Module, paths: Iterable[str]) -> None:
    """Give each of these modules a copy of its own of the weights that it shares."""
    found = shared(model)
    for path in paths:
        if path not in found:
            continue
        module = model.get_submodule(path)
        others = {id(parameter) for other in found[path] for parameter in model.get_submodule(other).parameters(recurse=False)}
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in others:
                setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad))


def _is_in(path: str, end: str) -> bool:
    """Whether a module is this one, or in what wraps it."""
    return path == end or path.startswith(f"{end}.")


def _comes_apart(model: Any) -> bool:
    """Whether the architecture has head and embeddings of their own when its configuration says so."""
    config = copy.deepcopy(model.config)
    for part in (config, config.get_text_config()):
        part.tie_word_embeddings = False
    with torch.device("meta"):
        apart = type(model)(config)
    return apart.get_output_embeddings().weight is not apart.get_input_embeddings().weight
