"""What the conformance kit starts vLLM with: a small cache, and no compilation, which takes minutes on a CPU.

Its attention on a CPU takes heads of 32 numbers and more; the kit's tiny model has 16 otherwise.
"""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {
    "vllm": Example(
        options={"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "cpu_kv_cache_gib": 1, "cpu_threads": "nobind"},
        sizes={"head_dim": 32},
    )
}
