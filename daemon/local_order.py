"""From the words and files that `run local` was given to what is to be run. RunnerError or Trouble for all that cannot
be; nothing has been started then."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clockmesh.daemon.cli_submit import path_in_repository, read_whole_workflow
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.home import default_home
from clockmesh.daemon.local import Order
from clockmesh.daemon.local_groups import Groups, wanted_of
from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.limits import MAX_BLOB_BYTES
from clockmesh.protocol.plan import Plan
from clockmesh.runner.box import check
from clockmesh.runner.contexts import plan_contexts
from clockmesh.runner.errors import InputError, quoted
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.model import Workflow
from clockmesh.runner.model_sheet import meant
from clockmesh.runner.plan import make_plan, read_workflow, uses_checkout
from clockmesh.runner.sandbox import NO_SANDBOX, Sandbox
from clockmesh.runner.snapshot import describe_tree, make_snapshot
from clockmesh.runner.spec import Given

if TYPE_CHECKING:
    import argparse

_MAX_GIVEN_BYTES = 8 * 1024 * 1024
"""Of a file with secrets, or with an event: GitHub's own events have less than 100 KiB."""
_SECRET = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(=|<<)(.*)")


def read_order(options: argparse.Namespace, folder: Path) -> Order:
    """What is to be run; the work tree, where a job checks it out, is packed into `folder`."""
    content = read_whole_workflow(options.file)
    workflow = read_workflow(content, options.file)
    event = options.event or _default_event(workflow, bool(options.inputs))
    given = Given(
        secrets=read_secrets(options.secret_file) if options.secret_file else {},
        variables=once("--var", options.variables),
        event=_read_event(options.event_file) if options.event_file else None,
    )
    plan = make_plan(
        workflow,
        path=path_in_repository(options.file),
        workflow_blob=manifest_of(content).blob,
        source=describe_tree(Path(options.file)),
        inputs=_inputs(options, event),
        force=True,
        event=event,
        only=_jobs(workflow, options.job),
        given=given,
        alone=True,
    )
    snapshot = _pack(options.file, folder / "snapshot") if uses_checkout(workflow, plan) else ""
    shown = Scope(workflow.file, plan_contexts(workflow, plan, replace(given, secrets={})))
    group = wanted_of(workflow.concurrency, shown)
    groups = _groups(options.file) if b"concurrency" in content else None
    sandbox = _sandbox(folder) if options.sandbox else NO_SANDBOX
    return Order(plan, content, _run_name(workflow, plan, shown), given, snapshot, groups, group, sandbox,
                 "" if sandbox.on else _caches(options.file))  # fmt: skip


def _groups(file: str) -> Groups:
    """Shared by all runs of one user; those of one folder are of one repository."""
    return Groups(_state("clockmesh-groups"), _repository(file))


def _state(name: str) -> Path:
    return default_home({**os.environ, "CLOCKMESH_HOME": ""}).with_name(name)


def _repository(file: str) -> str:
    return os.path.realpath(file).removesuffix(path_in_repository(file))


def _caches(file: str) -> str:
    return str(_state("clockmesh-caches") / hashlib.sha256(_repository(file).encode()).hexdigest()[:24])


def _sandbox(folder: Path) -> Sandbox:
    sandbox = Sandbox()
    if reason := check(sandbox, folder):
        raise Trouble(Exit.CONFIGURATION, "no_sandbox", f"no sandbox can be made here: {reason}; without --sandbox the "
                      "jobs run as you")  # fmt: skip
    return sandbox


def read_secrets(file: str) -> dict[str, str]:
    """`NAME=value` lines, and values of several lines as GITHUB_ENV has them: `NAME<<WORD`, the lines, `WORD`. Empty
    lines and those that begin with `#` say nothing. No error repeats a line, which may be a secret."""
    lines = iter(enumerate(_read(file).splitlines(), 1))
    found: dict[str, str] = {}
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _SECRET.fullmatch(line.strip() if "<<" not in line else line)
        if match is None or (match[2] == "<<" and not match[3]):
            raise _bad(file, number, "this is not NAME=value")
        if match[1].upper() in {name.upper() for name in found}:
            raise _bad(file, number, f"the secret {match[1]} is given twice")
        found[match[1]] = match[3] if match[2] == "=" else _block(lines, file, number, match[3])
    return found


def _block(lines: Iterator[tuple[int, str]], file: str, number: int, word: str) -> str:
    value: list[str] = []
    for _, line in lines:
        if line == word:
            return "\n".join(value)
        value.append(line)
    raise _bad(file, number, "the line that ends this value is missing")


def once(option: str, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The pairs of an option that may be given once for each name."""
    found: dict[str, str] = {}
    for key, value in pairs:
        if key in found:
            raise Trouble(Exit.USAGE, "usage", f"{option} {key} is given twice")
        found[key] = value
    return found


def _default_event(workflow: Workflow, with_inputs: bool) -> str:
    events = workflow.triggers.events
    if with_inputs and "workflow_dispatch" in events:
        return "workflow_dispatch"
    return "push" if "push" in events else events[0]


def _inputs(options: argparse.Namespace, event: str) -> dict[str, str]:
    if options.inputs and event != "workflow_dispatch":
        raise InputError(f"--input is for workflow_dispatch, and this run's event is '{quoted(event)}'; "
                         "add --event workflow_dispatch")  # fmt: skip
    return once("--input", options.inputs)


def _jobs(workflow: Workflow, wanted: str | None) -> list[str]:
    ids = [job.id for job in workflow.jobs]
    if wanted is None:
        return ids
    if wanted.lower() not in (name.lower() for name in ids):
        raise InputError(f"{workflow.file} has no job '{quoted(wanted)}'; {meant(wanted, ids)}")
    return [wanted]


def _read_event(file: str) -> dict[str, Any]:
    try:
        event = json.loads(_read(file))
    except ValueError as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise _bad(file, line, "this is not JSON") from None
    if not isinstance(event, dict):
        raise _bad(file, 1, "an event must be a JSON object")
    return event


def _read(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            data = stream.read(_MAX_GIVEN_BYTES + 1)
    except OSError as error:
        raise Trouble(Exit.USAGE, "bad_file", f"{file}: cannot be read: {error.strerror}", {"file": file}) from None
    if len(data) > _MAX_GIVEN_BYTES:
        raise _bad(file, 1, f"the file is larger than {_MAX_GIVEN_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(file, 1, "the file is not UTF-8") from None


def _bad(file: str, line: int, what: str) -> Trouble:
    return Trouble(Exit.USAGE, "bad_file", f"{file}:{line}: {what}", {"file": file, "line": line})


def _pack(file: str, path: Path) -> str:
    """The same bound as on a mesh: what runs here runs there."""
    made = make_snapshot(Path(file), limit=MAX_BLOB_BYTES)
    with made.file, path.open("wb") as packed:
        shutil.copyfileobj(made.file, packed)
    return str(path)


def _run_name(workflow: Workflow, plan: Plan, shown: Scope) -> str:
    """As the file has it; without one, or with an empty one, the workflow's name."""
    return shown.text(workflow.run_name).strip() or plan.name
