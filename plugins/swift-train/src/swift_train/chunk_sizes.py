"""Sizes of the chunks in which a head computes the cross entropy (`swift_train.head_loss`), known without torch to plans of memory."""

from __future__ import annotations

CPU_CHUNK, CHUNK = 1 << 23, 1 << 26  # logits of a chunk: on a CPU, elsewhere
