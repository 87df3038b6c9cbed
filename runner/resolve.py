"""The job `(resolve)`: from a remote's URL and ref to a commit, and from the workflow there to the plan of the run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.plan import Plan, Remote
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.runner.bundle import bundle
from clockmesh.runner.checkout import find_ref
from clockmesh.runner.environment import Places, host_environment
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.files import write_whole
from clockmesh.runner.git import Git, GitError, Interrupted, login_for, without_password
from clockmesh.runner.logfile import JobLog
from clockmesh.runner.plan import make_plan, read_workflow
from clockmesh.runner.process import Processes
from clockmesh.runner.proctree import MARK
from clockmesh.runner.sandbox import unseen
from clockmesh.runner.spec import JobSpec

STEP = "Resolve"
_GIT_SECONDS = 120.0
"""For all git commands against the remote: they transfer one commit."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")


class ResolveError(RunnerError):
    """The remote, the ref or the file in it is not there; one line."""


def resolve(
    spec: JobSpec, folder: Path, places: Places, mark: str, processes: Processes, log: JobLog
) -> Result:
    """The result with the resolved plan; the workflow's bytes are left as `workflow` in `folder`. RunnerError for what
    is wrong with the remote or the workflow."""
    source = spec.plan.source
    if not isinstance(source, Remote):
        raise ResolveError("the run has no remote to resolve")
    if spec.sandbox and (hint := unseen(source.url)):
        raise ResolveError(hint)
    try:
        git = Git(
            processes,
            lambda text: log.line(STEP, text),
            host_environment() | {MARK: mark},
            timeout=_GIT_SECONDS,
            url=source.url,
            login=login_for(source.url, spec.given.credential),
        )
        repository = places.temp / "resolve"
        found = fetch_commit(git, repository, source)
        log.line(STEP, f"{without_password(source.url)}: {found.ref or 'the commit'} is at {found.sha}")
        path = spec.plan.path.removeprefix("./")
        data = bundle(
            _read_file(git, repository, found, path), path, lambda name: _called(git, repository, found, name)
        )
        plan = _plan(spec.plan, path, found, data)
    except Interrupted:
        if processes.cancelled:
            return Result(Conclusion.CANCELLED)
        raise ResolveError(f"{without_password(source.url)} did not answer in {_GIT_SECONDS:g} s") from None
    write_whole(folder / "workflow", data)
    log.line(STEP, f"{spec.plan.path}: {len(plan.jobs)} job{'s' if len(plan.jobs) > 1 else ''}")
    return Result(Conclusion.SUCCESS, resolved=plan)


def fetch_commit(git: Git, folder: Path, source: Remote) -> Remote:
    """The remote with the full name of its ref and with its commit, which is fetched into a new repository `folder`.
    ResolveError."""
    if source.url.startswith("-") or "::" in source.url.split("/")[0]:
        raise ResolveError(f"{source.url!r} is not the URL of a git repository")
    folder.mkdir()
    git.lines(folder, "init", "--quiet", "--bare")
    try:
        return _fetched(git, folder, source)
    except GitError as error:
        url = without_password(source.url)
        raise ResolveError(str(error) if url in str(error) else f"{url}: {error}") from None


def _fetched(git: Git, folder: Path, source: Remote) -> Remote:
    if _COMMIT.fullmatch(source.ref):
        ref, wanted = "", source.ref
    else:
        ref = _full_name(git, folder, source)
        wanted = ref or "HEAD"
    git.run(folder, "fetch", "--quiet", "--no-tags", "--depth=1", "--", source.url, wanted)
    (sha,) = git.lines(folder, "rev-parse", "--verify", "FETCH_HEAD^{commit}")
    return replace(source, ref=ref, sha=sha)


def _full_name(git: Git, folder: Path, source: Remote) -> str:
    """Of the ref asked for; '' when the remote's HEAD is on no branch."""
    try:
        return find_ref(git.lines(folder, "ls-remote", "--symref", "--", source.url), source.ref)[0]
    except LookupError:
        what = _no_branch(source.ref) if source.ref else "default branch; is it empty? Name another with --ref"
        raise ResolveError(f"{without_password(source.url)} has no {what}") from None


def _no_branch(ref: str) -> str:
    hint = "; a commit is named by all its 40 digits" if _SHORT_COMMIT.fullmatch(ref) else ""
    return f"branch or tag '{ref}'{hint}"


def _read_file(git: Git, folder: Path, source: Remote, path: str) -> bytes:
    """The workflow's bytes at the commit."""
    where = f"{without_password(source.url)} at {source.sha[:12]}"
    listed = git.lines(folder, "ls-tree", "-l", "--full-tree", source.sha, "--", path)
    if len(listed) != 1 or listed[0].split()[1] != "blob":
        raise ResolveError(f"{path} is not a file of {where}")
    _, _, blob, size = listed[0].partition("\t")[0].split()
    if int(size) > 1024 * 1024:
        raise ResolveError(f"{path} of {where} is larger than 1 MiB: no workflow")
    file = folder / "workflow"
    git.into(file, folder, "cat-file", "blob", blob)
    return file.read_bytes()


def _called(git: Git, folder: Path, source: Remote, path: str) -> bytes | None:
    """The bytes of a workflow that another calls; None where there is none."""
    try:
        return _read_file(git, folder, source, path)
    except ResolveError:
        return None


def _plan(submitted: Plan, path: str, source: Remote, data: bytes) -> Plan:
    return make_plan(
        read_workflow(data, path),
        path=path,
        workflow_blob=manifest_of(data).blob,
        source=source,
        inputs=dict(submitted.inputs),
        force=submitted.force,
        event="schedule" if submitted.event == "schedule" else None,
    )
