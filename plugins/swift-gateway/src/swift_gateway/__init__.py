"""A gateway: one OpenAI-compatible address over several servers, whichever engines run them."""

from __future__ import annotations
