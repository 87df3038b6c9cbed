"""Workflow commands: lines of a step's output that speak to the runner, `::name key=value,key=value::data`.

Names, escapes and error texts are those of `actions/runner` (ActionCommand, ActionCommandManager).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace

from clockmesh.protocol.reports import Level
from clockmesh.runner.masks import Masks

_ANNOTATIONS = {level.value: level for level in Level}
_DISABLED = {"set-env": "GITHUB_ENV", "add-path": "GITHUB_PATH"}
"""Whoever can make a step print something could set its job's environment with these. The files replace them."""
_WITHOUT_EFFECT = ("endgroup", "add-matcher", "remove-matcher")
"""About how a page shows the log."""
_KNOWN = frozenset({"add-mask", "debug", "echo", "group", "save-state", "set-output", "stop-commands", *_ANNOTATIONS,
                    *_DISABLED, *_WITHOUT_EFFECT})  # fmt: skip

_ECHOED = frozenset({"set-output", "save-state", "add-matcher", "remove-matcher", *_DISABLED})
"""Commands that a log shows after `::echo::on`."""

_NUMBER = re.compile("[0-9]{1,9}")

_IN_DATA = (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))
_IN_PROPERTY = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
_IN_OLD_FORM = (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%"))


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    """Lower case."""
    data: str
    properties: Mapping[str, str] = field(default_factory=dict)


def parse(line: str, known: Container[str]) -> Command | None:
    """The command that a line is, `::name ...::data` or the older `##[name ...]data`; None for plain text, which a
    command of an unknown name is too."""
    text = line.lstrip()
    if text.startswith("::") and (end := text.find("::", 2)) > 0:
        return _made(text[2:end], text[end + 2 :], ",", known, _IN_PROPERTY, _IN_DATA)
    start = line.find("##[")
    if start >= 0 and (end := line.find("]", start)) > 0:
        return _made(line[start + 3 : end], line[end + 1 :], ";", known, _IN_OLD_FORM, _IN_OLD_FORM)
    return None


_Escapes = tuple[tuple[str, str], ...]


def _made(
    head: str, data: str, comma: str, known: Container[str], in_property: _Escapes, in_data: _Escapes
) -> Command | None:
    name, _, rest = head.strip().partition(" ")
    if name.lower() not in known:
        return None
    pairs = (pair.strip().partition("=") for pair in rest.split(comma))
    properties = {key.lower(): _unescaped(value, in_property) for key, _, value in pairs if key and value}
    return Command(name.lower(), _unescaped(data, in_data), properties)


def _unescaped(text: str, escapes: _Escapes) -> str:
    for escaped, plain in escapes:
        text = text.replace(escaped, plain)
    return text


Show = Callable[[list[str]], None]
Annotate = Callable[[Level, Command], None]


class Listener:
    """Hears one step: does what its commands say and passes on what is to be shown."""

    def __init__(self, show: Show, annotate: Annotate, masks: Masks, *, debug: bool) -> None:
        self._show = show
        self._annotate = annotate
        self._masks = masks
        self._debug = debug
        self._resume = ""
        """The word that ends a pause of all commands; '' while they are obeyed."""
        self.echo = False
        """Commands are shown as well."""
        self.outputs: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.errors: list[str] = []
        """Why the step fails, whatever its exit status; not shown here."""

    def hear(self, lines: list[str]) -> None:
        shown: list[str] = []
        for line in lines:
            shown += self._heard(line)
        self._show(shown)

    def _heard(self, line: str) -> list[str]:
        """What to show for it."""
        if self._resume:
            command = parse(line, (self._resume.lower(),))
            self._resume = "" if command else self._resume
            return [] if command else [line]
        command = parse(line, _KNOWN)
        if command is None:
            return [line]
        echoed = [line] if self.echo and command.name in _ECHOED else []
        return echoed + self._obeyed(command).splitlines()

    def _obeyed(self, command: Command) -> str:
        name, data = command.name, command.data
        if name in _ANNOTATIONS:
            command = replace(command, properties=placed(command.properties))
            self._annotate(_ANNOTATIONS[name], command)
            return _annotation(name.capitalize(), command)
        if name in _DISABLED:
            return self._refused(f"The `{name}` command is disabled. Write to the file {_DISABLED[name]} instead.")
        match name:
            case "add-mask":
                self._masks.add(data)
            case "debug":
                return f"Debug: {data}" if self._debug else ""
            case "echo" if data.strip().lower() not in ("on", "off"):
                return self._refused("Invalid echo command value. Possible values can be: 'on', 'off'.")
            case "echo":
                self.echo = data.strip().lower() == "on"
            case "group":
                return f"Group: {data}"
            case "set-output" | "save-state" if not command.properties.get("name"):
                return self._refused(f"Required field 'name' is missing in ##[{name}] command.")
            case "set-output":
                self.outputs[command.properties["name"]] = data
            case "save-state":
                self.state[command.properties["name"]] = data
            case "stop-commands" if not data or data.lower() in _KNOWN:
                return self._refused("Invalid stop token. You can't use a token that is empty or a command's name.")
            case "stop-commands":
                self._resume = data
        return ""

    def _refused(self, error: str) -> str:
        self.errors.append(error)
        return ""


def placed(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties of an annotation with a place that makes sense: the end stands for a beginning that is missing,
    columns count within one line only, and an end before its beginning is no place."""
    told = dict(properties)
    for first, last in (("line", "endline"), ("col", "endcolumn")):
        numbers = {key: told[key] for key in (first, last) if key in told}
        if not all(_NUMBER.fullmatch(number) for number in numbers.values()):
            _drop(told, first, last)
        elif last in numbers:
            told.setdefault(first, told[last])
            if int(told[last]) < int(told[first]):
                _drop(told, first, last)
    if "line" not in told or told.get("endline", told["line"]) != told["line"]:
        _drop(told, "col", "endcolumn")
    return told


def _drop(told: dict[str, str], *keys: str) -> None:
    for key in keys:
        told.pop(key, None)


def _annotation(word: str, command: Command) -> str:
    """`Error: a.py:3: title: message`, as far as each is there."""
    place = ":".join(part for key in ("file", "line", "col") if (part := command.properties.get(key)))
    return ": ".join(part for part in (word, place, command.properties.get("title"), command.data) if part)
