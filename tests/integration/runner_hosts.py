"""A real runner host in a home of its own, spoken to as a daemon speaks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.codec import decode_result
from clockmesh.protocol.plan import Snapshot
from clockmesh.runner import host_messages as messages
from clockmesh.runner.plan import make_plan, read_workflow
from clockmesh.runner.sandbox import NO_SANDBOX, Sandbox
from clockmesh.runner.spec import JobSpec, job_dir
from tests.integration.runner_support import GIT_ENV, alive, wait_for

RUN = b"\x5a" * 32
HOUR = 3600.0


def boottime():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Host:
    """The process. Ended with its jobs when the `with` of `running_host` ends."""

    def __init__(self, home: Path):
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self):
        environment = {**os.environ, **GIT_ENV}
        with (self.home / "host.log").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "clockmesh.runner.host", "--home", str(self.home)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=environment,
            )  # fmt: skip

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def said(self):
        return (self.home / "host.log").read_text()


@contextmanager
def running_host(home):
    host = Host(home)
    try:
        yield host
    finally:
        host.stop()
        assert marked_processes(home) == [], "processes of jobs are left"


def marked_processes(home):
    """Pids of the live processes that say they belong to a job of this home, and of its keepers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"CLOCKMESH_JOB=" in environ and str(home).encode() in environ:
                found.append(int(entry.name))
    return found


class Daemon:
    """The other end of the host's socket."""

    def __init__(self, home: Path, incarnation: int = 1, lease: float = 5.0, *, hello: bool = True,
                 sandbox: Sandbox = NO_SANDBOX):
        self.reports: list = []
        self._reader = messages.ReportReader()
        self.socket = wait_for(lambda: _dial(home), "the host answers")
        self.socket.settimeout(0.05)
        if hello:
            self.send(messages.Hello(incarnation, lease, sandbox))
            self.jobs = self.wait(messages.Jobs)

    def send(self, *commands):
        self.socket.sendall(b"".join(messages.pack_command(command) for command in commands))

    def poll(self):
        """What came by now; False when the host has closed."""
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        self.reports += self._reader.feed(data)
        return bool(data)

    def wait(self, kind, ref=None, seconds=15.0):
        """The first report of this kind (of this attempt), taken out."""
        until = time.monotonic() + seconds
        while True:
            for report in self.reports:
                if isinstance(report, kind) and (ref is None or report.ref == ref):
                    self.reports.remove(report)
                    return report
            assert time.monotonic() < until, f"no {kind.__name__} in {seconds} s; there are {self.reports}"
            assert self.poll(), f"the host closed the connection; there are {self.reports}"

    def result(self, ref, seconds=15.0):
        """Of an attempt that must have one."""
        ended = self.wait(messages.Ended, ref, seconds)
        assert ended.result is not None, f"no result: {ended.why}"
        return decode_result(ended.result)

    def close(self):
        self.socket.close()


def _dial(home):
    client = socket.socket(socket.AF_UNIX)
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        client.connect(f"/proc/self/fd/{folder}/host.sock")
    except OSError:
        client.close()
        return None
    finally:
        os.close(folder)
    return client


def spec_of(home, text, *, key=None, attempt=1, source=None, event=None, inputs=None, snapshot="", run=RUN, **more):
    """A job of a workflow, as a daemon would hand it over."""
    file = home / f"workflow-{abs(hash(text))}.yml"
    file.write_text(text)
    data = file.read_bytes()
    plan = make_plan(
        read_workflow(data, "main.yml"), path="main.yml", workflow_blob=manifest_of(data).blob,
        source=source or Snapshot(), inputs=inputs or {}, force=True, event=event,
    )  # fmt: skip
    more = {"actor": "ann", "peer": "bob", "submitted_ms": 1} | more
    return JobSpec(run.hex(), key or plan.jobs[0].key, attempt, plan, str(file), snapshot, **more)


def script(run, *, before="", job=""):
    """A workflow of one job with one step."""
    body = "\n".join("          " + line for line in run.splitlines())
    head = f"on: push\n{before}jobs:\n  j:\n    runs-on: self-hosted\n{job}    steps:\n"
    return f"{head}      - id: s\n        run: |\n{body}\n"


def log_of(home, ref, step=None):
    """The texts of a log, of one step alone if it is named."""
    path = job_dir(home, ref) / "log"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [record["text"] for record in records if step in (None, record["step"])]


def run_job(host, daemon, text, **more):
    """(result, log) of one job run to its end."""
    spec = spec_of(host.home, text, **more)
    daemon.send(messages.Start(spec, boottime() + HOUR))
    result = daemon.result(spec.ref)
    return result, log_of(host.home, spec.ref)


def second_attempt(spec):
    return replace(spec, attempt=spec.attempt + 1)
