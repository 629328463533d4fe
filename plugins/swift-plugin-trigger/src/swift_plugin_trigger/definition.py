"""The definition of a trigger: a YAML file, checked as a whole before anything starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from swift_core.contract import UsageError, suggestion
from swift_core.system import digest
from swift_plugin_trigger.templates import Template

_VARIANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Part(BaseModel):
    """Base of every part of a definition: frozen, unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


class EventRules(Part):
    """The schema of events, and their names."""

    schema_: str | dict[str, Any] = Field(default_factory=dict, alias="schema")  # a file, or the JSON Schema itself
    id: Template = Template("")  # its identity: two events with the same are one; default: a hash of its content


class HttpSource(Part):
    """Events by POST."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    path: str = Field(default="/events", pattern=r"^/[A-Za-z0-9/_.-]*$")
    token_env: str = ""  # environment variable with the bearer token that clients must send
    max_bytes: int = Field(default=262_144, ge=1)


class FileSource(Part):
    """Events as files with the ending .json in a folder; each is moved into `done` or `rejected` below it."""

    folder: Path
    interval: float = Field(default=1.0, gt=0)  # seconds between two looks


class Schedule(Part):
    """The same event again and again: every so many seconds, or by a cron expression (UTC)."""

    every: float = Field(default=0, ge=0)
    cron: str = ""
    event: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_both(self) -> Schedule:
        if bool(self.every) == bool(self.cron):
            raise ValueError("give either every (seconds) or cron, not both")
        if self.cron:
            from croniter import croniter

            if not croniter.is_valid(self.cron):
                raise ValueError(f"'{self.cron}' is not a cron expression")
        return self


class Answering(Part):
    """The source of a message: a prompt to the model, or by a recipe."""

    system: Template = Template("")
    prompt: Template = Template("")
    recipe: Path | None = None  # its values are templates too
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)  # of the first attempt
    retry_temperature: float = Field(default=0.7, ge=0)  # of those after a rejected answer
    attempts: int = Field(default=3, ge=1)  # answers that are asked for until one passes the screening
    fallback: Template = Template("")  # the text if none passes, or the server does not answer in time
    patience: float = Field(default=600.0, gt=0)  # seconds from the arrival of an event until the fallback is used, or the event is dead

    @model_validator(mode="after")
    def _one_of_both(self) -> Answering:
        if bool(self.prompt.text) == bool(self.recipe):
            raise ValueError("give either prompt or recipe, not both")
        return self


class LengthRule(Part):
    """The number of characters."""

    rule: Literal["length"]
    min: int = Field(default=1, ge=0)
    max: int = Field(default=10_000, ge=1)


class LanguageRule(Part):
    """The language, as ISO 639-1 code; `of` are the candidate languages (default: all that py3langid knows)."""

    rule: Literal["language"]
    is_: Template = Field(alias="is")
    of: tuple[str, ...] = ()


class ForbiddenRule(Part):
    """Regular expressions that must not be found; case is ignored."""

    rule: Literal["forbidden"]
    patterns: tuple[Annotated[str, AfterValidator(_pattern)], ...]


class RequiredRule(Part):
    """Texts that must occur."""

    rule: Literal["required"]
    texts: tuple[Template, ...]


class NumbersRule(Part):
    """Every number of the answer must occur in the event, or be allowed."""

    rule: Literal["numbers"]
    allowed: tuple[str, ...] = ()


Rule = Annotated[LengthRule | LanguageRule | ForbiddenRule | RequiredRule | NumbersRule, Field(discriminator="rule")]


class Delivery(Part):
    """The receivers of messages: a POST each, repeated until the receiver accepts it."""

    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    token_env: str = ""  # environment variable with the bearer token for the receiver
    secret_env: str = ""  # environment variable with the secret of the HMAC-SHA256 signature
    timeout: float = Field(default=30.0, gt=0)
    patience: float = Field(default=86_400.0, gt=0)  # seconds from the first attempt until a message is dead


class Definition(Part):
    """A trigger."""

    name: str = "trigger"
    event: EventRules = EventRules()
    http: HttpSource | None = None
    files: FileSource | None = None
    schedule: Schedule | None = None
    variants: tuple[dict[str, Any], ...] = ({"id": "answer"},)  # a message each; their fields are those of the templates
    answer: Answering
    screen: tuple[Rule, ...] = ()
    deliver: Delivery = Delivery()
    hash: str = ""  # of the file, which every message names

    @model_validator(mode="after")
    def _variants_have_names(self) -> Definition:
        names = [str(variant.get("id", "")) for variant in self.variants]
        if not names or len(set(names)) < len(names) or not all(_VARIANT.fullmatch(name) for name in names):
            raise ValueError("each of the variants needs an id of its own (letters, digits, - _ .)")
        return self


def read_definition(path: Path) -> Definition:
    """Read a definition; paths in it are relative to its folder.

    Raises:
        UsageError: the file can't be read, or something in it is wrong; `where` names the place.
    """
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"the definition can't be read: {reason}",
            code="TRIGGER-005",
            where=str(path),
            hint="It is a YAML file: docs/how-to/trigger.md.",
        ) from None
    if not isinstance(values, dict):
        raise UsageError(
            "the definition is not a mapping", code="TRIGGER-006", where=str(path), hint="It has at least `answer: {prompt: …}`."
        )
    hashed = digest(values)
    for section, name in (("files", "folder"), ("answer", "recipe"), ("event", "schema")):
        inner = values.get(section)
        if isinstance(inner, dict) and isinstance(inner.get(name), str):
            values[section] = {**inner, name: str(path.parent / inner[name])}
    try:
        return Definition.model_validate({**values, "hash": hashed})
    except ValidationError as error:
        raise _wrong(error, path) from None


def _wrong(error: ValidationError, path: Path) -> UsageError:
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")  # a misspelt name explains the others
    place = ".".join(str(each) for each in first["loc"] if each not in ("length", "language", "forbidden", "required", "numbers"))
    message = first["msg"].removeprefix("Value error, ")
    hint = "docs/how-to/trigger.md describes every field."
    if first["type"] == "extra_forbidden":
        message = f"unknown field '{first['loc'][-1]}'"
        hint = suggestion(str(first["loc"][-1]), sorted(Definition.model_fields)) or hint
    return UsageError(f"{place}: {message}" if place else message, code="TRIGGER-007", where=str(path), hint=hint)
