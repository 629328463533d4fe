"""What swift-http needs of an engine (`swift_http.ChatEngine`): token ids in, tokens out. Replace the model by yours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import torch
from swift_http import Piece, Sampling, Token
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract.errors import UsageError

UNKNOWN = ("top_p", "top_k", "min_p", "repetition_penalty", "schema")  # what this engine would have to ignore


class AcmeEngine:
    """One model, one request at a time, with a key-value cache."""

    def __init__(self, checkpoint: str, name: str, context: int) -> None:
        self.models = [name]
        self.model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, use_safetensors=True).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
        self.context = min(context, self.model.config.max_position_embeddings)
        ends = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        self._turn = asyncio.Lock()

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = (), generation_prompt: bool = True
    ) -> list[int]:
        """Token ids of a conversation, as the checkpoint's own template writes it."""
        try:
            ids: list[int] = self.tokenizer.apply_chat_template(
                list(messages), tools=list(tools) or None, add_generation_prompt=generation_prompt, return_dict=False
            )
        except Exception as error:  # templates refuse by raising whatever they like
            raise UsageError(f"the model's chat template refuses these messages: {error}", where="messages") from None
        return ids

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a text."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=special)
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return str(self.tokenizer.decode(list(tokens)))

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        """A token at a time; the likeliest, unless a temperature is asked for."""
        for name in UNKNOWN:
            if getattr(sampling, name) not in (None, 1, 1.0, 0, 0.0):
                raise UsageError(f"this engine does not know {name}", where=name, hint="Leave it out.")
        random = torch.Generator().manual_seed(sampling.seed or 0)
        most = sampling.max_tokens or self.context - len(prompt)
        given, cache, said, text = torch.tensor([list(prompt)]), None, [], ""
        async with self._turn:
            for number in range(1, most + 1):
                logits, cache = await asyncio.to_thread(self._step, given, cache)
                token = self._token(_choose(logits, sampling.temperature or 0, random), logits, sampling.logprobs)
                if token.id in self.ends:
                    yield Piece("", (token,), "stop")
                    return
                said.append(token.id)
                whole = str(self.tokenizer.decode(said, skip_special_tokens=True))
                more = "" if whole.endswith("\ufffd") and number < most else whole[len(text) :]  # a character may take several tokens
                text += more
                yield Piece(more, (token,), "length" if number == most else None)
                given = torch.tensor([[token.id]])

    async def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """Each token of the prompt with its log-probability after those before it."""
        async with self._turn:
            output = await asyncio.to_thread(self._forward, torch.tensor([list(prompt)]))
        first = Token(prompt[0], self.decode(prompt[:1]))
        return [first, *(self._token(token, logits, top) for token, logits in zip(prompt[1:], output.logits[0], strict=False))]

    def _step(self, given: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        output = self._forward(given, past_key_values=cache, use_cache=True)
        return output.logits[0, -1], output.past_key_values

    @torch.inference_mode()
    def _forward(self, given: torch.Tensor, **arguments: Any) -> Any:
        return self.model(input_ids=given, **arguments)

    def _token(self, token: int, logits: torch.Tensor, top: int | None) -> Token:
        if top is None:
            return Token(token, self.decode([token]))
        logprobs = logits.float().log_softmax(-1)
        best = logprobs.topk(top) if top else ([], [])
        likely = tuple((self.decode([int(index)]), float(value)) for value, index in zip(*best, strict=True))
        return Token(token, self.decode([token]), float(logprobs[token]), likely)


def _choose(logits: torch.Tensor, temperature: float, random: torch.Generator) -> int:
    if not temperature:
        return int(logits.argmax())
    return int(torch.multinomial((logits.float() / temperature).softmax(-1), 1, generator=random))
