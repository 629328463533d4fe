"""Enable the pytest fixtures of swift-core: tiny models, a fake engine, a project folder to run `swift` in."""

from __future__ import annotations

pytest_plugins = ["swift_testing.rig"]
