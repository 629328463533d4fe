"""Shared by what fetches: downloads, package indexes, archives; the commands fetch and models."""

from __future__ import annotations
