from swift_core.plugins.commands import (
    Offer as Offer, commands_offered as commands_offered, find_command as find_command, spelled as spelled,
)  # fmt: skip
from swift_core.plugins.engines import device_kind as device_kind, engine_state as engine_state
from swift_core.plugins.formats import (
    checkpoint_files as checkpoint_files, format_of as format_of, matches as matches, recognised as recognised,
)  # fmt: skip
from swift_core.plugins.local import use_local_plugins as use_local_plugins
from swift_core.plugins.loader import PLUGIN_GROUP as PLUGIN_GROUP, Plugin as Plugin, Plugins as Plugins, plugins as plugins
from swift_core.plugins.metadata import Point as Point, entry_points as entry_points
from swift_core.plugins.name_clashes import Clash as Clash, clashes as clashes
from swift_core.plugins.registered import (
    HOOKS as HOOKS, KINDS as KINDS, Entry as Entry, Registry as Registry, catalogue as catalogue, hub_of_owner as hub_of_owner,
    registry as registry,
)  # fmt: skip
from swift_core.plugins.verb_names import find_verb as find_verb, pip_line as pip_line, verb_named as verb_named, verbs as verbs
