"""Export for Ollama: a GGUF file and a Modelfile with the checkpoint's chat template, stop sequences, system prompt and sampling."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swift_formats.files import copy_licence
from swift_train.template_facts import template_facts

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError
from swift_core.system import atomic_folder, write_text
from swift_plugin_gguf.exporter import prepare, write
from swift_plugin_gguf.go_template import Message, TurnTemplate, derive_turn_template
from swift_plugin_gguf.options import OllamaOptions
from swift_plugin_gguf.reload import ReloadMixin
from swift_plugin_gguf.tokens import Tokens

MODELFILE = "Modelfile"
_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "repetition_penalty": "repeat_penalty"}


class OllamaExporter(ReloadMixin):
    """The `ollama` exporter: a GGUF file and a Modelfile for `ollama create NAME -f FOLDER/Modelfile`."""

    _options: OllamaOptions

    def __init__(self, options: OllamaOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the GGUF file and the Modelfile into the folder `out`.

        Returns:
            The path of the Modelfile.

        Raises:
            UsageError: GGUF can't represent the model, or `shard_size` is set: Ollama does not read split files.
            SwiftError: a weight is not finite, or out of range for the type.
        """
        if self._options.shard_size:
            raise UsageError(
                "Ollama does not read a model that is split into several files",
                code="EXPORT-024",
                where="shard_size",
                hint="Omit --shard-size.",
            )
        plan, tokens = prepare(checkpoint, self._options)
        with atomic_folder(out) as folder:
            write(plan, tokens, self._options, folder)
            copy_licence(checkpoint, folder)
            file = next(folder.glob("*.gguf")).name
            write_text(folder / MODELFILE, "\n".join(modelfile(checkpoint, file, tokens, self._options)) + "\n")
        return out / MODELFILE


def modelfile(checkpoint: Path, file: str, tokens: Tokens, options: OllamaOptions) -> Iterator[str]:
    """Yield the lines of the Modelfile."""
    yield f"FROM ./{file}"
    turns, system = turn_template(checkpoint, tokens)
    text = turns.go() if turns else ""
    if text and '"""' not in text:
        yield f'TEMPLATE """{text}"""'
    elif tokens.template:
        yield "# The chat template can't be converted to a Go template. Ollama uses the one in the GGUF file, or a built-in template if it"
        yield "# knows the model. To see which: ollama show --template"
    if system := options.system or system:
        yield f'SYSTEM """{system}"""'
    for stop in tokens.stops:
        yield f'PARAMETER stop "{stop}"'
    for name, value in _sampling(checkpoint, options).items():
        yield f"PARAMETER {name} {value}"
    manifest = Checkpoint.at(checkpoint).manifest
    if manifest and manifest.licence:
        yield f'LICENSE """{manifest.licence}"""'


def turn_template(checkpoint: Path, tokens: Tokens) -> tuple[TurnTemplate | None, str]:
    """Return the chat template as a turn template, or None if it is not one, and its default system prompt."""
    if not tokens.template:
        return None, ""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    manifest = Checkpoint.at(checkpoint).manifest
    facts = manifest.template if manifest and manifest.template else template_facts(tokenizer)
    if facts.get("dated"):
        return None, ""
    default = facts.get("default_system")
    if default is None:
        default = template_facts(tokenizer).get("default_system")

    def render(messages: Sequence[Message], prompt: bool) -> str:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt))

    bos = tokens.tokens[tokens.ids["bos"]] if tokens.add_bos and "bos" in tokens.ids else ""
    return derive_turn_template(render, default_system=default is not None, bos=bos), default or ""


def _sampling(checkpoint: Path, options: OllamaOptions) -> dict[str, Any]:
    file = checkpoint / "generation_config.json"
    given = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found = {theirs: given[ours] for ours, theirs in _SAMPLING.items() if given.get(ours) is not None}
    if options.temperature is not None:
        found["temperature"] = options.temperature
    if options.context:
        found["num_ctx"] = options.context
    return found
