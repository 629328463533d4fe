"""Which model family a checkpoint belongs to, detected from its `config.json`, without transformers.

Families are data that plugins answer (`specs.ModelFamily`). A checkpoint without a `config.json` (an adapter, a GGUF file) has no
family of its own: the adapter has its base's, and the GGUF file the one of the checkpoint it is converted to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from swift_core.contract import ModelFamily

if TYPE_CHECKING:
    from swift_core.contract import Source

UNKNOWN = ModelFamily(
    name="unknown", summary="An architecture that no installed plugin knows", architectures=(), blocks="", embeddings="", head=""
)
"""The family of models that no plugin claims. It names no modules: tuners adapt every linear layer except the output head."""


def identify(config: Mapping[str, Any], families: Iterable[ModelFamily]) -> ModelFamily | None:
    """Return the family that claims a model by its architecture, else by its `model_type`; None if none does.

    The architecture decides because it names the class and so the modules: a text-only `Gemma3ForCausalLM` and a multimodal
    `Gemma3ForConditionalGeneration` differ in every module path.
    """
    known = list(families)
    for architecture in config.get("architectures") or ():
        for family in known:
            if architecture in family.architectures:
                return family
    model_type = config.get("model_type")
    return next((family for family in known if model_type in family.model_types), None)


def family_of(source: Source) -> ModelFamily:
    """Return the family that a run's source was resolved to; a UsageError if no installed plugin has it."""
    if source.family in ("", UNKNOWN.name):
        return UNKNOWN
    from swift_core.plugins import registry

    return registry().entry(ModelFamily, source.family, origin=source.plugin).spec
