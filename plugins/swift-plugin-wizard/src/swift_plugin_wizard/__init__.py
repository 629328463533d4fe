"""The wizard: a few questions lead to a YAML file, a plan and a run."""

from __future__ import annotations
