"""PEFT tuners: LoRA and its variants, and every other method of the PEFT library, one tuner per method."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec

SWIFT_EXAMPLES = Ref("swift_plugin_peft.examples:EXAMPLES")
_NEEDS_UNQUANTIZED_BASE = ("pissa", "loha", "lokr", "hra")  # these compute with the base weights, which a 4-bit layer does not expose


@hookimpl
def swift_tuners() -> list[TunerSpec]:
    """Return one tuner per method; they differ only in their options class, which names PEFT's configuration class."""
    return [
        _tuner("lora", "Lora", "Low-rank update of the linear layers"),
        _tuner("qlora", "Lora", "LoRA on a 4-bit quantized base model", implies="bnb"),
        _tuner("dora", "Dora", "LoRA with weights decomposed into magnitude and direction"),
        _tuner("rslora", "RsLora", "LoRA scaled by alpha over the square root of the rank"),
        _tuner("pissa", "Pissa", "LoRA initialised from the principal singular vectors of the weights"),
        _tuner("loraplus", "LoraPlus", "LoRA with a higher learning rate for B than for A", "lora+"),
        _tuner(
            "longlora",
            "LongLora",
            "LoRA with embeddings and norms, on long rows by shifted sparse attention",
            factory="longlora:LongLora",
            where="longlora_options",
        ),
        _tuner("adalora", "AdaLora", "LoRA whose ranks are pruned to a budget, layer by layer", factory="adalora:AdaLoraTuner"),
        _tuner("ia3", "Ia3", "Learned scaling of keys, values and feed-forward inputs"),
        _tuner("vera", "Vera", "Learned scaling vectors between shared random projections"),
        _tuner("randlora", "RandLora", "Full-rank update as learned combinations of random bases"),
        _tuner("vblora", "VbLora", "LoRA whose vectors are mixed from one shared vector bank"),
        _tuner("loha", "LoHa", "Hadamard product of two low-rank updates"),
        _tuner("lokr", "LoKr", "Kronecker product of two small matrices"),
        _tuner("miss", "Miss", "One shared matrix, expanded over the shards of each layer", "bone"),
        _tuner("hra", "Hra", "A chain of Householder reflections"),
        _tuner("boft", "Boft", "Orthogonal update in butterfly factors"),
        _tuner("oft", "Oft", "Block-diagonal orthogonal update"),
        _tuner("fourierft", "FourierFt", "Update given by a few learned Fourier coefficients"),
        _tuner("peft", "AnyPeft", "Any other PEFT method, chosen by PEFT's name for it"),
    ]


def _tuner(
    name: str, options: str, summary: str, *also: str, implies: str = "", factory: str = "tuner:PeftTuner", where: str = "options"
) -> TunerSpec:
    return TunerSpec(
        name=name,
        summary=summary,
        also=also,
        factory=Ref(f"swift_plugin_peft.{factory}"),
        options=Ref(f"swift_plugin_peft.{where}:{options}Options"),
        trains="adapter",
        quantized_base=name not in _NEEDS_UNQUANTIZED_BASE,
        merger=Ref("swift_train.merge:merge"),
        implies=implies,
    )
