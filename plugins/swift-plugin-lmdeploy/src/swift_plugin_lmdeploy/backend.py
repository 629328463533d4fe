"""Build the command line that starts LMDeploy."""

from __future__ import annotations

from swift_serve import keyed_launch
from swift_serve.backend_mixins import NoRuntimeAdapters
from swift_serve.base_changes import check_plain_bases
from swift_serve.engine_flags import arguments
from swift_serve.roles import Command, Serving

from swift_core.contract import UsageError
from swift_plugin_lmdeploy.options import LmdeployOptions

FLAGS = {
    "device": "--device",
    "tensor_parallel_size": "--tp",
    "data_parallel_size": "--dp",
    "expert_parallel_size": "--ep",
    "dtype": "--dtype",
    "quantization": "--model-format",
    "max_model_len": "--session-len",
    "max_num_seqs": "--max-batch-size",
    "max_num_batched_tokens": "--max-prefill-token-num",
    "cache_fraction": "--cache-max-entry-count",
    "kv_cache_dtype": "--quant-policy",
    "enforce_eager": "--eager-mode",
    "prefix_caching": "--enable-prefix-caching",
    "speculative_method": "--speculative-algorithm",
    "speculative_model": "--speculative-draft-model",
    "speculative_tokens": "--speculative-num-draft-tokens",
    "vision_batch_size": "--vision-max-batch-size",
    "chat_template": "--chat-template",
    "tool_call_parser": "--tool-call-parser",
    "reasoning_parser": "--reasoning-parser",
}


class LmdeployBackend(NoRuntimeAdapters):
    """LMDeploy's OpenAI-compatible server. Adapters are loaded at startup only."""

    def __init__(self, options: LmdeployOptions) -> None:
        self._options = options

    def command(self, serving: Serving) -> Command:
        """Return the command line and environment variables that start the server.

        It runs `lmdeploy serve api_server` through `keyed_launch.py`, which reads the API key from the environment.

        Raises:
            UsageError: adapters were given for the TurboMind engine, which would silently ignore them.
        """
        options = self._options
        check_plain_bases("LMDeploy", serving.adapters)
        if serving.adapters and options.engine == "turbomind":
            raise UsageError(
                "the TurboMind engine does not support adapters",
                code="SERVE-026",
                where="backend.engine",
                hint="Omit the engine, or merge the adapter and serve the merged model.",
            )
        engine = "pytorch" if serving.adapters else options.engine
        argv = [serving.python, keyed_launch.__file__, "lmdeploy", "--api-keys"]
        argv += ["serve", "api_server", str(serving.checkpoint), "--model-name", serving.name]
        argv += ["--server-name", serving.host, "--server-port", str(serving.port)]
        if engine:
            argv += ["--backend", engine]
        argv += arguments(options, FLAGS)
        if serving.trust_remote_code:
            argv.append("--trust-remote-code")
        if serving.adapters:  # the check that an adapter takes effect needs log-probabilities, which are off without this mode
            argv += ["--logprobs-mode", "raw_logprobs", "--adapters", *(f"{alias}={path}" for alias, path in serving.adapters.items())]
        environment = {"HF_HUB_OFFLINE": "1"}
        if serving.api_key:
            environment[keyed_launch.KEY_VARIABLE] = serving.api_key
        return Command(argv=(*argv, *options.extra), env=environment)
