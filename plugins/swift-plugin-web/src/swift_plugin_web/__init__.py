"""The web page of this machine: data, training, runs, chat, models."""

from __future__ import annotations
