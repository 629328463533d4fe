"""Adapters: LoRA and its kin, and everything else that PEFT offers, each a tuner of its own name."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import Ref, TunerSpec

SWIFT_EXAMPLES = Ref("swift_plugin_peft.examples:EXAMPLES")
_WHOLE_BASE = ("pissa", "loha", "lokr", "hra")  # these compute with the base's weights themselves, which four bits do not give


@hookimpl
def swift_tuners() -> list[TunerSpec]:
    """One tuner a method; they differ in their options class alone, which names PEFT's configuration class."""
    return [
        _tuner("lora", "Lora", "Low-rank update of the linear layers"),
        _tuner("qlora", "Lora", "LoRA on a base in 4 bits", implies="bnb"),
        _tuner("dora", "Dora", "LoRA with direction and magnitude apart"),
        _tuner("rslora", "RsLora", "LoRA scaled by the root of its rank"),
        _tuner("pissa", "Pissa", "LoRA that starts from the principal singular vectors"),
        _tuner("loraplus", "LoraPlus", "LoRA with a higher rate for B than for A", "lora+"),
        _tuner("adalora", "AdaLora", "LoRA whose ranks are pruned to a budget, layer by layer", factory="adalora:AdaLoraTuner"),
        _tuner("ia3", "Ia3", "Learned scales of keys, values and feed-forward inputs"),
        _tuner("vera", "Vera", "Learned scales between shared random projections"),
        _tuner("randlora", "RandLora", "Full-rank update as learned combinations of random bases"),
        _tuner("vblora", "VbLora", "LoRA whose vectors are mixed from one shared bank"),
        _tuner("loha", "LoHa", "Hadamard product of two low-rank updates"),
        _tuner("lokr", "LoKr", "Kronecker product of two small matrices"),
        _tuner("miss", "Miss", "One shared matrix, expanded over the shards of each layer", "bone"),
        _tuner("hra", "Hra", "A chain of Householder reflections"),
        _tuner("boft", "Boft", "Orthogonal update in butterfly factors"),
        _tuner("oft", "Oft", "Orthogonal update in blocks"),
        _tuner("fourierft", "FourierFt", "Update given by a few Fourier coefficients"),
        _tuner("peft", "AnyPeft", "Any other method of PEFT, by its name there"),
    ]


def _tuner(name: str, options: str, summary: str, *also: str, implies: str = "", factory: str = "tuner:PeftTuner") -> TunerSpec:
    return TunerSpec(
        name=name,
        summary=summary,
        also=also,
        factory=Ref(f"swift_plugin_peft.{factory}"),
        options=Ref(f"swift_plugin_peft.options:{options}Options"),
        trains="adapter",
        quantized_base=name not in _WHOLE_BASE,
        merger=Ref("swift_train.merge:merge"),
        implies=implies,
    )
