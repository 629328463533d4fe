"""Options of eval."""

from __future__ import annotations

from swift_serve.options import AnsweringOptions

from swift_core.options import Several, option


class EvalOptions(AnsweringOptions):
    """Options of swift eval."""

    model: str = option("", "Checkpoint to evaluate, or the URL of a running server.", also=("model_id_or_path",), affects_result=False)
    url: str = option("", "URL of a running server to evaluate, ending in /v1.", also=("eval_url",))
    tasks: Several = option(
        list, "Tasks to run, by the evaluator's names; default: the evaluator's own selection.", also=("dataset", "eval_dataset")
    )
    data: dict[str, str] = option(dict, 'Local data of tasks, as JSON: {"ceval": "data/ceval"}.', also=("eval_data",))
    limit: int = option(0, "Maximum items per task; 0: all.", ge=0, also=("eval_limit",))
    few_shot: int | None = option(None, "Examples in each prompt; default: the evaluator's.", ge=0, also=("num_fewshot",))
    samples: int = option(1, "Samples per question; their scores are averaged.", ge=1)
    concurrency: int = option(8, "Maximum concurrent requests.", ge=1, also=("eval_num_proc", "eval_batch_size"), affects_result=False)
    seed: int = option(0, "Random seed of sampling and of the choice of examples.")
    max_tokens: int | None = option(None, "Maximum new tokens per answer; default: the evaluator's.", ge=1, also=("max_new_tokens",))
    temperature: float | None = option(None, "Sampling temperature; default: the evaluator's, which is usually 0.", ge=0)
    allow_code: bool = option(False, "Allow generated code to be executed, in the sandbox.")
    resume: str = option(
        "", "Run folder of an interrupted evaluation to resume; completed items are not evaluated again.", affects_result=False
    )
