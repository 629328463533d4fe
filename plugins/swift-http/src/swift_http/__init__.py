"""Shared by the servers: the OpenAI-compatible HTTP layer."""
