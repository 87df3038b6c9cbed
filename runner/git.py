"""Git as a job's built-in steps use it: bounded in what it may speak, never asking, stopped like any command."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clockmesh.runner.errors import RunnerError
from clockmesh.runner.process import Command, Ended, How, Processes
from clockmesh.runner.remotes import Credential, bare, remote_name

_PROTOCOLS = "file:git:http:https:ssh"
"""Not `ext`, which runs a command that the URL names."""

_UNREAD = "Could not read from remote repository"
"""What git says last when its transport (ssh) failed, which has said why itself."""

_UNKNOWN_USER = ("could not read Username", "could not read Password", "Authentication failed", "error: 40")
"""Words of git where a server wants to know who asks."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials for the repositories at one http(s) URL and below. Never part of a command line."""

    url: str
    credential: Credential

    @property
    def environment(self) -> dict[str, str]:
        """Makes git send them; whatever a configuration says to send there is not sent."""
        key = f"http.{self.url}.extraheader"
        pairs = ((key, ""), (key, self.credential.header))
        told = {"GIT_CONFIG_COUNT": str(len(pairs))}
        for number, (name, value) in enumerate(pairs):
            told |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return told

    def leave(self, folder: Path) -> None:
        """Write them into the configuration of the work tree in `folder`, for git commands of later steps: written
        into the file, since a command line is seen by every process."""
        config = folder / ".git" / "config"
        url = self.url.replace("\\", "\\\\").replace('"', '\\"')
        with config.open("a") as file:
            file.write(f'[http "{url}"]\n\textraheader =\n\textraheader = {self.credential.header}\n')


def login_for(url: str, credential: Credential | None) -> Login | None:
    """None where there are no credentials, or the URL is not one of http."""
    return Login(bare(url), credential) if credential is not None and remote_name(url) else None


class GitError(RunnerError):
    """Git failed; one line, git's own reason in it."""


class Interrupted(RunnerError):
    """A command of a built-in step was stopped. `how`: by a cancel or a time limit."""

    def __init__(self, ended: Ended) -> None:
        self.how: How = ended.how
        super().__init__(f"stopped: {ended.how.value}")


class Git:
    """Runs git commands of one step. What is printed goes to the log, unless it is asked for."""

    def __init__(
        self,
        processes: Processes,
        say: Say,
        env: Mapping[str, str],
        *,
        timeout: float = float("inf"),
        survives_cancel: Callable[[], bool] = lambda: False,
        url: str = "",
        login: Login | None = None,
    ) -> None:
        """GitError when git is not installed. `timeout` seconds from now are for all commands together. `url`: of the
        repository, for errors. `login`: what to show a server that asks."""
        self._processes = processes
        self._say = say
        self._env = {
            **env,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "LC_ALL": "C.UTF-8",
            **(login.environment if login else {}),
        }
        self._signs_in = login is not None
        self._url = url
        self._until = time.monotonic() + timeout
        self._survives_cancel = survives_cancel
        program = shutil.which("git", path=env.get("PATH"))
        if program is None:
            raise GitError("git is not installed on this peer, or not in the PATH of its daemon")
        self._program = program

    def run(self, folder: Path, *arguments: str) -> None:
        """Show and run it in `folder`. GitError when it fails, Interrupted when it was stopped."""
        self._say("[command]" + without_password(" ".join(["git", *arguments])))
        self._run(folder, arguments, tell=True)

    def lines(self, folder: Path, *arguments: str) -> list[str]:
        """The lines that it prints, not logged."""
        return self._run(folder, arguments, tell=False)

    def into(self, file: Path, folder: Path, *arguments: str) -> None:
        """Its standard output, byte by byte, in a file."""
        self._run(folder, arguments, tell=False, stdout=file)

    def _run(
        self, folder: Path, arguments: tuple[str, ...], *, tell: bool, stdout: Path | None = None
    ) -> list[str]:
        printed: list[str] = []

        def hear(lines: list[str]) -> None:
            printed.extend(lines)
            if tell:
                for line in lines:
                    self._say(without_password(line.rpartition("\r")[2]))  # of a progress line only what it came to

        ended = self._processes.run(
            Command([self._program, *arguments], folder, self._env, stdout),
            hear,
            timeout=max(0.0, self._until - time.monotonic()),
            survives_cancel=self._survives_cancel,
        )
        if ended.how is not How.ITSELF:
            raise Interrupted(ended)
        if ended.code:
            reason = without_password(_reason(printed, ended.code))
            raise GitError(f"git {arguments[0]} failed: {reason}{advice(reason, self._url, known=self._signs_in)}")
        return printed


def advice(reason: str, url: str, *, known: bool) -> str:
    """The rest of an error: what to do where a server wants to know who asks; `known`: it was shown credentials."""
    if not any(words in reason for words in _UNKNOWN_USER):
        return ""
    what = "refuses the mesh's; set others" if known else "the mesh has none for it; set some"
    return f". The repository asks for credentials and {what}: clockmesh remote add {bare(url) or 'URL'}"


def without_password(text: str) -> str:
    """Text with the passwords of the URLs in it left out: logs are read by every peer."""
    return re.sub(r"([a-z][a-z0-9+.-]*://[^\s/@:]*):[^\s/@]+@", r"\1@", text, flags=re.IGNORECASE)


def _reason(printed: list[str], code: int) -> str:
    """What says most: the first line of git's `fatal:`, or of a server's `error:`, or the last line. Where that is but
    the end or the beginning of it, what stands beside it."""
    said = [line.strip() for line in printed if line.strip()]
    for mark in ("fatal: ", "error: "):
        for number, line in enumerate(said):
            if line.startswith(mark):
                reason = line.removeprefix(mark)
                if reason.startswith(_UNREAD) and number:
                    return said[number - 1]
                return " ".join([reason, *said[number + 1 : number + 2]]) if reason.endswith(":") else reason
    return said[-1] if said else f"exit status {code}"
