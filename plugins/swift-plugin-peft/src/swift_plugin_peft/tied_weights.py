"""Weights that several modules share: untie them before an adapter is merged, or refuse the adapter before training.

Merging an adapter into a tied weight changes every module that shares the weight, which is not what was trained. The output head and
the input embeddings can be untied if the architecture supports untied embeddings; other shared weights (blocks that are used at
several positions) can't be saved separately.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from swift_core.contract import UsageError


def tied_modules(model: nn.Module) -> dict[str, list[str]]:
    """Map each module path whose module shares a parameter with others to the paths of those others."""
    owners: dict[int, list[str]] = defaultdict(list)
    for path, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)].append(path)
    return {path: [other for other in paths if other != path] for paths in owners.values() if len(paths) > 1 for path in paths}


def check_can_untie(model: Any, paths: Iterable[str], where: str) -> None:
    """Check that adapters on these modules can be merged: their weights are not tied, or can be untied.

    Args:
        model: a transformers model.
        paths: module paths.
        where: the option that errors refer to.

    Raises:
        UsageError: a weight is tied, and the architecture can't save the modules with separate weights.
    """
    found = tied_modules(model)
    tied = [path for path in paths if path in found]
    if not tied:
        return
    names = {id(module): path for path, module in model.named_modules()}
    ends = [names[id(end)] for end in (model.get_input_embeddings(), model.get_output_embeddings()) if id(end) in names]
    inseparable = [path for path in tied if not all(any(_is_in(one, end) for end in ends) for one in (path, *found[path]))]
    if inseparable or not _supports_untied_embeddings(model):
        path = (inseparable or tied)[0]
        raise UsageError(
            f"'{path}' shares its weight with '{found[path][0]}', and {type(model).__name__} can't save them separately: "
            "an adapter trained there could not be merged",
            code="TUNER-007",
            where=where,
            hint="Leave the module out, or train the weight itself: --tuner freeze.",
        )


def untie(model: nn.Module, paths: Iterable[str]) -> None:
    """Replace the tied parameters of these modules by copies, in place."""
    found = tied_modules(model)
    for path in paths:
        if path not in found:
            continue
        module = model.get_submodule(path)
        others = {id(parameter) for other in found[path] for parameter in model.get_submodule(other).parameters(recurse=False)}
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in others:
                setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad))


def _is_in(path: str, end: str) -> bool:
    """Return True if the path is `end` or below it (inside a wrapper of PEFT)."""
    return path == end or path.startswith(f"{end}.")


def _supports_untied_embeddings(model: Any) -> bool:
    """Build the architecture on the meta device with tie_word_embeddings=False and check that head and embeddings are separate."""
    config = copy.deepcopy(model.config)
    for part in (config, config.get_text_config()):
        part.tie_word_embeddings = False
    with torch.device("meta"):
        untied = type(model)(config)
    return untied.get_output_embeddings().weight is not untied.get_input_embeddings().weight
