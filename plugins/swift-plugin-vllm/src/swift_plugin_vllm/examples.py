"""Options for the conformance kit: a small KV cache, and no compilation, which takes minutes on a CPU.

vLLM's CPU attention needs a head dimension of at least 32; the kit's tiny model has 16 by default.
"""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {
    "vllm": Example(
        options={"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "cpu_kv_cache_gib": 1, "cpu_threads": "nobind"},
        sizes={"head_dim": 32},
    )
}
