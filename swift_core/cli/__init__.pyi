from swift_core.cli.group import cli as cli, help_text as help_text, invoke as invoke, main as main
from swift_core.cli.output import note as note, print_error as print_error, print_table as print_table
from swift_core.cli.provision import resolve_with_engines as resolve_with_engines
from swift_core.cli.screen import Screen as Screen
from swift_core.cli.verb import FlagsCommand as FlagsCommand, VerbCommand as VerbCommand, command_for as command_for
