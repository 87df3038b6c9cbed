"""What people set at this peer, checked and sealed before anything is kept: secrets, and credentials of remotes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import structlog
import trio

from clockmesh.coordinator.inputs import SecretRemoveWanted, SecretWanted
from clockmesh.daemon.cli_remote import read_remote_file
from clockmesh.daemon.errors import TooLarge, UsageError
from clockmesh.daemon.member import Member
from clockmesh.daemon.sealing import seal
from clockmesh.daemon.vault import SecretView
from clockmesh.protocol.limits import MAX_SECRET_BYTES, MAX_SECRET_WORKFLOW, MAX_SECRET_WORKFLOWS, MAX_URL
from clockmesh.protocol.plan import Plan
from clockmesh.protocol.secrets import SECRET_NAME, Kind
from clockmesh.protocol.wire import clean_line
from clockmesh.runner.bundle import read_workflow
from clockmesh.runner.errors import quoted
from clockmesh.runner.git import login_for
from clockmesh.runner.named_secrets import named_secrets
from clockmesh.runner.remotes import CREDENTIALS_IN_URL, bare, holds_credentials, read_credential, remote_name

log = structlog.get_logger()


class Keeping:
    """What one peer's people may do about secrets and remotes. What it accepts is durable when it returns; no error
    repeats a value."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def set_secret(self, name: str, workflows: list[str], value: str) -> str:
        """Seal `value` to every member, for jobs of these workflows (of all, for none); the name as it stands.
        UsageError, TooLarge; the coordinator's Refused."""
        known = secret_name(name)
        await self._keep(Kind.SECRET, known, _workflows(workflows), _checked(value))
        return known

    async def add_remote(self, url: str, credential: str) -> str:
        """Seal a token, or `user:password`, for the git repositories at this URL and below; the name it stands under.
        As `set_secret`."""
        name = _remote(url)
        text = _checked(credential)
        if any(character.isspace() or not character.isprintable() for character in text) or text.endswith(":"):
            raise UsageError("the credentials are one line, a token or user:password, without spaces")
        await self._keep(Kind.REMOTE, name, (), text)
        return name

    async def remove(self, kind: Kind, name: str) -> str:
        """The coordinator's NotFound."""
        known = secret_name(name) if kind is Kind.SECRET else _remote(name)
        await self._member.request(lambda token: SecretRemoveWanted(token, kind, known))
        log.info("secret_removed", kind=kind.value, name=known)
        return known

    def views(self, kind: Kind) -> list[SecretView]:
        """By name; no values."""
        return self._member.vault.views(kind)

    def unset(self, plan: Plan, workflow: bytes) -> list[str]:
        """Secrets that a workflow, of which this is the plan, names and cannot have. WorkflowError."""
        if plan.workflow is None and workflow:  # of a remote, whose plan knows no name yet
            plan = replace(plan, name=read_workflow(workflow, plan.path).name or plan.name)
        return self._member.vault.missing(plan, named_secrets(workflow, plan.path))

    async def read_remote(self, url: str, ref: str, path: str) -> bytes:
        """A workflow out of a repository, fetched with the mesh's credentials for it. UsageError; Trouble with git's
        words."""
        refuse_credentials(url)
        credential = self._member.vault.credential(url)
        login = login_for(url, read_credential(credential)) if credential else None
        fetching = partial(read_remote_file, url, ref, path, login)
        return await trio.to_thread.run_sync(fetching, abandon_on_cancel=True)  # type: ignore[call-arg]  # the stubs have its former name

    async def _keep(self, kind: Kind, name: str, workflows: tuple[str, ...], value: str) -> None:
        sealed = seal(value.encode(), kind, name, workflows, self._member.machine.members)
        await self._member.request(lambda token: SecretWanted(token, kind, name, workflows, sealed))
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
        raise UsageError(CREDENTIALS_IN_URL.format(url=quoted(bare(url), 200)))


def _remote(url: str) -> str:
    refuse_credentials(url)
    name = remote_name(url)
    if not name or len(name) > MAX_URL or clean_line(name, MAX_URL) != name:
        raise UsageError(f"'{quoted(url, 200)}' is no http or https URL; for others the peers have means of their own, "
                         "such as ssh keys")
    return name
