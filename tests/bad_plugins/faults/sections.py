"""Sections of reports: one that does not escape, one that takes a loss for granted."""

from __future__ import annotations

from markupsafe import Markup


def unescaped(runs):
    return Markup("<p>") + Markup(runs[0].name) + Markup("</p>")


def needs_loss(runs):
    return str(min(line["loss"] for line in runs[0].lines("metrics.jsonl")))
