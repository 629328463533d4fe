"""Every family that transformers knows is held against the modules that transformers builds, on the meta device (no weights).

That what a family names is there, the conformance kit checks; here, that nothing is forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import swift_plugin_families
from swift_plugin_families.examples import EXAMPLES
from swift_testing.kit import Example
from swift_testing.kit.checks.families import build

from swift_core.contract.specs import ModelFamily

FAMILIES = swift_plugin_families.swift_families()
NATIVE = [family for family in FAMILIES if not family.remote_code]


@cache
def models(name: str) -> list[Any]:
    """A native family's models, as the conformance kit builds them."""
    (family,) = (family for family in NATIVE if family.name == name)
    return list(build(family, EXAMPLES.get(name, Example())))


def linears(model: Any) -> Iterator[str]:
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    return (name for name, module in model.named_modules() if isinstance(module, Linear | Conv1D))


def below(prefix: str, name: str) -> bool:
    return name.startswith(f"{prefix}.")


@pytest.mark.parametrize("family", NATIVE, ids=lambda family: family.name)
class TestAgainstTransformers:
    def test_targets_are_the_linear_layers_of_the_blocks(self, family: ModelFamily) -> None:
        names = {name for model in models(family.name) for name in linears(model) if below(family.blocks, name)}
        assert names, "no linear layer in the blocks"
        others = {name for name in names if name.rpartition(".")[2] not in family.targets}
        forgotten = {re.sub(r"\.\d+\.", ".N.", name) for name in others if not name.endswith(family.skip_quantization)}
        assert not forgotten, "neither a target nor skipped"

    def test_targets_are_no_routers(self, family: ModelFamily) -> None:
        names = {name for model in models(family.name) for name in linears(model) if name.rpartition(".")[2] in family.targets}
        assert not [name for name in names if re.search(r"router|\.gate$|\.gate\.|expert_gate$", name)]


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param([name for family in FAMILIES for name in (family.name, *family.also)], id="names"),
        pytest.param([name for family in FAMILIES for name in family.architectures], id="architectures"),
        pytest.param([name for family in FAMILIES for name in family.model_types], id="model types"),
        pytest.param([name for family in FAMILIES for name in family.hub_ids], id="hub ids"),
    ],
)
def test_nothing_is_claimed_twice(claims: list[str]) -> None:
    assert sorted(claims) == sorted(set(claims))


def test_every_family_says_how_to_find_it() -> None:
    for family in FAMILIES:
        assert family.architectures, family.name
        assert family.model_types, family.name
        assert family.targets, family.name
        assert not family.summary.endswith("."), family.name
