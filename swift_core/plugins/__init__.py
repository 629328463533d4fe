"""Plugins: found, loaded, asked, and their parts by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.lazy import door

if TYPE_CHECKING:
    from swift_core.plugins.commands import (
        Offer as Offer,
        commands_offered as commands_offered,
        find_command as find_command,
        spelled as spelled,
    )
    from swift_core.plugins.engines import device_kind as device_kind, engine_state as engine_state
    from swift_core.plugins.formats import format_of as format_of, matches as matches, recognised as recognised
    from swift_core.plugins.loader import PLUGIN_GROUP as PLUGIN_GROUP, Plugin as Plugin, Plugins as Plugins, plugins as plugins
    from swift_core.plugins.metadata import Point as Point, entry_points as entry_points
    from swift_core.plugins.name_clashes import Clash as Clash, clashes as clashes
    from swift_core.plugins.registered import (
        HOOKS as HOOKS,
        KINDS as KINDS,
        Entry as Entry,
        Registry as Registry,
        catalogue as catalogue,
        registry as registry,
    )
    from swift_core.plugins.verb_names import find_verb as find_verb, pip_line as pip_line, verb_named as verb_named, verbs as verbs

__getattr__, __dir__ = door(
    __name__,
    {
        "commands": "Offer commands_offered find_command spelled",
        "engines": "device_kind engine_state",
        "formats": "format_of matches recognised",
        "loader": "PLUGIN_GROUP Plugin Plugins plugins",
        "metadata": "Point entry_points",
        "name_clashes": "Clash clashes",
        "registered": "HOOKS KINDS Entry Registry catalogue registry",
        "verb_names": "find_verb pip_line verb_named verbs",
    },
)
