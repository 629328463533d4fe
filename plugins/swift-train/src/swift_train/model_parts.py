"""Parts of a multimodal model: its language model, its towers (encoders of images and audio), and the aligners (projectors) between them.

The family's prefixes name them; where it names none, the model is asked (transformers' `get_decoder()` and `get_encoder(modality)`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from swift_core.options import Options, option
from swift_train.speech import hears

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily

Part = Literal["llm", "vit", "aligner"]
LLM: tuple[Part, ...] = ("llm",)


class FreezeParts(Options):
    """Which parts of a vision-language model are left as they are."""

    freeze_vit: bool = option(True, "Freeze the vision tower.", also=("freeze_vision_tower",))
    freeze_aligner: bool = option(
        True, "Freeze the aligner between vision tower and language model.", also=("freeze_multi_modal_projector",)
    )
    freeze_llm: bool = option(False, "Freeze the language model.", also=("freeze_language_model",))

    @property
    def trained(self) -> Collection[Part]:
        """The parts that learn."""
        frozen = {"llm": self.freeze_llm, "vit": self.freeze_vit, "aligner": self.freeze_aligner}
        parts: tuple[Part, ...] = ("llm", "vit", "aligner")
        return [part for part in parts if not frozen[part]]


class TrainParts(FreezeParts):
    """As `FreezeParts`, with every part trained unless it is frozen; also the routers of a mixture of experts."""

    freeze_vit: bool = option(False, "Freeze the vision tower.", also=("freeze_vision_tower",))
    freeze_aligner: bool = option(
        False, "Freeze the aligner between vision tower and language model.", also=("freeze_multi_modal_projector",)
    )
    freeze_router: bool = option(False, "Freeze the routers of a mixture of experts.")


@dataclass(frozen=True, slots=True)
class Parts:
    """Module paths of the parts; empty for those that the model does not have."""

    tower: str = ""  # the image encoder
    aligner: str = ""  # the projector to the language model
    text: str = ""  # the language model
    audio: str = ""  # the audio encoder, which counts as a tower

    @property
    def towers(self) -> tuple[str, ...]:
        """The paths of the encoders of images and audio."""
        return tuple(path for path in (self.tower, self.audio) if path)

    def of(self, name: str) -> Part:
        """Return the part that a module or parameter belongs to; what is outside of all is the aligner's, but for the output head."""
        if not self.towers:
            return "llm"
        inside = [path for path in (*self.towers, self.aligner, self.text) if path and f"{name}.".startswith(f"{path}.")]
        longest = max(inside, key=len, default="")
        if longest in self.towers:
            return "vit"
        return "llm" if longest == self.text or name.startswith(("lm_head", "score")) else "aligner"


def parts_of(model: Any, family: ModelFamily) -> Parts:
    """Return the parts of a loaded model; none of a speech-to-text encoder-decoder, which is trained as a whole."""
    if hears(model):
        return Parts()
    paths = {id(module): path for path, module in model.named_modules()}

    def asked(get: str, **which: str) -> str:
        with suppress(AttributeError, NotImplementedError, ValueError, TypeError):  # the model has no such part, each in its own way
            return str(paths.get(id(getattr(model, get)(**which)), ""))
        return ""

    audio = asked("get_encoder", modality="audio")
    if family.vision_tower:
        return Parts(family.vision_tower, family.aligner, family.language_model, "" if audio == family.vision_tower else audio)
    tower, text = asked("get_encoder", modality="image"), asked("get_decoder")
    parts = Parts(tower, "", text, audio)
    return parts if text and text not in parts.towers and parts.towers else Parts()


def with_part_rates(
    groups: Sequence[Mapping[str, Any]], model: Module, parts: Parts, rates: Mapping[Part, float | None], rate: float
) -> list[dict[str, Any]]:
    """Split parameter groups by parts that have a learning rate of their own, as the factor `mult`.

    Args:
        groups: of the tuner.
        model: the model with its adapters.
        parts: of the base model.
        rates: learning rates by part; None for `rate`.
        rate: of the run.
    """
    own = {part: value / rate for part, value in rates.items() if value is not None}
    if not own:
        return [dict(group) for group in groups]
    names = {id(parameter): base_name(name) for name, parameter in model.named_parameters()}
    found = []
    for group in groups:
        by_factor: dict[float, list[Any]] = {}
        for parameter in group["params"]:
            by_factor.setdefault(own.get(parts.of(names[id(parameter)]), 1.0), []).append(parameter)
        found += [{**group, "params": params, "mult": factor * group.get("mult", 1.0)} for factor, params in by_factor.items()]
    return found


def base_name(name: str) -> str:
    """Return the name that a parameter has, or is beside, in the model without PEFT's wrapper."""
    return name.removeprefix("base_model.model.")
