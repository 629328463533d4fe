"""The Auto class of transformers that loads a language model, from the architecture that its config.json names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_core.contract import ModelFamily

MEDIA, CAUSAL, PAIRS, MASKED = "AutoModelForMultimodalLM", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForMaskedLM"
SPEECH = "AutoModelForSpeechSeq2Seq"
_OLDER = "AutoModelForImageTextToText"
_MAPPINGS = {  # in this order if several have the same class
    MEDIA: "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    CAUSAL: "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    PAIRS: "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    MASKED: "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    SPEECH: "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
}


def language_model_class(config: Mapping[str, Any], family: ModelFamily) -> str:
    """Return the name of the class of transformers that loads a language model: an Auto class if one does.

    The class that config.json names decides; then what a plugin or the repository's own code declares; then the model type.

    Args:
        config: contents of config.json.
        family: of the model.
    """
    import transformers

    kind, named = str(config.get("model_type", "")), [str(name) for name in config.get("architectures") or ()]
    classes = {auto: _classes(mapping, kind) for auto, mapping in _MAPPINGS.items()}
    if found := next((auto for auto, known in classes.items() if any(name in known for name in named)), ""):
        return found
    media = family.modalities != ("text",)
    order = (
        (PAIRS, SPEECH, CAUSAL, MEDIA) if config.get("is_encoder_decoder") else (MEDIA, CAUSAL, PAIRS) if media else (CAUSAL, MEDIA, PAIRS)
    )
    declared = [*family.classes, *(config.get("auto_map") or ())]
    wanted = [auto for choice in order for auto in ((_OLDER, MEDIA) if choice == MEDIA else (choice,))]
    if found := next((auto for auto in wanted if auto in declared), ""):
        return found
    if not any(classes.values()) and named and hasattr(transformers, named[0]):
        return named[0]  # no Auto class has the model type, such as that of a language model without its towers
    return next((auto for auto in order if classes[auto]), _OLDER if media else CAUSAL)


def from_config(model_class: Any, config: Any, *, trust_remote_code: bool, **arguments: Any) -> Any:
    """Build a model of a class that `language_model_class` names, an Auto class or a model's own, with new weights."""
    if hasattr(model_class, "from_config"):
        return model_class.from_config(config, trust_remote_code=trust_remote_code, **arguments)
    return model_class._from_config(config, **arguments)


def reads_media(auto: str) -> bool:
    """Return whether an Auto class is that of models with images, videos or audio among their inputs."""
    return auto in (MEDIA, SPEECH, _OLDER)


def _classes(mapping: str, kind: str) -> tuple[str, ...]:
    """Return the names of transformers' classes for a model type."""
    from transformers.models.auto import modeling_auto

    found = getattr(modeling_auto, mapping).get(kind, ())
    return (found,) if isinstance(found, str) else tuple(found)
