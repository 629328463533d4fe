"""Causes of errors whose whole message comes from elsewhere (a library, a row, an option), so that their sources have no words for it."""

from __future__ import annotations

from collections.abc import Mapping

CAUSES: Mapping[str, str] = {
    "CLI-004": "The command line is not valid; the message says which word.",
    "OPTION-005": "One or more options are not valid; the message names each option and what is wrong with it.",
    "ENV-016": "Installing the packages of an environment failed; the message is the installer's.",
    "ENV-026": "Several kinds of parts have this name.",
    "MODEL-026": "transformers can't use the attention implementation; the message is its own.",
    "HUB-006": "The server has no such file (404 or 410).",
    "HUB-031": "ModelScope's library reports an error; the message is its own.",
    "DATA-021": "The row has none of the known formats; the message says why.",
    "DATA-124": "There are no data files at this path.",
    "DATA-126": "The dataset has no such subset or split; the message lists those that it has.",
    "TRAIN-092": "An option of a callback is not valid.",
    "TRAIN-098": "A callback raised an exception; the message names the callback, its plugin and the exception.",
    "TRAIN-178": "A row has a label that is not one of --label-names.",
    "PARALLEL-012": "The tuner needs whole weights or gradients, which fsdp shards; the message says which.",
    "PARALLEL-056": "Tensor parallelism can't shard a layer of this model; the message says which.",
    "TUNER-005": "A name in tuner.targets matches no layer of this model.",
    "NODE-005": "A worker differs from worker 0 (versions, data, settings), or does not see its run folder.",
    "NODE-006": "Not all nodes have joined the run in time; the message lists those that are missing.",
    "NODE-013": "The hostfile is not valid; the message says which line.",
    "NODE-023": "The Ray cluster can't be reached.",
    "RUN-026": "An exception that swift does not expect; the message has its type and text.",
    "PLAN-003": "The training step can't be traced; the message says why.",
    "TRIGGER-013": "An event does not match the JSON Schema of its trigger.",
    "EXPORT-059": "vLLM does not serve this adapter as it is (a warning: it is exported anyway).",
    "EVAL-020": "A row of a benchmark's file is not valid; the message says why.",
    "EVAL-062": "The row has no valid choices or answer; the message says why.",
    "EVAL-108": "The row is not valid for the task or its metrics; the message says why.",
    "EVAL-111": "An example for few-shot prompts is not valid; the message says why.",
    "AUDIT-001": "SWIFT_AUDIT has a value other than on, required and off.",
    "AUDIT-007": "The audit log or its heads can't be written, so the run is not recorded.",
    "POLICY-001": "The policy file is not valid; the message names the key.",
    "POLICY-002": "A policy does not allow this; the message says what.",
}
