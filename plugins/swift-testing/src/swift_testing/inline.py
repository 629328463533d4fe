"""Plugins defined inside a test, registered in the test process and removed when the test ends."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from swift_core import hookimpl
from swift_core.plugins import Plugin, plugins, registry


class InlinePlugins:
    """Registers plugins when called; `close` removes them all."""

    def __call__(self, module: Any = None, /, *, name: str = "inline", **hooks: Callable[..., Any]) -> Plugin:
        """Register a module, an object, or functions keyed by hook name as a plugin.

            inline_plugin(swift_launchers=lambda: [LauncherSpec(name="moon", …)])

        Raises:
            AssertionError: the plugin could not be registered; the message gives the reason.
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
        """Remove the plugins; the installed ones are loaded again on the next use."""
        plugins.cache_clear()
        registry.cache_clear()
