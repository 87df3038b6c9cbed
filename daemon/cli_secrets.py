"""The verbs about secrets and remotes: set or add, list, remove. A value comes from standard input or a file."""

from __future__ import annotations

import sys
import time

from clockmesh.daemon.cli_output import colour, note, print_json, say, width
from clockmesh.daemon.client import Client
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.text import age, clean, moment, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from clockmesh.daemon.cli_arguments import Asked

_MOST_BYTES = 48 * 1024
"""As limits.MAX_SECRET_BYTES, without its import."""


def secret_set_verb(asked: Asked) -> int:
    options = asked.options
    value = _value(asked, f"Value of {options.name}: ")
    body = {"name": options.name, "workflows": options.workflows, "value": value}
    told = Client(asked.home).post("/v1/secrets", body)
    if asked.json:
        print_json(told)
        return Exit.OK
    whom = ", ".join(map(clean, told["workflows"])) or "all workflows"
    say(f"secret {told['name']} is set for {whom}, sealed to {', '.join(map(clean, told['opened_by']))}")
    return Exit.OK


def remote_add_verb(asked: Asked) -> int:
    value = _value(asked, "Token, or user:password: ")
    told = Client(asked.home).post("/v1/remotes", {"url": asked.options.url, "credential": value})
    if asked.json:
        print_json(told)
        return Exit.OK
    if told["url"].startswith("http://"):
        note("http sends the credentials in clear; where the server has https, add that URL")
    say(f"{clean(told['url'])} has credentials, sealed to {', '.join(map(clean, told['opened_by']))}")
    return Exit.OK


def secret_remove_verb(asked: Asked) -> int:
    told = Client(asked.home).post("/v1/secrets/remove", {"name": asked.options.name})
    return _removed(asked, told, f"secret {told['name']}")


def remote_remove_verb(asked: Asked) -> int:
    told = Client(asked.home).post("/v1/remotes/remove", {"url": asked.options.url})
    return _removed(asked, told, f"the credentials for {clean(told['url'])}")


def _removed(asked: Asked, told: dict[str, Any], what: str) -> int:
    if asked.json:
        print_json(told)
    else:
        say(f"{what}: removed. Members have seen the value: change it where it is good")
    return Exit.OK


def secret_list_verb(asked: Asked) -> int:
    told = Client(asked.home).get("/v1/secrets")
    if not asked.json and told["secrets"]:
        rows = [(each["name"], ", ".join(each["workflows"]) or "all", *_when_and_who(each)) for each in told["secrets"]]
        say(table(("SECRET", "WORKFLOWS", "SET", "BY", "OPENED BY"), rows, width(), colour(), (1, 4)))
        return Exit.OK
    return _listed(asked, told, f"no secrets yet; set one: {asked.command('secret set NAME')}")


def remote_list_verb(asked: Asked) -> int:
    told = Client(asked.home).get("/v1/remotes")
    if not asked.json and told["remotes"]:
        rows = [(each["url"], *_when_and_who(each)) for each in told["remotes"]]
        say(table(("REMOTE", "SET", "BY", "OPENED BY"), rows, width(), colour(), (0, 3)))
        return Exit.OK
    return _listed(asked, told, f"no remotes with credentials; give some: {asked.command('remote add URL')}")


def _listed(asked: Asked, told: dict[str, Any], nothing: str) -> int:
    if asked.json:
        print_json(told)
    else:
        say(nothing)
    return Exit.OK


def _when_and_who(each: dict[str, Any]) -> tuple[str, str, str]:
    at = each["set_at"]
    passed = "now" if at is None else age(time.time() - moment(at))
    openers = "all" if each["opened_by_all"] else ", ".join(each["opened_by"])
    return passed if passed == "now" else f"{passed} ago", each["set_by"], openers


def _value(asked: Asked, prompt: str) -> str:
    """Without the line feed at its end, as `gh` reads it. No error repeats a part of it."""
    options = asked.options
    if options.file is None and sys.stdin is not None and sys.stdin.isatty():
        import getpass

        return getpass.getpass(prompt)
    data = _read(options.file)
    if len(data) > _MOST_BYTES + 2:
        raise _bad(f"the value is larger than {_MOST_BYTES >> 10} KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _bad("the value is not UTF-8; encode it, as with base64") from None
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _read(file: str | None) -> bytes:
    try:
        if file is None:
            return sys.stdin.buffer.read(_MOST_BYTES + 3) if sys.stdin is not None else b""
        with open(file, "rb") as stream:
            return stream.read(_MOST_BYTES + 3)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _bad(f"{file or 'standard input'}: cannot be read: {reason}") from None


def _bad(message: str) -> Trouble:
    return Trouble(Exit.USAGE, "bad_value", message)
