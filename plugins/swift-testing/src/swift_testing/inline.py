"""A plugin that a test writes on the spot, registered in the test's own process and gone when the test ends."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from swift_core import hookimpl
from swift_core.plugins.loader import Plugin, plugins
from swift_core.plugins.registry import registry


class InlinePlugins:
    """Call it to install one; `close` makes the process forget them all."""

    def __call__(self, module: Any = None, /, *, name: str = "inline", **hooks: Callable[..., Any]) -> Plugin:
        """Register a module, an object or plain functions by hook name as a plugin.

            inline_plugin(swift_launchers=lambda: [LauncherSpec(name="moon", …)])

        Raises:
            AssertionError: it does not load, with the reason.
        """
        answers = module if module is not None else ModuleType(name)
        for hook, function in hooks.items():
            setattr(answers, hook, hookimpl(function))
        loaded = plugins()
        loaded.register(answers, name)
        registry.cache_clear()
        plugin = loaded.found[name]
        assert not plugin.failure, plugin.failure
        return plugin

    def close(self) -> None:
        """Forget them: what is installed is loaded anew when it is asked for."""
        plugins.cache_clear()
        registry.cache_clear()
