"""Matrix products by oneDNN: as torch's own, for every layout, type and size; forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import pytest
import torch
from swift_train import onednn_matmul
from swift_train.onednn_matmul import replaced_matmul, use_onednn_matmul
from torch import Tensor

Make = Callable[[int, int], Tensor]

LAYOUTS: dict[str, Make] = {
    "contiguous": torch.randn,
    "transposed": lambda rows, columns: torch.randn(columns, rows).t(),
    "columns of a wider one": lambda rows, columns: torch.randn(rows, columns + 5)[:, 2 : 2 + columns],
    "every second row": lambda rows, columns: torch.randn(2 * rows, columns)[::2],
    "every second column": lambda rows, columns: torch.randn(rows, 2 * columns)[:, ::2],
    "one row expanded": lambda rows, columns: torch.randn(1, columns).expand(rows, columns),
    "one column expanded": lambda rows, columns: torch.randn(rows, 1).expand(rows, columns),
    "one number expanded": lambda rows, columns: torch.randn(1).expand(rows, columns),
    "unaligned": lambda rows, columns: torch.randn(rows * columns + 3)[3:].view(rows, columns),
}


@pytest.fixture(autouse=True)
def _onednn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """oneDNN for products of every size, on every processor."""
    monkeypatch.setattr(onednn_matmul, "_ROWS", 1)
    monkeypatch.setattr(onednn_matmul, "_PRODUCTS", 1)
    library = None if use_onednn_matmul() else replaced_matmul()
    yield
    if library:
        library._destroy()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("shape", [(7, 5, 3), (1, 5, 3), (7, 1, 3), (7, 5, 1), (64, 33, 17)], ids=str)
def test_every_layout(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    for of_a, of_b in product(LAYOUTS, LAYOUTS):
        a, b, bias = LAYOUTS[of_a](rows, inner), LAYOUTS[of_b](inner, columns), torch.randn(2 * columns)[::2]
        exact = a.double() @ b.double()
        torch.testing.assert_close(a @ b, exact.float(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.addmm(bias, a, b), (exact + bias).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.complex64], ids=str)
def test_other_types_are_torchs(dtype: torch.dtype) -> None:
    a, b = torch.arange(12).view(3, 4).to(dtype), torch.arange(8).view(4, 2).to(dtype)
    assert torch.equal(a @ b, (a[:, :, None] * b[None]).sum(1))


def test_bias_of_other_shapes_scales_and_empty_matrices() -> None:
    a, b = torch.randn(6, 4), torch.randn(4, 3)
    exact = a.double() @ b.double()
    for bias in (torch.randn(6, 3), torch.randn(6, 1), torch.randn(1), torch.randn(())):
        torch.testing.assert_close(torch.addmm(bias, a, b), (bias + exact).float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.addmm(torch.ones(3), a, b, beta=0.5, alpha=2), (0.5 + 2 * exact).float(), rtol=1e-5, atol=1e-5)
    assert torch.equal(torch.randn(3, 0) @ torch.randn(0, 2), torch.zeros(3, 2))
    assert (torch.randn(0, 4) @ b).shape == (0, 3)


def test_wrong_shapes_are_refused_as_by_torch() -> None:
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.randn(3, 4) @ torch.randn(5, 2)


def test_gradients() -> None:
    layer, x = torch.nn.Linear(33, 17), torch.randn(2, 5, 33, requires_grad=True)
    layer(x).square().sum().backward()
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    slope = 2 * (x.detach().double() @ weight.T + bias)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, (slope @ weight).float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.weight.grad, torch.einsum("abo,abi->oi", slope, x.detach().double()).float(), rtol=1e-5, atol=1e-4)


def test_onednn_computes_them() -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.randn(8, 8) @ torch.randn(8, 8)
    assert "mkldnn::_linear_pointwise" in {event.key for event in profile.key_averages()}
