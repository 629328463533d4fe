"""The embedded server: `python -m swift_plugin_transformers.serving CHECKPOINT --name NAME --port PORT`.

It reads the API key from the variable SWIFT_API_KEY. Once it accepts requests it writes one line of JSON to stdout; if it can't start, one
line to stderr, with exit code 2 for a user error.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_http import Limits, bind, create_app, create_head_app, run
from swift_serve.head_tasks import base_is_served
from swift_train.processors import tokenizer_of

from swift_core.contract import SwiftError, UsageError
from swift_plugin_transformers.backend import KEY_VARIABLE
from swift_plugin_transformers.serve_options import ServeOptions

_MEDIA_BODY = 32 * 1024 * 1024  # bytes of a request with images

if TYPE_CHECKING:
    from fastapi import FastAPI
    from swift_train.head_inputs import ServedHead

    from swift_plugin_transformers.engine import EmbeddedEngine
    from swift_plugin_transformers.head_engine import EmbeddedHeadEngine


def load(
    checkpoint: Path,
    adapters: Mapping[str, Path],
    name: str,
    options: ServeOptions,
    *,
    trust_remote_code: bool = False,
    hash: str = "",
    allow_other_base: bool = False,
) -> EmbeddedEngine | EmbeddedHeadEngine:
    """Load a checkpoint and its adapters as an engine: of text, or of the numbers of their head.

    Args:
        checkpoint: folder of the base model, or a GGUF file.
        adapters: adapter folders by served name.
        name: served name of the base model.
        options: options of the server.
        trust_remote_code: run Python code from the checkpoint.
        hash: content hash of the checkpoint; empty: computed here.
        allow_other_base: accept adapters that were trained on another base model.

    Raises:
        UsageError: weights are missing, damaged or pickled, or an adapter was trained on another base model.
    """
    from swift_train.adapters import inner_model, switching_tuner
    from swift_train.build import load_checkpoint, source_of
    from transformers.utils.logging import disable_progress_bar

    from swift_core.checkpoints import Checkpoint, family_of
    from swift_plugin_transformers.detokenizer import find_eos_token_ids
    from swift_plugin_transformers.engine import EmbeddedEngine
    from swift_plugin_transformers.generation import ServedModel
    from swift_plugin_transformers.head_engine import EmbeddedHeadEngine

    disable_progress_bar()  # type: ignore[no-untyped-call]
    inner = {alias: f"adapter{number}" for number, alias in enumerate(adapters)}  # served names may contain dots, module names may not
    folders = {inner[alias]: path for alias, path in adapters.items()}
    tuner = switching_tuner(adapters.values())
    loaded = load_checkpoint(
        checkpoint,
        device=options.device,
        dtype=options.dtype,
        attention=options.attention,
        trust_remote_code=trust_remote_code,
        adapters=folders,
        allow_other_base=allow_other_base,
        hash=hash,
    )
    base = source_of(checkpoint, hash=hash)
    tokenizer = tokenizer_of(loaded.processor)
    heads = served_heads(checkpoint, adapters, name)
    generates = not any(head.served for head in heads.values())
    eos_token_ids = find_eos_token_ids(inner_model(loaded.model), tokenizer, family_of(base).stop_tokens) if generates else ()
    served = ServedModel(
        loaded,
        base,
        tuner,
        name=name,
        adapters=inner,
        eos_token_ids=eos_token_ids,
        max_new_tokens=options.max_new_tokens,
        allow_other_base=allow_other_base,
        processed_logprobs=options.logprobs_mode == "processed_logprobs",
        head=next((found for folder in (*adapters.values(), checkpoint) if (found := Checkpoint.at(folder).head)), ""),
    )
    return EmbeddedEngine(served, name, options) if generates else EmbeddedHeadEngine(served, heads, options)


def served_heads(checkpoint: Path, adapters: Mapping[str, Path], name: str) -> dict[str, ServedHead]:
    """Return the head of each served name: without the base, if its adapters have a head of scores that it lacks."""
    from swift_train.head_inputs import ServedHead

    base, heads = ServedHead.of(checkpoint), {alias: ServedHead.of(folder, checkpoint) for alias, folder in adapters.items()}
    if not base_is_served(checkpoint, list(adapters.values())):
        return heads
    if any(head.kind == "hidden" for head in heads.values()):
        base = replace(base, kind="hidden")  # it is loaded without its output layer
    return {name: base, **heads}


def tool_parser(checkpoint: Path) -> str:
    """Return the name of the tool-call format of the checkpoint's family."""
    from swift_train.build import source_of

    from swift_core.checkpoints import family_of

    return family_of(source_of(checkpoint)).tool_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM and return the exit code."""
    parsed = _parse(arguments)
    key = os.environ.pop(KEY_VARIABLE, "") or None
    try:
        options = ServeOptions.checked(json.loads(parsed.options))
        assert isinstance(options, ServeOptions)
        adapters = _adapters(parsed.adapter, parsed.name)
        bound = bind(parsed.host, parsed.port)
        engine = load(
            Path(parsed.checkpoint),
            adapters,
            parsed.name,
            options,
            trust_remote_code=parsed.trust_remote_code,
            hash=parsed.hash,
            allow_other_base=parsed.allow_other_base,
        )
        app = _app(engine, key, options, parsed)
        try:
            run(app, bound, ready=lambda url: _write(sys.stdout, event="ready", url=url, models=engine.models))
        finally:
            engine.close()
    except SwiftError as error:
        _write(sys.stderr, event="error", **error.to_json())
        return error.exit_code
    except Exception as error:
        logging.exception("the server failed")
        _write(sys.stderr, event="error", type=type(error).__name__, message=str(error), hint="", where="", exit_code=1)
        return 1
    return 0


def _app(engine: EmbeddedEngine | EmbeddedHeadEngine, key: str | None, options: ServeOptions, parsed: argparse.Namespace) -> FastAPI:
    from swift_plugin_transformers.engine import EmbeddedEngine

    limits = Limits(max_requests=options.queue, timeout=options.timeout, max_logprobs=options.max_logprobs)
    folders, origins = [Path(folder) for folder in options.adapter_folder], options.cors_origin
    adapters, weights = folders if parsed.runtime_adapters else [], folders if parsed.runtime_weights else []
    if not isinstance(engine, EmbeddedEngine):
        return create_head_app(engine, api_key=key, limits=limits, adapter_folders=adapters, origins=origins)
    if engine.media_kinds:
        limits = replace(limits, max_body_bytes=_MEDIA_BODY)
    return create_app(
        engine, api_key=key, limits=limits, tool_parser=tool_parser(Path(parsed.checkpoint)), adapter_folders=adapters,
        weight_folders=weights, origins=origins,
    )  # fmt: skip


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swift_plugin_transformers.serving", description="Serve a checkpoint with an OpenAI-compatible API."
    )
    parser.add_argument("checkpoint")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="port; 0: any free one")
    parser.add_argument("--name", required=True, help="name of the model in requests")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--hash", default="", help="content hash of the checkpoint, which adapters are checked against")
    parser.add_argument("--allow-other-base", action="store_true", help="accept adapters that were trained on another base model")
    parser.add_argument("--trust-remote-code", action="store_true", help="run Python code from the checkpoint")
    parser.add_argument("--runtime-adapters", action="store_true", help="add and remove adapters on request")
    parser.add_argument("--runtime-weights", action="store_true", help="replace all weights on request")
    parser.add_argument("--options", default="{}", help="ServeOptions as JSON")
    return parser.parse_args(arguments)


def _adapters(given: Sequence[str], name: str) -> dict[str, Path]:
    pairs = [text.partition("=") for text in given]
    aliases = [alias for alias, _, _ in pairs]
    for alias, _, folder in pairs:
        if not alias or not folder:
            raise UsageError("--adapter must be NAME=FOLDER", code="SERVE-046", where="adapter")
        if alias == name or aliases.count(alias) > 1:
            raise UsageError(f"duplicate model name '{alias}'", code="SERVE-047", where="adapter", hint="Choose another name.")
    return {alias: Path(folder) for alias, _, folder in pairs}


def _write(stream: Any, **event: Any) -> None:
    stream.write(json.dumps(event, ensure_ascii=False) + "\n")
    stream.flush()


def _end(_number: int, _frame: Any) -> None:
    sys.exit(0)


if __name__ == "__main__":
    # A signal means exit code 0, also while loading and when uvicorn re-raises it after its shutdown.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    sys.exit(main())
