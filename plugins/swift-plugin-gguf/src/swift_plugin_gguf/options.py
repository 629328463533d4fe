"""Options of the GGUF exporters."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from swift_core.options import Options, option

Kind = Literal["auto", "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]


class GgufOptions(Options):
    """Options of the `gguf` exporter."""

    type: Kind = option(
        "auto",
        "Type of the weight matrices: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0; auto: as stored.",
        also=("outtype",),
    )
    model_name: str = option("model", "Name of the model in the metadata, and prefix of the file name.", pattern=r"^[\w.+-]+$")
    pre_tokenizer: str = option("", "llama.cpp's name of the pre-tokenizer; empty detects it from the tokenizer.")
    base: str = option("", "For an adapter: folder of its base model; empty uses the one recorded in the adapter.")
    shard_size: float = option(0.0, "Maximum file size in GB; 0 writes one file. transformers can't read split files.", ge=0)

    @field_validator("type", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        text = str(value).lower().replace("-", "_")
        if re.fullmatch(r"i?q\d_(k(_[sml])?|[xnsm].*)", text):
            raise ValueError(
                f"'{value}' needs llama.cpp's quantizer: export as f16, then that with --to gguf-k --type {text} (swift-plugin-llama-cpp); "
                "the gguf exporter supports q8_0, q5_1, q5_0, q4_1 and q4_0"
            )
        return text


class OllamaOptions(GgufOptions):
    """Options of the `ollama` exporter: those of the GGUF file, and of the Modelfile."""

    system: str = option("", "Default system prompt; empty uses the chat template's default, if it has one.")
    temperature: float | None = option(None, "Default sampling temperature; unset uses the one in generation_config.json, if any.", ge=0)
    context: int = option(0, "Context length in tokens; 0 uses Ollama's default.", ge=0, also=("num_ctx",))


class SplitOptions(Options):
    """Options of the `gguf-split` exporter."""

    shard_size: float = option(0.0, "Maximum size of the weights per file in GB; 0 writes a single file.", ge=0, also=("split_max_size",))
