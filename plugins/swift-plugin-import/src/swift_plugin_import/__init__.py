"""Read configuration files of other training tools, and write them as YAML files of swift.

An importer is a class of the entry-point group `swift.importers` with the Protocol `swift_plugin_import.importer.Importer`. Those here
are driven by tables of names (`tables/*.toml`); code is needed only if a value depends on other values.
"""

from __future__ import annotations
