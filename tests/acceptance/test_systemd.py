"""The units: valid, narrow, and, in a booted systemd, what docs/systemd.md says of them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from clockmesh.daemon.demo.peers import wait_until
from clockmesh.daemon.demo.repository import git
from tests.acceptance.booted import SOURCE, Booted, booted, wheels, why_not

UNITS = ("clockmeshd.service", "clockmesh-host.service")
GUIDE = SOURCE / "docs/systemd.md"
THERE = "/opt/source"
OUTBOX = "/var/cache/clockmesh/outbox"
TRACE = f"{OUTBOX}/trace"
CONFIG = "var/lib/clockmesh/config.yml"
SHARING = f"sandbox_paths: [{OUTBOX}]\n"
ELSEWHERE = ("apt-get ", "systemd/install\n", "python3 -m pip wheel ")
"""Commands of the guide that need a network: the machine here has none, and the wheels are made outside of it."""

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"),
                                   reason="no systemd-analyze; type: apt-get install systemd")


@needs_analyze
@pytest.mark.parametrize("unit", UNITS)
def test_the_units_are_valid(unit: str, tmp_path: Path) -> None:
    here = f"{Path(sys.executable).parent}/"
    for name in UNITS:
        text = (SOURCE / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/clockmesh/bin/", here))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)], capture_output=True,
                          text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "clockmesh" in line]) == (0, [])


@needs_analyze
@pytest.mark.parametrize(("unit", "most"), [("clockmeshd.service", 1.5), ("clockmesh-host.service", 3.0)])
def test_the_units_expose_little(unit: str, most: float) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(SOURCE / "systemd" / unit)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found is not None, told
    print(f"{unit}: exposure {found[1]} of 10, at most {most}")
    assert float(found[1]) <= most
    guide = {"clockmeshd.service": "peer", "clockmesh-host.service": "host"}[unit]
    assert f"the {guide} {found[1]}" in GUIDE.read_text()


# ---- in a booted systemd ----


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """Installed, started and with a mesh of its own, by the guide's commands."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("wheels")
    if trouble := wheels(folder):
        pytest.skip(f"no wheels can be made here: {trouble}")
    copies = ((SOURCE / "systemd", f"{THERE}/systemd"), (SOURCE / "docs", f"{THERE}/docs"), (folder, f"{THERE}/wheels"))
    with booted(*copies) as machine:
        follow_guide(machine, "Install")
        machine.run("install", "-d", "-o", "clockmesh", OUTBOX)
        (machine.root / CONFIG).write_text(SHARING)
        (machine.root / CONFIG).chmod(0o644)
        machine.run("systemctl", "restart", "clockmeshd")
        yield machine


@pytest.fixture
def up(machine: Booted) -> Booted:
    """The same machine with both units running, whatever the test before did."""
    machine.run("systemctl", "start", "clockmeshd")
    return machine


def follow_guide(machine: Booted, title: str) -> str:
    """Type the commands of one section; all that they print."""
    section = GUIDE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    commands = [line[2:] for line in "".join(blocks).splitlines()]
    return "".join(machine.run(*shlex.split(command), folder=THERE) for command in commands
                   if not f"{command}\n".startswith(ELSEWHERE))


def submit(machine: Booted, text: str, *options: str) -> str:
    (machine.root / "srv/flow.yml").write_text(text)
    return str(json.loads(machine.run("clockmesh", "run", "submit", "/srv/flow.yml", "--json", *options))["run"])


def job_of(machine: Booted, run: str) -> dict[str, object]:
    shown = json.loads(machine.run("clockmesh", "run", "show", run, "--json"))
    job: dict[str, object] = shown["jobs"][0]
    return job


def ticks(machine: Booted) -> list[tuple[int, int, float]]:
    """(attempt, pid, seconds since boot) of each tick that a job wrote."""
    path = machine.root / TRACE.lstrip("/")
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(row[0]), int(row[1]), float(row[2])) for row in rows if len(row) == 3]


def start_ticking(machine: Booted, count: int) -> str:
    """A job that ticks 10 times a second, and has ticked."""
    (machine.root / TRACE.lstrip("/")).unlink(missing_ok=True)
    tick = ("import os, time\\n"
            f"for _ in range({count}):\\n"
            f"    with open('{TRACE}', 'a') as file:\\n"
            "        print(os.environ['CLOCKMESH_ATTEMPT'], os.getpid(), time.clock_gettime(time.CLOCK_BOOTTIME),"
            " file=file)\\n"
            "    time.sleep(0.1)\\n")
    run = submit(machine, "name: ticking (p2p-workflow)\non: push\njobs:\n  tick:\n    runs-on: self-hosted\n"
                          "    outputs: {by: '${{ steps.t.outputs.by }}'}\n    steps:\n      - id: t\n        run: |\n"
                          f"          printf \"{tick}\" | python3 -\n"
                          "          echo \"by=$CLOCKMESH_PEER\" >> \"$GITHUB_OUTPUT\"\n")
    wait_until(lambda: len(ticks(machine)) >= 5, "the job ticks", 30)
    return run


def wait_answering(machine: Booted) -> None:
    """Until the daemon, which systemd restarts together with its host, is back."""
    wait_until(lambda: not machine.run("clockmesh", "status", good=(0, 4)).startswith("clockmesh:"), "it answers", 30)


def end_run(machine: Booted, run: str) -> None:
    wait_answering(machine)
    machine.run("clockmesh", "run", "cancel", run)
    machine.run("clockmesh", "run", "wait", run, "--timeout", "40", good=(8,))


def job_pid(machine: Booted) -> int:
    """Of the job that ticks, outside of its sandbox, where it has another number."""
    found = machine.run("pgrep", "-u", "clockmesh", "-f", "^python3 -$").split()
    assert len(found) == 1, found
    return int(found[0])


def gone(machine: Booted, pid: int) -> bool:
    return machine.run("ps", "--no-headers", "-o", "stat", str(pid), good=(0, 1)).strip()[:1] in ("", "Z", "X")


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


@pytest.mark.long
def test_a_scrape_runs_to_its_end_under_systemd(up: Booted) -> None:
    url, site = serve_prices(up)
    run = json.loads(up.run("clockmesh", "run", "submit", ".github/workflows/scrape.yml", "--remote", url, "--input",
                            f"site={site}", "--json"))["run"]
    up.run("clockmesh", "run", "wait", run, "--timeout", "60")
    bare = up.root / "srv/git/prices.git"
    assert git(bare, "log", "--format=%s", "main").splitlines()[0] == "Prices of day 1"
    assert git(bare, "show", "main:prices.csv").split() == ["1,apple,3", "1,pear,4"]
    assert "day 1: 2 prices in commit" in up.run("clockmesh", "run", "logs", run, "--job", "report")


def serve_prices(machine: Booted) -> tuple[str, str]:
    """A repository with the demo's scraper, and the site that it scrapes, both served inside the machine."""
    first, bare = machine.root / "srv/first", machine.root / "srv/git/prices.git"
    workflows = first / ".github/workflows"
    for folder in (workflows, bare, machine.root / "srv/site"):
        folder.mkdir(parents=True)
    files = SOURCE / "daemon/demo/files"
    shutil.copy(files / "scrape.yml", workflows)
    shutil.copy(files / "scrape.py", first)
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main")
    for words in (("init", "--quiet", "--initial-branch=main"), ("add", "."), ("commit", "--quiet", "-m", "First"),
                  ("push", "--quiet", str(bare), "main")):
        git(first, *words)
    page = "<title>Prices, day 1</title><tr><td>apple</td><td>3</td></tr><tr><td>pear</td><td>4</td></tr>"
    (machine.root / "srv/site/prices").write_text(page)
    serve = ("systemd-run", "--quiet", "--property=WorkingDirectory=/srv/site")
    machine.run(*serve, "git", "daemon", "--export-all", "--enable=receive-pack", "--listen=127.0.0.1",
                "--base-path=/srv/git", "/srv/git")
    machine.run(*serve, "python3", "-m", "http.server", "--bind", "127.0.0.1", "8000")
    for port in (9418, 8000):
        probe = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        wait_until(lambda probe=probe: not machine.run("python3", "-c", probe, good=(0, 1)), f"port {port} is open", 20)
    return "git://127.0.0.1/prices.git", "http://127.0.0.1:8000"


@pytest.mark.long
def test_a_restarted_daemon_proposes_the_result_of_the_job_that_went_on(up: Booted) -> None:
    run = start_ticking(up, 80)
    before = up.property("clockmeshd", "MainPID"), up.property("clockmesh-host", "MainPID")
    took = timed(lambda: up.run("systemctl", "restart", "clockmeshd"))
    after = up.property("clockmeshd", "MainPID"), up.property("clockmesh-host", "MainPID")
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert job_of(up, run)["status"] == "in_progress"
    up.run("clockmesh", "run", "wait", run, "--timeout", "40")
    came = ticks(up)
    longest = max(later[2] - earlier[2] for earlier, later in pairwise(came))
    print(f"restarted in {took:.2f} s; the job's longest pause between two ticks was {longest:.2f} s")
    assert len(came) == 80
    assert {(attempt, pid) for attempt, pid, _ in came} == {came[0][:2]}
    assert longest < 1
    job = job_of(up, run)
    assert (job["conclusion"], job["attempt"], job["outputs"]) == ("success", 1, {"by": "alpha"})


@pytest.mark.long
def test_a_killed_daemon_is_back_in_seconds_and_its_job_lives(up: Booted) -> None:
    run = start_ticking(up, 60)
    before = up.property("clockmeshd", "MainPID")
    up.run("systemctl", "kill", "--signal=KILL", "clockmeshd")
    took = timed(lambda: wait_until(lambda: up.property("clockmeshd", "MainPID") not in ("0", before)
                                    and up.property("clockmeshd", "ActiveState") == "active", "it is back", 20))
    print(f"back {took:.2f} s after SIGKILL")
    assert took < 5
    up.run("clockmesh", "run", "wait", run, "--timeout", "40")
    assert {attempt for attempt, *_ in ticks(up)} == {1}


@pytest.mark.long
def test_a_stopped_host_ends_its_jobs_and_takes_the_daemon_along(up: Booted) -> None:
    run = start_ticking(up, 600)
    pid = job_pid(up)
    took = timed(lambda: up.run("systemctl", "stop", "clockmesh-host"))
    print(f"the host was stopped in {took:.2f} s")
    assert gone(up, pid)
    assert [up.property(unit, "ActiveState") for unit in UNITS] == ["inactive", "inactive"]
    assert up.run("pgrep", "-u", "clockmesh", good=(1,)) == ""
    up.run("systemctl", "start", "clockmeshd")
    assert up.property("clockmesh-host", "ActiveState") == "active"
    wait_until(lambda: ticks(up)[-1][0] == 2, "the job runs again", 30)
    end_run(up, run)


@pytest.mark.long
def test_a_restarted_host_ends_its_jobs_and_they_run_again(up: Booted) -> None:
    run = start_ticking(up, 600)
    pid = job_pid(up)
    up.run("systemctl", "restart", "clockmesh-host")
    assert gone(up, pid)
    again = timed(lambda: wait_until(lambda: ticks(up)[-1][0] == 2, "the job runs again", 30))
    print(f"run again {again:.2f} s after the restart of the host")
    end_run(up, run)


@pytest.mark.long
def test_a_host_that_hangs_is_killed_with_its_jobs_before_the_lease_ends(up: Booted) -> None:
    run = start_ticking(up, 600)
    pid = job_pid(up)
    up.run("kill", "-STOP", up.property("clockmesh-host", "MainPID"))
    took = timed(lambda: wait_until(lambda: gone(up, pid), "the job of the hanging host ends", 30))
    print(f"the job of a host that hangs was ended after {took:.1f} s")
    assert took < 15
    wait_until(lambda: ticks(up)[-1][0] == 2, "the job runs again", 30)
    end_run(up, run)


@pytest.mark.long
def test_a_killed_host_takes_its_jobs_along_and_they_run_again(up: Booted) -> None:
    run = start_ticking(up, 600)
    pid = job_pid(up)
    up.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "clockmesh-host")
    wait_until(lambda: gone(up, pid), "the job ends with its host", 5)
    again = timed(lambda: wait_until(lambda: ticks(up)[-1][0] == 2, "the job runs again", 30))
    print(f"run again {again:.2f} s after the end of the host")
    end_run(up, run)


@pytest.mark.long
def test_an_idle_host_stays(up: Booted) -> None:
    host = up.property("clockmesh-host", "MainPID")
    up.run("systemctl", "stop", "clockmeshd")
    assert up.property("clockmesh-host", "ActiveState") == "active"
    time.sleep(16)  # longer than the lease, after which a host that a daemon started ends itself
    assert up.property("clockmesh-host", "MainPID") == host


@pytest.mark.long
def test_a_job_is_in_a_sandbox_and_reaches_nothing_of_the_peer(up: Booted) -> None:
    assert "in a sandbox (bubblewrap)" in up.run("clockmesh", "status")
    script = ("id -un; ls -d /var/lib/clockmesh /var/cache/clockmesh /opt/clockmesh || true; ls -A ~ /tmp;"
              " ps -e --no-headers | wc -l; grep NoNewPrivs /proc/self/status; ! touch /etc/x 2>&1")
    for labels, network in (("self-hosted", "on"), ("[self-hosted, network-off]", "off")):
        run = submit(up, "name: boxed (p2p-workflow)\non: push\njobs:\n  boxed:\n"
                         f"    runs-on: {labels}\n    steps:\n      - run: {script}\n")
        up.run("clockmesh", "run", "wait", run, "--timeout", "30")
        log = up.run("clockmesh", "run", "logs", run, "--job", "boxed").splitlines()
        assert f"in a sandbox (bubblewrap): network {network}" in log[1]
        assert "runner" in log
        assert "ls: cannot access '/var/lib/clockmesh': No such file or directory" in log
        assert not any("identity.key" in line for line in log)


@pytest.mark.long
def test_a_wrong_configuration_stays_down_and_says_where(up: Booted) -> None:
    config = up.root / CONFIG
    config.write_text("slots: 2\nlabel: [gpu]\n")
    config.chmod(0o644)
    try:
        up.run("systemctl", "restart", "clockmeshd", good=(1,))
        time.sleep(2)
        found = [up.property("clockmeshd", name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
        assert found == ["failed", "78", "0"]
        assert "config.yml:2: unknown key 'label'" in up.run("journalctl", "--unit", "clockmeshd", "--lines", "20")
    finally:
        config.write_text(SHARING)


@pytest.mark.long
def test_the_guides_other_commands_work(up: Booted) -> None:
    assert follow_guide(up, "Every day").count("active (running)") == 2
    drop_in = up.root / "etc/systemd/system/clockmesh-host.service.d/jobs.conf"
    assert f"/{drop_in.relative_to(up.root)}" in GUIDE.read_text()
    drop_in.parent.mkdir()
    drop_in.write_text(re.findall(r"^```ini\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)[0])
    follow_guide(up, "What jobs can do")
    wait_answering(up)
    assert up.property("clockmesh-host", "PrivateDevices") == "no"
    assert "ptrace" not in up.property("clockmesh-host", "SystemCallFilter")
    as_user = up.run("runuser", "-u", "clockmesh", "--", "clockmesh", "status", folder="/")
    assert as_user.splitlines()[0] == up.run("clockmesh", "status").splitlines()[0]
    follow_guide(up, "Remove")
    assert up.run("pgrep", "-u", "clockmesh", good=(1,)) == ""
    assert not list(up.root.glob("usr/local/**/*clockmesh*"))
