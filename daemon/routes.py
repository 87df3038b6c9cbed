"""The one table of verbs: what the control API answers and what the command offers, each line both.

The server takes its handlers by `name` (see `handlers`), the command its help and examples. Imported by every run of
the command, so this is data and nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Verb:
    """One thing that can be asked for."""

    __slots__ = ("example", "help", "method", "name", "path", "words")

    def __init__(self, name: str, method: str, path: str, help_: str, words: str = "", example: str = "") -> None:
        self.name = name
        """What the handlers know it by."""
        self.method = method
        """'' for what the command does without asking the daemon."""
        self.path = path
        """`{run}` stands for a run's id or a prefix of it, `{schedule}` for a schedule's name or id."""
        self.help = help_
        self.words = words
        """How the command spells it: `run submit`; '' for what only programs ask for."""
        self.example = example


VERBS = (
    Verb("init", "POST", "/v1/init", "found a mesh with this peer as its first",
         "init", "clockmesh init --name alpha"),
    Verb("invite", "POST", "/v1/invitations", "print a line that lets one machine join",
         "invite", "clockmesh invite --ttl 30m"),
    Verb("join", "POST", "/v1/join", "join a mesh by the line that `invite` printed there",
         "join", "clockmesh join clockmesh-invite-1-... --name beta"),
    Verb("submit", "POST", "/v1/runs", "submit a workflow file",
         "run submit", "clockmesh run submit .github/workflows/scrape.yml --follow"),
    Verb("list", "GET", "/v1/runs", "list the runs, newest first",
         "run list", "clockmesh run list --limit 5"),
    Verb("show", "GET", "/v1/runs/{run}", "show a run's jobs, their peers and outputs",
         "run show", "clockmesh run show 3f9a1c"),
    Verb("logs", "GET", "/v1/runs/{run}/logs", "print the log of a run's jobs, from whichever peer has it",
         "run logs", "clockmesh run logs 3f9a1c --job build -f"),
    Verb("wait", "GET", "/v1/runs/{run}/wait", "wait for a run's end; exits as the run did",
         "run wait", "clockmesh run wait 3f9a1c --timeout 600"),
    Verb("cancel", "POST", "/v1/runs/{run}/cancel", "ask for a run's end",
         "run cancel", "clockmesh run cancel 3f9a1c"),
    Verb("rerun", "POST", "/v1/runs/{run}/rerun", "run it again, as a new run",
         "run rerun", "clockmesh run rerun 3f9a1c"),
    Verb("local", "", "", "run a workflow file on this machine, without a mesh",
         "run local", "clockmesh run local .github/workflows/test.yml --job build"),
    Verb("lint", "", "", "tell all that is wrong or suspicious in workflow files",
         "lint", "clockmesh lint .github/workflows/*.yml"),
    Verb("schedule_add", "POST", "/v1/schedules", "run a workflow at the times of its `on.schedule`",
         "schedule add", "clockmesh schedule add .github/workflows/scrape.yml --catch-up last"),
    Verb("schedule_list", "GET", "/v1/schedules", "list the schedules, their next and last ticks",
         "schedule list", "clockmesh schedule list"),
    Verb("schedule_trigger", "POST", "/v1/schedules/{schedule}/trigger", "run a schedule's workflow now",
         "schedule trigger", "clockmesh schedule trigger scrape"),
    Verb("schedule_backfill", "POST", "/v1/schedules/{schedule}/backfill", "run the ticks that it missed",
         "schedule backfill", "clockmesh schedule backfill scrape --since 6h"),
    Verb("schedule_pause", "POST", "/v1/schedules/{schedule}/pause", "make no ticks until it is resumed",
         "schedule pause", "clockmesh schedule pause scrape"),
    Verb("schedule_resume", "POST", "/v1/schedules/{schedule}/resume", "make ticks again, from now on",
         "schedule resume", "clockmesh schedule resume scrape"),
    Verb("schedule_remove", "POST", "/v1/schedules/{schedule}/remove", "end a schedule; its runs stay",
         "schedule remove", "clockmesh schedule remove scrape"),
    Verb("schedule_rescue", "POST", "/v1/schedules/{schedule}/rescue",
         "begin a schedule anew when most of its electorate is gone",
         "schedule rescue", "clockmesh schedule rescue scrape --abandon"),
    Verb("secret_set", "POST", "/v1/secrets", "set a secret, its value read from standard input or a file",
         "secret set", "clockmesh secret set TOKEN --workflow Scrape --file token.txt"),
    Verb("secret_list", "GET", "/v1/secrets", "list the secrets, never their values",
         "secret list", "clockmesh secret list"),
    Verb("secret_remove", "POST", "/v1/secrets/remove", "remove a secret; change it where it is good, too",
         "secret remove", "clockmesh secret remove TOKEN"),
    Verb("remote_add", "POST", "/v1/remotes", "give credentials for a git URL, a token or user:password",
         "remote add", "clockmesh remote add https://example.org/me/prices.git --file token.txt"),
    Verb("remote_list", "GET", "/v1/remotes", "list the remotes with credentials",
         "remote list", "clockmesh remote list"),
    Verb("remote_remove", "POST", "/v1/remotes/remove", "remove the credentials for a git URL",
         "remote remove", "clockmesh remote remove https://example.org/me/prices.git"),
    Verb("peers", "GET", "/v1/peers", "list the peers of the mesh",
         "peer list", "clockmesh peer list"),
    Verb("status", "GET", "/v1/status", "show this peer, its mesh and its clock",
         "status", "clockmesh status --json"),
    Verb("why", "GET", "/v1/runs/{run}/why", "tell why a run is where it is",
         "why", "clockmesh why 3f9a1c"),
    Verb("version", "", "", "print the version",
         "version", "clockmesh version"),
    Verb("remote_read", "POST", "/v1/remotes/read", "read a workflow out of a git repository"),
    Verb("summary", "GET", "/v1/runs/{run}/summary", "read a run's step summaries"),
    Verb("p2p", "", "", "the commands of ipfs-kit p2p: workflow, peer, stats",
         "p2p", "clockmesh p2p workflow submit .github/workflows/scrape.yml"),
    Verb("mcp", "", "", "serve MCP tools over standard input and output",
         "mcp", "clockmesh mcp"),
    Verb("external_take", "POST", "/v1/external", "take external jobs that this peer holds"),
    Verb("external_beat", "POST", "/v1/external/beat", "say that a program executing external jobs lives"),
    Verb("external_end", "POST", "/v1/external/end", "tell what came of an external job"),
    Verb("workflows", "GET", "/v1/workflows", "the runs as the Python API shows them"),
    Verb("workflow", "GET", "/v1/workflows/{run}", "a run as the Python API shows it"),
    Verb("events", "GET", "/v1/runs/{run}/events", "follow a run's changes and log lines until its end"),
    Verb("put_blob", "PUT", "/v1/blobs", "store content under its hash"),
)


def spelled(words: str) -> Verb | None:
    """The verb that the command spells so."""
    return next((verb for verb in VERBS if verb.words and verb.words == words), None)


def find(method: str, path: str) -> tuple[Verb, str] | None:
    """The verb asked for, and what its path names ('' where it names nothing); None when nothing is there."""
    for verb, named in _at(path):
        if verb.method == method:
            return verb, named
    return None


def methods_at(path: str) -> list[str]:
    """What may be asked at this path; empty when there is no such path."""
    return sorted({verb.method for verb, _ in _at(path)})


def _at(path: str) -> Iterator[tuple[Verb, str]]:
    parts = path.split("/")
    for verb in VERBS:
        pattern = verb.path.split("/")
        if not verb.path or len(pattern) != len(parts):
            continue
        if all((want == part or want[:1] == "{") and part for want, part in zip(pattern[1:], parts[1:], strict=True)):
            yield verb, next((part for want, part in zip(pattern, parts, strict=True) if want[:1] == "{"), "")
