"""Attention within rows, by FlexAttention and row by row, against attention of all tokens with a mask of (tokens, tokens)."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from swift_testing.architectures import small_model
from swift_train import flex_rows, row_attention
from torch.nn.attention import flex_attention as library

BOUNDS = torch.tensor([0, 1, 40, 130, 131, 300, 420], dtype=torch.int32)
TOKENS = 420
KINDS = {"causal": {}, "window": {"sliding_window": 33}, "capped": {"softcap": 1.5}, "sinks": {"s_aux": True}, "grouped by 3": {"heads": 6}}


@pytest.fixture
def flex(monkeypatch: pytest.MonkeyPatch) -> None:
    """FlexAttention's plain operations, which PyTorch refuses to differentiate on a CPU although it can."""
    monkeypatch.setattr(library, "_validate_device", lambda *states: None)
    monkeypatch.setattr(flex_rows, "computes", lambda query: True)
    monkeypatch.setattr(row_attention, "_has_flash", lambda query, value: False)


def allowed(bounds: torch.Tensor, tokens: int, window: int | None) -> torch.Tensor:
    """(tokens, tokens): which token attends to which."""
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for start, end in pairwise(bounds.tolist()):
        mask[start:end, start:end] = True
    return mask.tril().triu(1 - window if window else -tokens)


def with_mask(query, key, value, *, window, cap, sinks):
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    scores = (cap * torch.tanh(scores / cap) if cap else scores).masked_fill(~allowed(BOUNDS, TOKENS, window), -1e9)
    if sinks is not None:
        scores = torch.cat([scores, sinks[None, :, None, None].expand(1, -1, TOKENS, 1)], -1)
    return (scores.softmax(-1)[..., :TOKENS] @ value).transpose(1, 2)


def inputs(heads: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = ((1, heads, TOKENS, 16), (1, 2, TOKENS, 16), (1, 2, TOKENS, 16), (heads,))
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("kernel", [row_attention.Kernel.FLEX, row_attention.Kernel.BY_ROW], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_those_with_a_mask_of_all_tokens(kind, kernel, request, monkeypatch):
    if kernel is row_attention.Kernel.FLEX:
        request.getfixturevalue("flex")
    monkeypatch.setattr(row_attention, "use_onednn_matmul", lambda: None)  # blocks of queries, on some processors
    options = dict(KINDS[kind])
    heads, found = options.pop("heads", 4), []
    sinking = options.pop("s_aux", False)
    for ours in (True, False):
        query, key, value, sinks = inputs(heads)
        s_aux = sinks if sinking else None
        if ours:
            layer = torch.nn.Module()
            output, _ = row_attention.attend(layer, query, key, value, None, cu_seq_lens_q=BOUNDS, max_length_q=169, s_aux=s_aux, **options)
            assert row_attention.kernels_of(SimpleNamespace(modules=lambda layer=layer: [layer])) == [kernel.value]
        else:
            output = with_mask(query, key, value, window=options.get("sliding_window"), cap=options.get("softcap"), sinks=s_aux)
        (output * torch.arange(1.0, TOKENS + 1)[None, :, None, None]).square().mean().backward()
        found.append([output.detach(), *(states.grad for states in (query, key, value, *([sinks] if sinking else [])))])
    for one, other in zip(*found, strict=True):
        assert float((one - other).abs().max() / other.abs().max()) < 1e-5


def test_it_is_taken_only_if_its_kernels_can_be_compiled(monkeypatch):
    monkeypatch.setattr(flex_rows, "_DEVICES", ("cpu",))
    monkeypatch.setattr(flex_rows, "has_triton", lambda: True)
    compiled = []
    monkeypatch.setattr(flex_rows, "_function", lambda device: lambda *states, **options: compiled.append(device) or 1 / 0)
    flex_rows._works.cache_clear()
    query = torch.zeros(1, 2, 8, 16)
    assert not flex_rows.computes(query)
    assert not flex_rows.computes(query)
    assert compiled == ["cpu"]
    flex_rows._works.cache_clear()
    monkeypatch.setattr(flex_rows, "_function", lambda device: library.flex_attention)
    monkeypatch.setattr(library, "_validate_device", lambda *states: None)
    assert flex_rows.computes(query)
    flex_rows._works.cache_clear()


@pytest.mark.parametrize("window", [None, 1, 100, 128, 129, 300])
@pytest.mark.parametrize("tokens", [5, 128, 700])
def test_no_block_is_left_out_and_whole_ones_need_no_mask(tokens, window):
    bounds = torch.tensor(sorted({0, tokens, *(int(tokens * part) for part in (0.01, 0.5, 0.51, 0.9))}))
    blocks = flex_rows.row_blocks(bounds, tokens, window)
    mask, size = allowed(bounds, tokens, window), flex_rows.BLOCK
    for row in range(-(-tokens // size)):
        counts = (blocks.kv_num_blocks[0, 0, row], blocks.full_kv_num_blocks[0, 0, row])
        some, every = (set(of[0, 0, row, :n].tolist()) for of, n in zip((blocks.kv_indices, blocks.full_kv_indices), counts, strict=True))
        parts = [mask[row * size : (row + 1) * size, column * size : (column + 1) * size] for column in range(-(-tokens // size))]
        assert not some & every
        assert some | every == {column for column, part in enumerate(parts) if part.any()}
        assert all(parts[column].all() for column in every)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2", "gpt_oss"])
def test_a_models_losses_and_gradients_are_those_of_each_row_alone(kind, flex):
    """gemma2 caps scores and has windows in every second layer, gpt_oss has sinks too."""
    values = {"gemma2": {"attn_logit_softcapping": 2.0}}
    model = small_model(kind, attention="eager", **({} if kind == "llama" else {"sliding_window": 5}), **values.get(kind, {}))
    lengths, found = (7, 3, 12), []
    rows = torch.arange(5, 27).split(lengths)
    for row in rows:
        likelihood(model(input_ids=row[None], use_cache=False).logits[0], row).backward()
    found.append({name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None})
    assert row_attention.install(model)
    model.zero_grad()
    bounds = torch.tensor([0, 7, 10, 22], dtype=torch.int32)
    of_rows = {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": 12, "max_length_k": 12}
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    logits = model(input_ids=torch.cat(rows)[None], position_ids=positions, use_cache=False, **of_rows).logits[0]
    sum(likelihood(part, row) for part, row in zip(logits.split(lengths), rows, strict=True)).backward()
    assert row_attention.kernels_of(model) == [row_attention.Kernel.FLEX.value]
    for name, gradient in found[0].items():
        assert float((model.get_parameter(name).grad - gradient).abs().max()) < 1e-4 * max(1.0, float(gradient.abs().max())), name


def likelihood(logits: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    return logits.log_softmax(-1)[:-1].gather(1, row[1:, None]).sum()
