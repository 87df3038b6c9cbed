"""<home>/config.yml: what the owner set. Every key is optional; an unknown one is refused with its line.

    name: nuc
    slots: 2
    labels: [gpu, tool:ffmpeg]
    listen: 0.0.0.0:4001
    sandbox: bubblewrap
    sandbox_paths: [/srv/results, /srv/models:ro]
    limits:
      reserve: 32MiB
      job_tmp: 512MiB
      job_processes: 500
      job_memory: 4GiB
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import yaml

from clockmesh.daemon.errors import ConfigurationError, UsageError
from clockmesh.daemon.reserve import DEFAULT_RESERVE, MIB
from clockmesh.runner.sandbox import HOME, MAX_PROCESSES, Extra, Sandbox

DEFAULT_HOST = "0.0.0.0"
"""Every address of the machine: peers on other machines must reach it."""
DEFAULT_SANDBOX = "bubblewrap"
MAX_SLOTS = 256
"""Far above what one machine runs; each slot weighs in the ranks."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LABEL = re.compile(r"[a-z0-9][a-z0-9._:+-]{0,62}")
_MAX_BYTES = 65_536
_LEAST_PROCESSES = 16
"""With fewer a shell that runs a pipeline or two does not get far."""
_SANDBOXES = ("bubblewrap", "none")
_NO_EXTRAS = ("dev", "proc", "sys")
"""Top folders that a sandbox has its own of, or all of."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where this peer is reached over TCP."""

    host: str
    port: int
    """0: a free one is chosen, once."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """What config.yml says; None where it says nothing."""

    name: str | None = None
    slots: int | None = None
    labels: tuple[str, ...] = ()
    listen: Listen | None = None
    sandbox: str | None = None
    sandbox_paths: tuple[Extra, ...] = ()
    reserve: int = DEFAULT_RESERVE
    """Bytes of the disk that are kept for votes and results."""
    job_tmp: int = 0
    job_processes: int = MAX_PROCESSES
    job_memory: int = 0

    @property
    def jobs_sandbox(self) -> Sandbox:
        """What jobs run in."""
        on = (self.sandbox or DEFAULT_SANDBOX) != "none"
        return Sandbox(on, self.sandbox_paths, self.job_tmp, self.job_processes, self.job_memory)


def read_config(path: Path) -> Config:
    """The configuration in `path`, empty when there is no such file. ConfigurationError `file:line: ...` for what it
    does not know or cannot use."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise ConfigurationError(f"{path}: larger than {_MAX_BYTES} bytes")
    try:
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(_yaml_error(path, error)) from error
    if root is None:
        return Config()
    return Config(**_read(path, root, _KEYS))  # type: ignore[arg-type]  # each reader gives its field's type


def choose_sandbox(path: Path, sandbox: str) -> None:
    """Write the owner's choice into `path`, where it says nothing of it yet. ConfigurationError where it says
    otherwise, or cannot be used."""
    said = read_config(path).sandbox
    if said is None:
        try:
            with path.open("a+", encoding="utf-8") as file:
                file.seek(0)
                before = file.read()
                file.write(("" if before.endswith("\n") or not before else "\n") + f"sandbox: {sandbox}\n")
        except OSError as error:
            raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    elif said != sandbox:
        raise ConfigurationError(f"{path} says `sandbox: {said}` already; change it there")


def check_name(name: str) -> str:
    """`name` where a peer may be called so, else UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"a peer cannot be called {name!r}: letters, digits, '.', '_' and '-', at most 63, not "
                         "beginning with a sign")
    return name


def check_slots(slots: int) -> int:
    if not 0 <= slots <= MAX_SLOTS:
        raise UsageError(f"slots is {slots}; give 0 (votes, runs nothing) to {MAX_SLOTS}")
    return slots


def parse_listen(text: str) -> Listen:
    """`HOST:PORT`, `HOST` or `:PORT` (the host an IP address, IPv6 in brackets), else UsageError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]*))(?::(\d{1,5}))?", text)
    if not match or not text or int(match[3] or 0) > 65_535:
        raise UsageError(f"cannot listen at {text!r}: give an IP address and a port, such as 0.0.0.0:4001 or "
                         "[::]:4001")
    return Listen(match[1] or match[2] or DEFAULT_HOST, int(match[3] or 0))


def _read(path: Path, node: yaml.Node, keys: Keys) -> dict[str, object]:
    """What stands under each of these keys; `limits` has keys of its own, and gives theirs."""
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError(f"{_at(path, node)}: expected `key: value` lines")
    found: dict[str, object] = {}
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        if key not in keys:
            close = get_close_matches(key, keys, 1)
            hint = f"did you mean '{close[0]}'?" if close else "the keys are " + ", ".join(keys)
            raise ConfigurationError(f"{_at(path, key_node)}: unknown key '{key}'; {hint}")
        if key in seen:
            raise ConfigurationError(f"{_at(path, key_node)}: '{key}' stands twice")
        seen.add(key)
        if key == "limits":
            found.update(_read(path, value_node, _LIMITS))
            continue
        try:
            found[key] = keys[key](value_node, path.parent)
        except (UsageError, ValueError) as error:
            raise ConfigurationError(f"{_at(path, value_node)}: {key}: {error}") from error
    return found


def _text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("expected a single value")
    return str(node.value)


def _name(node: yaml.Node, _: Path) -> str:
    return check_name(_text(node))


def _slots(node: yaml.Node, _: Path) -> int:
    text = _text(node)
    if not re.fullmatch(r"\d{1,6}", text):
        raise ValueError(f"expected a whole number, not {text!r}")
    return check_slots(int(text))


def _labels(node: yaml.Node, _: Path) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise ValueError("expected a list, such as [gpu, tool:ffmpeg]")
    labels = {_text(item).lower() for item in node.value}
    for label in sorted(labels):
        if not _LABEL.fullmatch(label):
            raise ValueError(f"{label!r} is no label: letters, digits and . _ : + -")
    return tuple(sorted(labels))


def _listen(node: yaml.Node, _: Path) -> Listen:
    return parse_listen(_text(node))


def _sandbox(node: yaml.Node, _: Path) -> str:
    text = _text(node)
    if text not in _SANDBOXES:
        raise ValueError(f"expected {' or '.join(_SANDBOXES)}, not {text!r}")
    return text


def _sandbox_paths(node: yaml.Node, home: Path) -> tuple[Extra, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise ValueError("expected a list of folders, such as [/srv/results, /srv/models:ro]")
    return tuple(_extra(_text(item), home) for item in node.value)


def _extra(text: str, home: Path) -> Extra:
    name = text.removesuffix(":ro")
    path = Path(name)
    if not path.is_absolute() or ".." in path.parts or not name.isprintable() or len(path.parts) < 2:
        raise ValueError(f"{text!r} is not the full path of a folder")
    real, own = Path(os.path.realpath(path)), Path(os.path.realpath(home))
    if real.is_relative_to(own) or own.is_relative_to(real):
        raise ValueError(f"{text!r} would show jobs the peer's own home {home}")
    if path.parts[1] in _NO_EXTRAS or HOME.is_relative_to(path):
        raise ValueError(f"{text!r} cannot be shown to jobs: a sandbox has its own")
    return Extra(str(path), writable=name == text)


def _size(node: yaml.Node, _: Path) -> int:
    match = re.fullmatch(r"(\d{1,6}) ?(MiB|GiB)", _text(node))
    size = int(match[1]) * MIB * (1024 if match[2] == "GiB" else 1) if match else 0
    if size == 0:
        raise ValueError(f"expected a size from 1MiB on, such as {DEFAULT_RESERVE // MIB}MiB, not {_text(node)!r}")
    return size


def _processes(node: yaml.Node, _: Path) -> int:
    text = _text(node)
    if not re.fullmatch(r"\d{1,6}", text) or int(text) < _LEAST_PROCESSES:
        raise ValueError(f"expected a number from {_LEAST_PROCESSES} on, not {text!r}")
    return int(text)


Keys = Mapping[str, Callable[[yaml.Node, Path], object]]
_LIMITS: Keys = {"reserve": _size, "job_tmp": _size, "job_processes": _processes, "job_memory": _size}
_KEYS: Keys = {
    "name": _name,
    "slots": _slots,
    "labels": _labels,
    "listen": _listen,
    "sandbox": _sandbox,
    "sandbox_paths": _sandbox_paths,
    "limits": lambda node, _: _text(node),  # a table of its own: see `_read`
}


def _at(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"


def _yaml_error(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{path}:{mark.line + 1}" if mark else str(path)
    return f"{place}: not YAML: {getattr(error, 'problem', None) or 'unreadable'}"
