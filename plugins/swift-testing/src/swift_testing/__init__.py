"""Test support for plugin authors: pytest fixtures (`rig`) and the conformance kit (`kit`)."""

from __future__ import annotations
