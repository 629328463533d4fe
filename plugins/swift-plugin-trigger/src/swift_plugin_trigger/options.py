"""Options of trigger."""

from __future__ import annotations

from swift_serve.options import AnsweringOptions

from swift_core.options import Several, option


class TriggerOptions(AnsweringOptions):
    """Options of swift trigger."""

    model: str = option(
        "", "Checkpoint that generates the answers; with --url, the one that the server serves, for tracing messages back.",
        also=("model_id_or_path",),
    )  # fmt: skip
    definition: str = option("", "YAML file with the events, the prompt, the screening rules and the URL of the receiver.")
    events: Several = option(list, "JSON files with one event each: answer them, and exit when every message is delivered.")
    store: str = option("trigger", "Folder with the state: events and messages that are waiting, delivered or dead.")
    deliver_to: str = option("", "URL that receives the messages; overrides the definition.")
    host: str = option("", "Address to listen on for events; overrides the definition.")
    port: int | None = option(None, "Port to listen on for events; overrides the definition. 0: any free port.", ge=0, le=65535)
