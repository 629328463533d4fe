"""Options of the GGUF exporters."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from swift_core.options import Options, option

Kind = Literal["auto", "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]


class GgufOptions(Options):
    """What the file holds."""

    type: Kind = option(
        "auto", "Type of the matrices: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0; auto: as they are stored.", also=("outtype",)
    )
    model_name: str = option("model", "Name of the file, and of the model in it.", pattern=r"^[\w.+-]+$")
    pre_tokenizer: str = option("", "Name that llama.cpp has for the way text is split, where the tokenizer does not tell.")
    base: str = option("", "Of an adapter alone: the folder of its base, where its manifest does not tell.")
    shard_size: float = option(0.0, "Gigabytes a file may have; 0: one file. llama.cpp reads several, transformers does not.", ge=0)

    @field_validator("type", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        text = str(value).lower().replace("-", "_")
        if re.fullmatch(r"i?q\d_(k(_[sml])?|[xnsm].*)", text):
            raise ValueError(
                f"'{value}' needs llama.cpp's quantizer: export f16, then that with --to gguf-k --type {text} (swift-plugin-llama-cpp); "
                "here there are q8_0, q5_1, q5_0, q4_1 and q4_0"
            )
        return text


class OllamaOptions(GgufOptions):
    """The GGUF file, and what its Modelfile says."""

    system: str = option("", "System prompt; empty: the one that the chat template adds where a conversation has none.")
    temperature: float | None = option(None, "Default temperature; none: the checkpoint's own, where it has one.", ge=0)
    context: int = option(0, "Tokens that a conversation may have; 0: Ollama's own default.", ge=0, also=("num_ctx",))


class SplitOptions(Options):
    """How large the files are."""

    shard_size: float = option(0.0, "Gigabytes of weights that a file may have; 0: one file.", ge=0, also=("split_max_size",))
