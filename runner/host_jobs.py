"""The jobs of a runner host: each runs under its deadline D, and is remembered until the daemon says `forget`.

The host starts, stops and ends jobs here; what a job does is `job.lead`'s affair, in a process of its own.
"""

from __future__ import annotations

import os
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgpack

from clockmesh.protocol.codec import encode_result
from clockmesh.protocol.ids import AttemptRef
from clockmesh.protocol.result import Conclusion, Result
from clockmesh.runner.box import Box, job_user
from clockmesh.runner.faults import Faults, Point
from clockmesh.runner.files import remove_tree, write_whole
from clockmesh.runner.host_messages import Ended, KnownJob, Report, Started
from clockmesh.runner.keeper import DEADLINE, KILL, STOP, STUCK, STUCK_S, bounds_of, run_keeper, until
from clockmesh.runner.leader_files import read_result, read_spec, remove_links, workflow_of
from clockmesh.runner.leader_record import RECORD, end_recorded, prepare_record, record_leader
from clockmesh.runner.proctree import all_processes, descendants, end, end_tree, marked, set_title
from clockmesh.runner.sandbox import NETWORK_OFF, NO_SANDBOX, UNKEPT, USERS, Sandbox, described
from clockmesh.runner.spec import NOTHING_GIVEN, JobSpec, job_dir, spec_to_map

_STUCK_RESULT = encode_result(Result(
    Conclusion.FAILURE, error=f"the job was still there {STUCK_S:.0f} s after it was told to end, and was killed"
))  # fmt: skip
"""Of a job that a person cancelled, or whose time was over: to run it again would come to the same."""

Lead = Callable[[JobSpec, Path, str], None]
"""Runs the job of a spec in a directory with this mark: in the process it is called in, to the end."""


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME: counts suspended time, so a D that passed during a suspend has passed."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class _Running:
    spec: JobSpec
    folder: Path
    deadline: float
    mark: str
    keeper: int
    control: socket.socket
    user: int
    """Its uid."""
    said: bytes = b""
    leader: int = 0
    killed: str = ""
    """Why the host ended it; '' while it may run."""
    orphaned: bool = False
    """Its keeper died before it: the host itself ends what is left."""


class Jobs:
    """What runs and what has ended. Single-threaded; `tick` must be called at least every 0.1 s while `running`."""

    def __init__(
        self, home: Path, mark: str, lead: Lead, report: Callable[[Report], None], children: set[int],
        faults: Faults | None = None,
    ) -> None:
        """`children`: processes that the host has forked by now and that are no job's."""
        self.sandbox: Sandbox = NO_SANDBOX
        """Of the jobs that are started from now on."""
        self._children = children
        self._home = home
        self._mark = mark
        self._lead = lead
        self._report = report
        self._faults = faults or Faults()
        self._running: dict[AttemptRef, _Running] = {}
        self._keepers: dict[int, Path] = {}
        """Of attempts that run, or whose keeper is still removing their files."""
        self._ended: dict[AttemptRef, Ended] = {}

    @property
    def running(self) -> bool:
        return bool(self._running)

    def known(self) -> list[KnownJob]:
        runs = [KnownJob(ref, job.deadline, ended=False) for ref, job in self._running.items()]
        return runs + [KnownJob(ref, 0.0, ended=True) for ref in self._ended]

    def ended(self) -> list[Ended]:
        return list(self._ended.values())

    def next_deadline(self) -> float | None:
        return min((job.deadline for job in self._running.values() if not job.killed), default=None)

    def controls(self) -> Iterator[socket.socket]:
        """What to wait on: each is readable when `hear` should be called with it."""
        return (job.control for job in self._running.values() if not job.orphaned)

    def start(self, spec: JobSpec, deadline: float) -> None:
        """Start the attempt, unless it is known already or its D has passed. Never raises for what it names."""
        ref = spec.ref
        if ref in self._running:
            self.extend(ref, deadline)
            if self._running[ref].leader:
                self._report(Started(ref, self._running[ref].leader))
        elif ref in self._ended:
            self._report(self._ended[ref])
        elif deadline <= boottime():
            self._finish(ref, Ended(ref, None, DEADLINE))
        else:
            try:
                self._running[ref] = self._fork(spec, deadline)
                self._faults.passing(Point.HOST_AFTER_SPAWN)
            except OSError as error:
                self._finish(ref, Ended(ref, None, f"could not be started: {error.strerror or error}"))

    def extend(self, ref: AttemptRef, deadline: float) -> None:
        job = self._running.get(ref)
        if job is not None and not job.killed and deadline > job.deadline > boottime():
            job.deadline = deadline
            _tell(job, until(deadline))

    def stop(self, ref: AttemptRef) -> None:
        """Cancel politely; the job itself keeps the times between the signals."""
        job = self._running.get(ref)
        if job is not None and not job.killed:
            _tell(job, STOP)

    def kill(self, ref: AttemptRef, why: str = "killed") -> None:
        job = self._running.get(ref)
        if job is not None:
            job.killed = job.killed or why
            _tell(job, KILL)
            end_tree(job.keeper)

    def kill_all(self, why: str) -> None:
        for ref in list(self._running):
            self.kill(ref, why)

    def forget(self, ref: AttemptRef) -> None:
        """Drop an ended attempt and all its files but the log. One that still runs is left alone."""
        if ref not in self._running:
            self._ended.pop(ref, None)
            self._clear(job_dir(self._home, ref))

    def tick(self) -> None:
        """Enforce every D, and finish off what a dead keeper left."""
        now = boottime()
        for ref, job in list(self._running.items()):
            if job.orphaned:
                self._end_orphans(ref, job)
            elif job.killed or now >= job.deadline:
                self._kill_in_time(ref, job)

    def _kill_in_time(self, ref: AttemptRef, job: _Running) -> None:
        if not job.killed:
            self._faults.passing(Point.HOST_BEFORE_KILL)
        self.kill(ref, DEADLINE)

    def hear(self, control: socket.socket) -> None:
        """A keeper said something, or its socket ended."""
        ref, job = next((ref, job) for ref, job in self._running.items() if job.control is control)
        try:
            data = control.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        job.said += data
        for word in _words(job):
            kind, _, number = word.partition(" ")
            if kind == "pid":
                job.leader = int(number)
                record_leader(job.folder, job.leader)
                self._report(Started(ref, job.leader))
            else:
                self._end(ref, job, _why(kind, number), _STUCK_RESULT if kind == STUCK else None)
                return
        if not data:
            job.orphaned = True
            job.killed = job.killed or "the job's keeper was killed"

    def reap(self) -> None:
        """Take away the children that have ended; call on SIGCHLD."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._children.discard(pid)
                self._keepers.pop(pid, None)

    def take_over(self, mark: str) -> int:
        """End all that earlier hosts of this home left running (their steps' marks begin with `mark`), and remember
        the attempts that they finished. How many processes were ended. Before anything is started."""
        count = passed = end(marked(mark))
        while passed:
            time.sleep(0.005)
            passed = end(marked(mark))
        for folder in sorted(self._home.glob("jobs/*/*/")):
            if os.listdir(folder) != ["log"]:  # all that is left of most, which are forgotten
                count += end_recorded(folder)
                self._take_over_result(folder)
        return count

    def _fork(self, spec: JobSpec, deadline: float) -> _Running:
        folder = job_dir(self._home, spec.ref)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            self._clear(folder)
        write_whole(folder / "spec", msgpack.packb(spec_to_map(spec)), durable=False)
        prepare_record(folder)
        mark = f"{self._mark}{folder.parent.name}/{folder.name}"
        user = self._free_user()
        box = self._box(spec, folder, mark, user)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # a keeper that is stuck must not hold up the other jobs
        keeper = os.fork()
        if keeper == 0:
            try:
                _keep_only(theirs)
                title = f"{spec.key} of {spec.run[:12]}, attempt {spec.attempt}"
                bounds = bounds_of(deadline, spec.job.timeout_s)
                run_keeper(theirs, title, lambda: self._lead(*self._inside(spec, folder, box), mark), folder / "work",
                           bounds, box)  # fmt: skip
            finally:
                os._exit(70)
        self._children.add(keeper)
        self._keepers[keeper] = folder
        theirs.close()
        return _Running(replace(spec, given=NOTHING_GIVEN), folder, deadline, mark, keeper, ours, user)

    def _box(self, spec: JobSpec, folder: Path, mark: str, user: int) -> Box | None:
        if not self.sandbox.on:
            return None
        files = (spec.workflow, spec.snapshot)
        return Box(self.sandbox, folder, mark, user, hidden=self._home, network=_has_network(spec), files=files)

    def _inside(self, spec: JobSpec, folder: Path, box: Box | None) -> tuple[JobSpec, Path]:
        """As the leader, which is in its sandbox, sees them."""
        if box is None:
            return (spec if _has_network(spec) else replace(spec, sandbox=UNKEPT)), folder
        told = replace(spec, workflow=box.carried(spec.workflow), snapshot=box.carried(spec.snapshot), work=box.work,
                       sandbox=described(self.sandbox, network=_has_network(spec)))  # fmt: skip
        return told, Path(box.carried(str(folder)))

    def _free_user(self) -> int:
        """Whose the next job is: nobody's who has one here. Jobs that share folders share a user."""
        if any(extra.writable for extra in self.sandbox.extras):
            return job_user(0)
        taken = {job.user for job in self._running.values()}
        first = zlib.crc32(self._mark.encode())  # other homes on this machine begin elsewhere
        return next((user for number in range(USERS) if (user := job_user(first + number)) not in taken), job_user(0))

    def _end_orphans(self, ref: AttemptRef, job: _Running) -> None:
        """The host is a subreaper too: what a dead keeper had adopted is now the host's own child, unlike those that it
        forked itself."""
        self.reap()
        table = all_processes()
        left = [proc for proc in table.values() if proc.parent == os.getpid() and proc.pid not in self._children]
        left += [below for proc in left for below in descendants(proc.pid, table)] + marked(job.mark)
        if not end(left):
            self._end(ref, job, job.killed)

    def _end(self, ref: AttemptRef, job: _Running, why: str, instead: bytes | None = None) -> None:
        """Nothing of it is left. A result that it finished before D counts, unless it was to be killed anyhow; where
        there is none, `instead` does."""
        del self._running[ref]
        job.control.close()
        remove_links(job.folder)
        (job.folder / RECORD).unlink(missing_ok=True)
        result = None if job.killed not in ("", DEADLINE) else read_result(job.folder) or instead
        if result is None:
            (job.folder / "result").unlink(missing_ok=True)
            self._finish(ref, Ended(ref, None, job.killed or why))
        else:
            self._finish(ref, Ended(ref, result, "", workflow_of(job.folder)))

    def _finish(self, ref: AttemptRef, ended: Ended) -> None:
        self._ended[ref] = ended
        self._faults.passing(Point.HOST_BEFORE_REPORT)
        self._report(ended)

    def _clear(self, folder: Path) -> None:
        """Remove everything of an attempt but its log. A tree that its keeper does not remove may be large: a process
        of its own does that, so that no deadline waits for it."""
        for name in ("spec", "result", "result-room", "workflow", "annotations", "summary", RECORD):
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        if folder in self._keepers.values():
            return
        gone = folder / f"gone-{time.monotonic_ns()}"
        with suppress(OSError):
            (folder / "work").rename(gone)
        for tree in folder.glob("gone-*"):
            self._children.add(_fork_sweeper(tree))

    def _take_over_result(self, folder: Path) -> None:
        """An attempt that ended under an earlier host, and that its daemon did not forget yet, is still reported."""
        result, spec = read_result(folder), read_spec(folder)
        if spec is None or result is None:
            self._clear(folder)
        else:
            self._ended[spec.ref] = Ended(spec.ref, result, "", workflow_of(folder))


def _why(kind: str, number: str) -> str:
    """Of an attempt whose process ended and left no result."""
    if kind == "unboxed":
        return f"no sandbox could be made for it: {number}"
    if kind == DEADLINE:
        return DEADLINE
    if kind == "signal":
        return f"the job's process was ended by signal {number}"
    return f"the job's process ended without a result (exit status {number})"


def _has_network(spec: JobSpec) -> bool:
    return NETWORK_OFF not in spec.job.labels


def _tell(job: _Running, word: bytes) -> None:
    with suppress(OSError):  # ended: `hear` will notice; or full of the same word
        job.control.send(word)


def _words(job: _Running) -> list[str]:
    *lines, job.said = job.said.split(b"\n")
    return [line.decode() for line in lines]


def _keep_only(control: socket.socket) -> None:
    """Close every descriptor of the host in a forked child, but the standard ones and `control`."""
    os.closerange(3, control.fileno())
    os.closerange(control.fileno() + 1, os.sysconf("SC_OPEN_MAX"))


def _fork_sweeper(tree: Path) -> int:
    sweeper = os.fork()
    if sweeper == 0:
        try:
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            set_title("job sweeper")
            remove_tree(tree)
        finally:
            os._exit(0)
    return sweeper
