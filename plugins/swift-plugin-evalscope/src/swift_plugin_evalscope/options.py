"""Options of EvalScope as an evaluator."""

from __future__ import annotations

from typing import Any

from swift_core.options import Options, option


class EvalScopeOptions(Options):
    """Options of the evaluator `evalscope`."""

    dataset_args: dict[str, Any] = option(
        dict, 'Further settings of EvalScope\'s benchmarks, as JSON: {"ceval": {"subset_list": ["law"]}}.', also=("eval_dataset_args",)
    )
    generation_config: dict[str, Any] = option(dict, 'Further fields of requests, as JSON: {"top_p": 0.9}.')
