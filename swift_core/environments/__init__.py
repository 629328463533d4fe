"""Engine environments: an engine that can't share a virtual environment gets its own, made from the plugin's `Engine` declaration.

An environment is a folder in the cache, `envs/NAME-KEY`. Its record, `environment.json`, is written last: a folder without one is
unfinished and is never used.
"""

from __future__ import annotations
