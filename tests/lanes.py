"""The long lanes: tests that are too long, too big or too special for `make test`, by name. `make test-full` prints this list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    """What a lane proves, and its rough minutes on two quiet cores, once what it installs is there."""

    minutes: int
    purpose: str


LANES = {
    "accelerator": Lane(
        6, "a device of PyTorch that is neither CPU nor CUDA (tests/accelerator): load, train, resume, DDP, FSDP, merge, serve; needs g++"
    ),
    "architectures": Lane(
        10,
        "every class of transformers, small: loaded, LoRA, a step, saved, merged, as docs/reference/architectures.md says; rows as alone",
    ),
    "clients": Lane(3, "OpenAI's Python and npm clients, LangChain's and LiteLLM's against the embedded server; needs node"),
    "data": Lane(2, "every named set of the real LLaMA-Factory archive, row by row"),
    "deepspeed": Lane(6, "ZeRO 1 to 3 on DeepSpeed itself against one process; resumes and kills"),
    "engines": Lane(2, "every flag before the argument parsers of SGLang and LMDeploy; the faults of an engine with LMDeploy's too"),
    "evaluate": Lane(
        15, "EvalScope, lm-eval and Inspect against known answers and on the real model; makes their environments (2 GB) the first time"
    ),
    "export": Lane(30, "the real model as GGUF, ONNX, OpenVINO, with their own engines"),
    "kernels": Lane(2, "Liger's kernels in Triton's interpreter: losses and gradients of small models are those of their own operations"),
    "kill": Lane(
        14, "killed at random instants, runs go on bit for bit: ddp, fsdp, mesh; DPO, GRPO and online DPO, also while they sample"
    ),
    "media": Lane(4, "families whose processors need torchvision, small and random: trained on images and videos, saved, loaded, served"),
    "megatron": Lane(14, "megatron-core against one process, on 17 ways to spread a model"),
    "mesh": Lane(2, "a mesh of four processes, on one axis or two, and DoRA, against one process; resumed too"),
    "nodes": Lane(5, "DDP over two network namespaces; nodes that are lost"),
    "offline": Lane(12, "the verbs on the real model, and the quickstart from a bundle, in a network namespace with the loopback alone"),
    "openvino": Lane(2, "the real model served by OpenVINO; after swift env create openvino"),
    "parallel": Lane(20, "every strategy, tuner and task on 1, 2 and 4 processes; writes reference/parallel.md"),
    "plan": Lane(7, "the traced peak of 38 training steps against torch's, of 6 commands against resident memory; sharding"),
    "plugins": Lane(10, "each kind of swift plugins new, installed by pip, with its tests and checks; the tutorial as it is written"),
    "quantize": Lane(18, "the real model by llm-compressor, GPTQModel and AutoAWQ; after swift env create"),
    "ray": Lane(
        5,
        "a run as workers of Ray Train; a corpus by Ray Data, of which a worker is killed; needs swift-plugin-ray[engine]",
    ),
    "references": Lane(
        6, "embedding models against sentence-transformers, which reads them too; heads on the real model beat untrained ones"
    ),
    "rl": Lane(8, "GRPO raises the reward of the real model on sums; distillation lowers the divergence from its teacher"),
    "sandbox": Lane(2, "the 164 problems of HumanEval, executed in the sandbox"),
    "serve": Lane(4, "10,000 requests to the embedded server leave nothing behind; the real model, sixteen at once"),
    "templates": Lane(
        2, "every chat template of the libraries: what is supervised, what is refused; docs/reference/templates.md is current"
    ),
    "train": Lane(4, "the 20 losses that ms-swift, LLaMA-Factory and TRL give on the same job"),
    "web": Lane(
        4,
        "the page in chromium and the real model: from the data to a merged, served model, killed in between; each page in both themes",
    ),
    "vllm": Lane(3, "the real model served by vLLM; after swift env create vllm"),
}


def main() -> None:
    """Print the list."""
    print("Say which: make test-full LANE=NAME")
    for name, lane in LANES.items():
        print(f"  {name:13} about {lane.minutes:2} min  {lane.purpose}")


if __name__ == "__main__":
    main()
