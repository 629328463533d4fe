"""Options of serve and ask."""

from __future__ import annotations

from typing import Any, Literal

from swift_data.options import RowFileOptions

from swift_core.options import EngineOptions, Options, Several, option


class ParityOptions(EngineOptions):
    """Options of every verb that serves a checkpoint."""

    parity: Literal["refuse", "warn"] = option(
        "refuse", "If the server renders the checkpoint's golden conversations to other tokens: refuse to start, or only warn."
    )


class AnsweringOptions(ParityOptions):
    """Options of every verb that asks a server: a running one, or one that is started for the run."""

    url: str = option("", "URL of a running server, ending in /v1.")
    name: str = option("", "Model name on the server; default: its first model.", also=("served_model_name",))
    api_key_env: str = option("SWIFT_API_KEY", "Environment variable with the server's API key.", affects_result=False)


class SamplingOptions(Options):
    """Options of every verb that samples answers."""

    max_tokens: int = option(256, "Maximum new tokens per answer.", ge=1, also=("max_new_tokens",))
    temperature: float = option(0.0, "Sampling temperature; 0: greedy decoding.", ge=0)
    top_p: float = option(1.0, "Nucleus sampling: sample from the most likely tokens with this total probability.", gt=0, le=1)


class ServeOptions(ParityOptions):
    """Options of swift serve."""

    host: str = option(
        "127.0.0.1", "Address to listen on. An address other than localhost requires an API key; one is generated if none is set."
    )
    port: int = option(8000, "Port to listen on; 0: any free port.", ge=0, le=65535)
    name: str = option("", "Model name that clients send; default: the checkpoint's name.", also=("served_model_name",))
    api_key_env: str = option("SWIFT_API_KEY", "Environment variable with the API key that clients must send.")
    runtime_adapters: bool = option(
        False,
        "Allow adapters to be added and removed while the server runs. Anyone with the API key can then load folders of this machine.",
    )
    runtime_weights: bool = option(
        False,
        "Allow all weights to be replaced while the server runs, as online training does. Anyone with the API key can then replace them.",
    )
    startup_timeout: float = option(600.0, "Maximum start-up time of the engine, in seconds.", gt=0)
    engine_nodes: int = option(
        1, "Number of machines that the engine spans; run the same command on each, with its own node_rank.", ge=1, also=("nnodes",)
    )
    node_rank: int = option(0, "Rank of this machine, if the engine spans several; rank 0 has the API.", ge=0)
    master_addr: str = option("", "Address of the machine of rank 0, if the engine spans several.")
    master_port: int = option(29500, "Port on the machine of rank 0 at which the engine's machines meet.", ge=1, le=65535)
    require_signature: str = option(
        "", "Public key (PEM): serve only a checkpoint, and adapters, that its owner signed (swift sign).", affects_result=False
    )


class AskOptions(SamplingOptions, RowFileOptions, AnsweringOptions):
    """Options of swift ask."""

    model: str = option(
        "",
        "Checkpoint to ask; it is served while the questions are answered.",
        also=("model_id_or_path", "model_name_or_path", "ckpt_dir"),
    )
    task_type: Literal["", "causal_lm", "embedding", "seq_cls", "token_cls", "reranker", "generative_reranker"] = option(
        "",
        "Type of the answers: text, vectors, "
        "classes (of texts or words) or "
        "scores; default: the checkpoint's own type; for a server, text.",
    )
    questions: list[str] = option(list, "Questions; each is asked in its own conversation.")
    dataset: Several = option(
        list,
        "Chat rows; the conversation up to the last user turn is sent. For a model with a head: texts, label rows, queries with documents.",
        also=("val_dataset",),
    )
    held_out: bool = option(
        False,
        "Use the validation rows of the training run that wrote the checkpoint: its validation datasets, or its validation split.",
        also=("load_data_args",),
    )
    system: str = option("", "System prompt of the questions, and of rows that have none.")
    top_k: int | None = option(None, "Sample from the k most likely tokens; -1: from all.", ge=-1)
    repetition_penalty: float | None = option(None, "Repetition penalty: divides the logits of tokens that already occurred.", gt=0)
    seed: int | None = option(None, "Random seed of sampling.")
    stop: list[str] = option(list, "Stop strings.", also=("stop_words",))
    template_variables: dict[str, Any] = option(
        dict,
        'Variables of the chat template, as JSON: {"enable_thinking": false}; variables in a row take precedence.',
        also=("chat_template_kwargs",),
    )
    use_chat_template: bool = option(
        True, "Render questions with the chat template. Without, the text of the last user message is completed as it is."
    )
    metric: Literal["", "accuracy"] = option(
        "",
        "Compare answers with those that rows have (the last assistant message): accuracy, the fraction that is equal but for spaces at "
        "the ends. Classifiers of rows with labels always give it.",
    )
    extra: dict[str, Any] = option(dict, 'Additional request fields, as JSON: {"min_p": 0.1}.')
    images: list[str] = option(list, "Images for each question: paths or URLs.")
    concurrency: int = option(8, "Maximum concurrent requests.", ge=1, also=("max_batch_size",))
    resume: bool = option(False, "Resume from the partial answers that an interrupted run left beside --output.", affects_result=False)
    output: str = option(
        "", "File for the answers (JSONL); default: answers.jsonl in the run folder.", also=("result_path",), affects_result=False
    )
