"""Options of trigger."""

from __future__ import annotations

from swift_serve.options import AnsweringOptions

from swift_core.options import Several, option


class TriggerOptions(AnsweringOptions):
    """Options of swift trigger."""

    model: str = option(
        "", "Checkpoint that answers; with --url, the one that this server serves, to which messages are traced back.",
        also=("model_id_or_path",),
    )  # fmt: skip
    definition: str = option("", "YAML file with the events, the prompt, the rules of the screening and the address of the receiver.")
    events: Several = option(list, "JSON files with an event each: answer these, and end when every message is delivered.")
    store: str = option("trigger", "Folder with the state: events and messages that are waiting, delivered or dead.")
    deliver_to: str = option("", "URL that gets the messages, in place of the definition's.")
    host: str = option("", "Address to listen on for events, in place of the definition's.")
    port: int | None = option(None, "Port to listen on for events, in place of the definition's; 0: any free port.", ge=0, le=65535)
