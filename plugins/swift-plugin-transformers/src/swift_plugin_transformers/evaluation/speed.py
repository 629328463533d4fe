"""Throughput and latency of the checkpoint in this process: one prompt after the other, greedy, a fixed number of tokens.

Times are by the clock, so they hold for this machine with what else it did; a row is computed once, after a warm-up with the first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence as Rows
from statistics import quantiles

import torch
from swift_evaluate.rows.files import SourceRow

from swift_plugin_transformers.evaluation.encoding import Sequence
from swift_plugin_transformers.evaluation.likelihood import ratio
from swift_plugin_transformers.evaluation.tasks import Estimates, Numbers, Result, Task

_NEW = 32  # tokens of an answer, if --max-tokens does not say it
_PERCENTS = (50, 90, 99)


class Speed(Task):
    """Time to the first token and per output token, and tokens a second of prefill and decoding."""

    lower_is_better = ("time_to_first_token", "time_per_output_token", *(f"time_to_first_token_p{percent}" for percent in _PERCENTS))
    _warm = False

    def results(self, rows: Rows[SourceRow]) -> Iterator[Result]:
        """Yield the times of each row."""
        for row in rows:
            sequences, _ = self.subject.encoder.encode(row)
            prompt = prompt_of(sequences[-1], self.subject.options.max_length)
            if not self._warm:
                self._measure(prompt)
                self._warm = True
            yield self._measure(prompt)

    def estimates(self, scored: Rows[Numbers]) -> Estimates:
        """Return the rates over all rows, and percentiles of the time to the first token."""
        firsts = [row["time_to_first_token"] for row in scored]
        cuts = quantiles(firsts, n=100, method="inclusive") if len(firsts) > 1 else firsts * 99
        return {
            "prefill_tokens_per_second": ratio([row["prompt_tokens"] for row in scored], firsts),
            "decode_tokens_per_second": ratio([row["decoded_tokens"] for row in scored], [row["decode_seconds"] for row in scored]),
            **{f"time_to_first_token_p{percent}": (cuts[percent - 1], None) for percent in _PERCENTS},
        }

    @torch.inference_mode()
    def _measure(self, prompt: list[int]) -> Result:
        module, device = self.subject.model.module, self.subject.model.device
        count = max(2, self.subject.asked.max_tokens or _NEW)
        begin = _now(device)
        out = module(input_ids=torch.tensor([prompt], device=device), use_cache=True, logits_to_keep=1)
        following = out.logits[:, -1:].argmax(-1)
        first = _now(device)
        for _ in range(count - 1):
            out = module(input_ids=following, past_key_values=out.past_key_values, use_cache=True)
            following = out.logits[:, -1:].argmax(-1)
        decode = _now(device) - first
        sums = {"prompt_tokens": len(prompt), "decoded_tokens": count - 1, "decode_seconds": decode}
        return Result({"time_to_first_token": first - begin, "time_per_output_token": decode / (count - 1)}, sums)


def prompt_of(sequence: Sequence, length: int) -> list[int]:
    """Return the last `length` tokens of a text, or of a conversation before its last answer."""
    answer = next((at for at in range(len(sequence.counted) - 1, -1, -1) if sequence.counted[at]), 0)
    while answer and sequence.counted[answer - 1]:
        answer -= 1
    prompt = sequence.ids[: answer + 1] if answer else sequence.ids
    return prompt[-length:]


def _now(device: torch.device) -> float:
    """Return the time by the clock, once the device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()
