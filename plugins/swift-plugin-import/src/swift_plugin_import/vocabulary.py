"""The options of the installed verbs: which one a foreign name means, and whether a value is valid for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swift_core.contract import Named, Ref, Spec, SwiftError, VerbSpec
from swift_core.options import Invalid, fields as option_fields
from swift_core.plugins import Registry, find_verb, registry
from swift_plugin_import.translation import Translation

_BESIDE = frozenset({"dataset_options", "run"})  # keys of a YAML file that are no options of the verb


class Vocabulary:
    """The options of a verb and of the parts that a translation chooses."""

    def __init__(self, translation: Translation, known: Registry | None = None) -> None:
        self.known = known or registry()
        self.translation = translation

    @property
    def verb(self) -> VerbSpec | None:
        """The verb of the translation; None if it is not installed."""
        return find_verb(self.translation.verb, self.known)

    def paths(self) -> set[str]:
        """Return the paths of all options."""
        return {path for path, _ in self._options()}

    def path(self, name: str) -> str:
        """Return the path of the option that has this name, or lists it as another tool's name; '' if there is none."""
        for path, names in self._options():
            if name in names:
                return path
        return ""

    def check(self) -> None:
        """Move every setting that the installed verb does not have, or whose value is invalid, to what is not possible."""
        verb = self.verb
        if verb is None:
            self.translation.refuse("verb", self.translation.verb, "there is no such verb here")
            return
        for part in verb.parts:
            self._check_part(verb, part)
        main = self._spec(verb.main) if verb.main else None
        names = {part: _names(self._spec(part)) for part in verb.parts}
        main_names = {name.partition(".")[0] for name in names.get(verb.main, ())}
        own_names = {field.path.partition(".")[0] for field in option_fields.fields(verb.options)}
        own: dict[str, Any] = {}
        for path in list(self.translation.settings):
            head = path.partition(".")[0]
            if head in verb.parts and (head != verb.main or (path == f"{head}.name" and head not in verb.fixed)):
                continue
            if head not in own_names | main_names | _BESIDE:
                self.translation.remove(path, f"swift {self.translation.verb} has no option {path}")
        values = nested(self.translation)
        own = {key: value for key, value in values.items() if key in own_names and key not in main_names}
        self._check(verb.options, own, "")
        if main is not None:
            self._check(main.options, {key: value for key, value in values.items() if key in main_names}, "")

    def choices(self, option: str) -> tuple[str, ...]:
        """Return the names that an option allows; empty if it is free."""
        return next((field.choices for path, _, field in self._fields() if path == option), ())

    def offers(self, part: str, name: str) -> bool:
        """Return whether an implementation of that name is installed."""
        return bool(name) and bool(self.known.matching(part, name))

    def _check_part(self, verb: VerbSpec, part: str) -> None:
        translation = self.translation
        asked = translation.value(f"{part}.name")
        if asked is not None and part in verb.fixed:
            return
        if asked is not None and not self.offers(part, str(asked)):
            translation.remove(part, f"there is no {part} '{asked}' here")
            return
        below = {path.removeprefix(f"{part}."): path for path in translation.settings if path.startswith(f"{part}.")}
        below.pop("name", None)
        spec = self._spec(part)
        if part == verb.main or not below:
            return
        known = _names(spec)
        for name, path in below.items():
            if name.partition(".")[0] not in {item.partition(".")[0] for item in known}:
                owner = f"the {part} '{spec.name}'" if spec else f"no {part} that is chosen"
                translation.remove(path, f"{owner} has no option {name}" if spec else f"{owner} has an option {name}")
        values = nested(translation).get(part, {})
        self._check(_options(spec), {key: value for key, value in values.items() if key != "name"}, f"{part}.")

    def _check(self, options: Any, values: dict[str, Any], prefix: str) -> None:
        if options is None or not values:
            return
        try:
            options.load().checked(values)
        except Invalid as invalid:
            for path, message in invalid.problems:
                self._refuse(f"{prefix}{path}", message)
        except SwiftError as error:
            self.translation.notes.append(error.message)

    def _refuse(self, path: str, message: str) -> None:
        """Refuse the setting of a path, or the nearest one above or below it; what is missing in the file is no problem of the file."""
        probe = path.rstrip(".")
        while probe:
            if any(name == probe or name.startswith(f"{probe}.") for name in self.translation.settings):
                if "is required" not in message:
                    self.translation.remove(probe, message)
                return
            probe = probe.rpartition(".")[0]
        if "is required" not in message:
            self.translation.notes.append(f"{path}: {message}" if path else message)

    def _options(self) -> Iterator[tuple[str, set[str]]]:
        for path, names, _ in self._fields():
            yield path, names

    def _fields(self) -> Iterator[tuple[str, set[str], option_fields.Field]]:
        """Yield each option: its path, the names that mean it, and the option; those of the verb itself first."""
        verb = self.verb
        if verb is None:
            return
        for field in option_fields.fields(verb.options):
            yield field.path, {field.path, *field.also}, field
        main = self._spec(verb.main) if verb.main else None
        for field in option_fields.fields(main.options) if main else ():
            yield field.path, {field.path, *field.also}, field
        for part in verb.parts:
            spec = self._spec(part) if part != verb.main else None
            for field in option_fields.fields(spec.options) if spec else ():
                yield (
                    f"{part}.{field.path}",
                    {f"{part}.{field.path}", field.path.rpartition(".")[2], *field.also} - {"name", "config"},
                    field,
                )

    def _spec(self, part: str) -> Any:
        verb = self.verb
        if verb is None:
            return None
        default = verb.parts.get(part) or verb.preferred.get(part, "")
        name = self.translation.value(f"{part}.name") if part not in verb.fixed else None
        matches = self.known.matching(part, str(name or default)) if name or default else []
        return matches[0].spec if matches else None


def nested(translation: Translation) -> dict[str, Any]:
    """Return the settings as YAML has them: a mapping for each part."""
    found: dict[str, Any] = {}
    for path, setting in translation.settings.items():
        *parents, last = path.split(".")
        node = found
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = setting.value
    return found


def _options(spec: Named | None) -> Ref | None:
    return spec.options if isinstance(spec, Spec) else None


def _names(spec: Named | None) -> set[str]:
    options = _options(spec)
    return {field.path for field in option_fields.fields(options)} if options else set()
