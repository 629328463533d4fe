"""Options of eval."""

from __future__ import annotations

from typing import Literal

from swift_core.options import EngineOptions, Several, option


class EvalOptions(EngineOptions):
    """Options of swift eval."""

    model: str = option("", "Checkpoint to evaluate; it is served while the evaluator runs.", also=("model_id_or_path",))
    url: str = option("", "URL of a running server to evaluate, ending in /v1.", also=("eval_url",))
    name: str = option("", "Model name on the server; default: its first model.", also=("served_model_name",))
    tasks: Several = option(list, "Tasks to run, as the evaluator names them; default: those of the evaluator.", also=("eval_dataset",))
    api_key_env: str = option("SWIFT_API_KEY", "Environment variable with the server's API key.")
    parity: Literal["refuse", "warn"] = option(
        "refuse", "If the server renders the checkpoint's golden conversations to other tokens: refuse to start, or only warn."
    )
