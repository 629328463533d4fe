"""Options of other tools (ms-swift) that need no counterpart in serve, ask and infer, or are refused."""

from __future__ import annotations

from collections.abc import Mapping

from swift_data import other_tools

_DEFAULT = "it is the default"
_ADAPTERS = "adapters are applied to the base model as they are, with the same answers"
_TEMPLATE = "The chat template of the checkpoint is used; a template with changes is saved with the model when it is trained."

SERVING: Mapping[str, str] = {"infer_backend": "backend", "agent_template=hermes": "tool_call_parser=hermes"}
SPELLINGS: Mapping[str, str] = {
    "infer_backend": "backend",
    "metric=acc": "metric=accuracy",
    "enable_thinking=true": 'template_variables={"enable_thinking":true}',
    "enable_thinking=false": 'template_variables={"enable_thinking":false}',
}

IGNORED: Mapping[str, str] = {
    **other_tools.IGNORED,
    **dict.fromkeys(("merge_lora", "vllm_enable_lora", "enable_lora"), _ADAPTERS),
    **dict.fromkeys(("num_beams=1", "do_sample=false"), _DEFAULT),
    **dict.fromkeys(("trust_remote_code=false", "push_to_hub=false", "sleep_level=0"), _DEFAULT),
    "stream": "answers in the terminal are shown as they arrive; clients of a server choose it for each request",
    "write_batch_size": "each answer is written when it is there",
    "val_dataset_sample": "name#500 takes 500 rows",
    "num_labels": "it is read from the checkpoint",
    "verbose": "requests are not logged, answers are written to a file",
    "log_interval": "the server has metrics at /metrics",
    "max_length": "the engine has its own limit: --backend.max-model-len of vllm, sglang and lmdeploy",
    "truncation_strategy": "a question that is too long is answered with an error, never cut",
    "vllm_use_async_engine": "the engine is always asked as a server",
    "trust_remote_code=true": "code of a repository runs only if it is named with its revision: --trust-remote-code org/name@revision",
}

UNSUPPORTED: Mapping[str, str] = {
    "metric=rouge": "swift eval scores answers by rouge: see the metrics of its task files.",
    "template": _TEMPLATE,
    "agent_template": "Tool calls are rendered by the checkpoint's own chat template; --tool-call-parser of the engine reads them.",
    "use_chat_template": "Clients complete texts without a chat template by /v1/completions.",
    "response_prefix": _TEMPLATE,
    "num_beams": "Beam search is not available.",
    "result_path": "Clients keep the answers; swift ask writes them to a file.",
    "api_key": "Set the variable that --api-key-env names, SWIFT_API_KEY.",
    "external_plugins": "Write swift --plugin FILE.py, or in a file plugins: [FILE.py]; it must have hooks of this program.",
    "quant_method": "A model that is quantized while it is loaded is trained (swift sft --quantizer bnb); to serve one, quantize it first.",
    "max_new_tokens": "Clients set max_tokens in each request; --backend transformers and openvino take a default.",
    "temperature": "Clients set it in each request.",
    "top_p": "Clients set it in each request.",
    "top_k": "Clients set it in each request.",
    "enable_thinking": "Clients set chat_template_kwargs in each request.",
    "device_map": "The engine decides: --device, or --backend.tensor-parallel-size for several devices.",
    "deepspeed": "Models are spread over devices by engines: --backend vllm --tensor-parallel-size N.",
}

BY_CLIENTS: Mapping[str, str] = {
    "enable_thinking": 'Clients choose it for each request: {"chat_template_kwargs": {"enable_thinking": false}}.',
}
