"""LoRA's update as one operation: PEFT's outputs and gradients, less memory, and PEFT's own way if it can't be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from swift_plugin_peft.fused_lora import FusedLora, _LowRankUpdate, fuse
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


class Block(nn.Module):
    """Two layers that share an input, one with a bias."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.query, self.key, self.out = nn.Linear(32, 48, bias=bias), nn.Linear(32, 48, bias=False), nn.Linear(48, 32)

    def forward(self, x: Tensor) -> Tensor:
        shared = nn.functional.silu(x)
        return self.out(nn.functional.silu(self.query(shared) * self.key(shared)))


def pair(dtype: torch.dtype = torch.float32, **options: Any) -> tuple[Any, Any]:
    """PEFT's model, and its copy with fused layers."""
    torch.manual_seed(0)
    base = nn.Sequential(Block(), Block()).to(dtype)
    plain: Any = get_peft_model(base, LoraConfig(r=4, lora_alpha=6, target_modules=["query", "key", "out"], **options))  # type: ignore[arg-type]
    for name, weight in plain.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.1)
    fused = copy.deepcopy(plain)
    fuse(fused)
    assert sum(isinstance(module, FusedLora) for module in fused.modules()) == 6
    return plain, fused


def outputs(model: Any, x: Tensor) -> list[Tensor]:
    """The output and all gradients."""
    x = x.clone().requires_grad_()
    result = model(x)
    result.float().square().mean().backward()
    return [result, x.grad, *(weight.grad for weight in model.parameters() if weight.grad is not None)]


def kept(model: Any, x: Tensor) -> int:
    """Bytes of distinct tensors that the backward pass needs, without weights."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = model(x)
    assert result.requires_grad
    return sum(sizes.values())


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"lora_bias": True}, {"use_dora": True}], ids=str)
def test_outputs_and_gradients_are_pefts(options: dict[str, Any]) -> None:
    plain, fused = pair(**options)
    x = torch.randn(2, 7, 32)
    for ours, theirs in zip(outputs(fused, x), outputs(plain, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_bfloat16_under_autocast_is_as_near_to_float32_as_pefts() -> None:
    plain, fused = pair(torch.bfloat16)
    x = torch.randn(2, 7, 32)
    exact = outputs(copy.deepcopy(plain).float(), x)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = outputs(fused, x.bfloat16()), outputs(plain, x.bfloat16())
    for mine, peft, best in zip(ours, theirs, exact, strict=True):
        assert mine.dtype == peft.dtype
        assert (mine.float() - best).norm() < 1.5 * (peft.float() - best).norm() + 1e-6


@pytest.mark.parametrize(("dropout", "share"), [(0.0, 0.9), (0.1, 0.7)])
def test_less_is_kept_for_the_backward_pass(dropout: float, share: float) -> None:
    plain, fused = pair(torch.bfloat16, lora_dropout=dropout)
    x = torch.randn(2, 64, 32, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert kept(fused, x) < share * kept(plain, x)


def test_gradients_with_dropout_are_those_of_what_was_computed() -> None:
    _, fused = pair(lora_dropout=0.5)
    fused.double()
    x = torch.randn(1, 3, 32, dtype=torch.double, requires_grad=True)

    def once(x: Tensor, *_: Tensor) -> Any:
        torch.manual_seed(3)
        return fused(x)

    weights = [weight for name, weight in fused.named_parameters() if "0.query.lora" in name]
    assert torch.autograd.gradcheck(once, (x, *weights), fast_mode=True)
    assert not torch.equal(once(x), fused(x))
    fused.eval()
    assert torch.equal(fused(x), fused(x))


@pytest.mark.parametrize("case", ["disabled", "merged", "two adapters", "hook on the way"])
def test_what_can_not_be_fused_is_pefts(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, fused = pair()
    for model in (plain, fused):
        if case == "disabled":
            model.base_model.disable_adapter_layers()
        elif case == "merged":
            model.merge_adapter()
        elif case == "two adapters":
            torch.manual_seed(1)
            model.add_adapter("second", LoraConfig(r=2, target_modules=["query", "key", "out"], init_lora_weights=False))
            model.base_model.set_adapter(["default", "second"])
        else:
            for name, module in model.named_modules():
                if name.endswith("lora_A.default"):
                    module.register_forward_hook(lambda _, __, output: 2 * output)
    monkeypatch.setattr(_LowRankUpdate, "apply", None)  # not called
    x = torch.randn(2, 7, 32)
    torch.testing.assert_close(fused(x), plain(x))
