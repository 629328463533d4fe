"""Options for the conformance kit: answers that are one token each of its tiny model."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"generative-reranker": Example(options={"yes_token": "y", "no_token": "n"})}
