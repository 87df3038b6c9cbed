"""What people set at this peer, checked and sealed before anything is kept: secrets, and credentials of remotes."""

from __future__ import annotations

import structlog

from clockmesh.coordinator.inputs import SecretRemoveWanted, SecretWanted
from clockmesh.daemon.errors import TooLarge, UsageError
from clockmesh.daemon.member import Member
from clockmesh.daemon.sealing import seal
from clockmesh.protocol.limits import MAX_SECRET_BYTES, MAX_SECRET_WORKFLOW, MAX_SECRET_WORKFLOWS, MAX_URL
from clockmesh.protocol.secrets import SECRET_NAME, Kind
from clockmesh.protocol.wire import clean_line
from clockmesh.runner.errors import quoted
from clockmesh.runner.remotes import bare, holds_credentials, remote_name

log = structlog.get_logger()


async def set_secret(member: Member, name: str, workflows: list[str], value: str) -> str:
    """Durable when it returns, with the name as it stands. UsageError, TooLarge; no error repeats a value."""
    known = secret_name(name)
    await _keep(member, Kind.SECRET, known, _workflows(workflows), _checked(value))
    return known


async def add_remote(member: Member, url: str, credential: str) -> str:
    """Durable when it returns, with the name that it stands under. UsageError, TooLarge."""
    name = _remote(url)
    text = _checked(credential)
    if any(character.isspace() or not character.isprintable() for character in text) or text.endswith(":"):
        raise UsageError("the credentials are one line, a token or user:password, without spaces")
    await _keep(member, Kind.REMOTE, name, (), text)
    return name


async def remove(member: Member, kind: Kind, name: str) -> str:
    """Durable when it returns. The coordinator's NotFound."""
    known = secret_name(name) if kind is Kind.SECRET else _remote(name)
    await member.request(lambda token: SecretRemoveWanted(token, kind, known))
    log.info("secret_removed", kind=kind.value, name=known)
    return known


async def _keep(member: Member, kind: Kind, name: str, workflows: tuple[str, ...], value: str) -> None:
    sealed = seal(value.encode(), kind, name, workflows, member.machine.members)
    await member.request(lambda token: SecretWanted(token, kind, name, workflows, sealed))
    log.info("secret_set", kind=kind.value, name=name, workflows=list(workflows))


def secret_name(name: str) -> str:
    """In upper case. UsageError for what GitHub refuses."""
    known = name.strip().upper()
    if not SECRET_NAME.fullmatch(known):
        raise UsageError("a secret's name is of letters, digits and _, up to 128 of them; it begins with no digit and "
                         "not with GITHUB_")
    return known


def _workflows(workflows: list[str]) -> tuple[str, ...]:
    found = sorted({workflow.strip() for workflow in workflows})
    for workflow in found:
        if not workflow or clean_line(workflow, MAX_SECRET_WORKFLOW) != workflow:
            raise UsageError(f"'{quoted(workflow)}' is no workflow's name or file, which is one line of up to "
                             f"{MAX_SECRET_WORKFLOW} characters")
    if len(found) > MAX_SECRET_WORKFLOWS:
        raise UsageError(f"{len(found)} workflows are above {MAX_SECRET_WORKFLOWS}; leave --workflow out for all")
    return tuple(found)


def _checked(value: str) -> str:
    if not value:
        raise UsageError("the value is empty; give it on standard input or with --file F")
    if "\0" in value:
        raise UsageError("the value has a zero byte, which no environment variable can have; encode it, as with base64")
    if value != (data := value.encode(errors="replace")).decode():
        raise UsageError("the value is not UTF-8; encode it, as with base64")
    if (size := len(data)) > MAX_SECRET_BYTES:
        raise TooLarge(f"the value has {size} bytes; a secret may have {MAX_SECRET_BYTES}")
    return value


def refuse_credentials(url: str) -> None:
    """UsageError for a URL that every peer would keep for ever, with the password in it."""
    if holds_credentials(url):
        plain = bare(url)
        raise UsageError(f"the URL holds credentials, which every peer would keep for ever; give {quoted(plain, 200)}, "
                         f"and seal them: clockmesh remote add {quoted(plain, 200)}")


def _remote(url: str) -> str:
    refuse_credentials(url)
    name = remote_name(url)
    if not name or len(name) > MAX_URL or clean_line(name, MAX_URL) != name:
        raise UsageError(f"'{quoted(url, 200)}' is no http or https URL; for others the peers have means of their own, "
                         "such as ssh keys")
    return name
