"""Environments for engines: what can't share one virtual environment gets its own, made from data that the plugin gives.

An environment is a folder below the cache, `envs/NAME-KEY`. Its stamp, `environment.json`, is written last: a folder without one is
unfinished, and is never used.
"""

from __future__ import annotations
