"""What a job in its sandbox has, and what it cannot reach. Real bubblewrap, as root and as another user."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from clockmesh.protocol.plan import Remote
from clockmesh.runner import host_messages as messages
from clockmesh.runner.sandbox import Extra, Sandbox
from clockmesh.runner.snapshot import make_snapshot
from clockmesh.runner.spec import job_dir
from tests.integration.runner_hosts import Daemon, boottime
from tests.integration.runner_support import alive, repository, wait_for
from tests.integration.sandbox_hosts import KINDS, TICKET, boxed

ESCAPES = Path(__file__).parents[1] / "acceptance/escapes.py"
pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def hosts():
    """One host of each kind, for the tests that leave it as it was."""
    with ExitStack() as stack:
        yield {kind: stack.enter_context(boxed(kind)) for kind in KINDS}


@pytest.fixture
def host(hosts, kind):
    return hosts[kind]


def test_a_job_has_a_home_a_workspace_and_a_tmp_of_its_own(host):
    lines = host.run(
        "pwd; echo ~; whoami; id -gn; umask; touch ~/a b /tmp/c /dev/shm/d /var/tmp/e; ls -A /tmp; "
        'echo "$HOME $USER $GITHUB_WORKSPACE"; git init -q . && git status -s'
    )
    assert "/home/runner/work/repository" in lines
    assert lines.count("runner") == 2
    assert "0022" in lines
    assert lines[-2:] == ["/home/runner runner /home/runner/work/repository", "?? b"]
    assert lines[lines.index("c") :][:2] == ["c", "e"]
    again = host.run("ls -A ~ . /tmp /dev/shm")
    assert not set(again) & set("abcde")


def test_what_a_step_starts_in_the_background_is_there_in_the_next(host):
    flow = (
        "on: push\njobs:\n  j:\n    runs-on: self-hosted\n    steps:\n"
        "      - run: 'sleep 1000 & echo $! > /tmp/pid'\n      - run: 'kill -0 $(cat /tmp/pid) && echo still there'\n"
    )
    assert "still there" in host.run(flow)


def test_the_peers_home_and_other_homes_are_not_there(host):
    lines = host.run(
        f"ls -A {host.home} {host.home.parent} /root || true; ls -A /home /run /mnt /srv 2>&1 || true; "
        "ls /var/lib; cat /proc/mounts > /dev/null; find / -xdev -name identity.key 2> /dev/null | wc -l"
    )
    assert lines[-1] == "0"
    assert f"ls: cannot access '{host.home}': No such file or directory" in lines
    assert "ls: cannot access '/root': No such file or directory" in lines


def test_nothing_of_the_system_can_be_written(host):
    for path in ("/etc/x", "/usr/x", "/x", "/dev/x", "/var/lib/x", "/home/x", "/run/x", "/proc/sys/kernel/core_pattern",
                 "/sys/kernel/mm/ksm/run"):  # fmt: skip
        assert host.run(f"! echo x > {path} 2>/dev/null && echo refused")[-1] == "refused", path
    assert not os.path.exists("/etc/x")


def test_no_capability_is_left_and_none_can_be_gained(host):
    lines = host.run("grep -E 'Cap|NoNewPrivs' /proc/self/status | tr -d '\\t'; ! mount -t tmpfs x /mnt 2>/dev/null; "
                     "! mount -o remount,rw /etc 2>/dev/null; ! chroot / true 2>/dev/null; echo end")  # fmt: skip
    assert lines[-1] == "end"
    assert {line for line in lines if line.startswith("Cap")} == {
        f"{name}:0000000000000000" for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    }
    assert "NoNewPrivs:1" in lines


def test_a_job_sees_its_own_processes_alone_and_cannot_look_into_its_leader(host):
    lines = host.run(
        "ps -e -o pid=,args= | grep -v 'ps -e'; for f in environ mem maps fd/0 root/etc; do "
        "! ls -l /proc/$PPID/$f > /dev/null 2>&1 || ! head -c1 /proc/$PPID/$f > /dev/null 2>&1 || echo OPEN $f; done; "
        "! ls /proc/$PPID/fd > /dev/null 2>&1; echo end"
    )
    assert lines[-1] == "end"
    assert not any(line.startswith("OPEN") for line in lines)
    assert sum(line.split()[0].isdigit() for line in lines[4:] if line.split()) <= 8


def test_the_hosts_environment_does_not_reach_a_job(kind, monkeypatch):
    monkeypatch.setenv("OWNERS_SECRET", "hush")
    monkeypatch.setenv("LC_TIME", "C")
    with boxed(kind) as host:
        lines = host.run("env; tr '\\0' '\\n' < /proc/1/environ || true; tr '\\0' '\\n' < /proc/2/environ || true")
        assert "LC_TIME=C" in lines
        assert not any("hush" in line for line in lines)


def test_a_job_reaches_neither_the_workspace_nor_the_environment_of_another(host):
    secret = "SECRET=hush; export SECRET; echo hush > mine; echo hush > /tmp/mine; sleep 1000"
    other = host.start(secret, run=b"\x77" * 32)
    host.daemon.wait(messages.Started, other.ref)
    wait_for(lambda: list((job_dir(host.home, other.ref) / "work").rglob("mine")), "the other job writes")
    lines = host.run("grep -rls hus[h] /proc/[0-9]*/environ /tmp /home /var || true; ls /tmp; echo end")
    assert lines[4:] == ["end"]
    host.daemon.send(messages.Kill(other.ref))
    host.daemon.wait(messages.Ended, other.ref)


def test_no_way_out_is_open(host):
    for name, text in (("identity.key", "the key"), ("state.db", "nodes")):
        (host.home / name).write_text(text)
        os.chown(host.home / name, host.uid, host.uid)
    other = host.start("SECRET=hush exec sleep 1000", run=b"\x66" * 32)
    host.daemon.wait(messages.Started, other.ref)
    lines = host.run(f"python3 - {host.home} {host.process} <<'END'\n{ESCAPES.read_text()}\nEND")
    host.daemon.send(messages.Kill(other.ref))
    host.daemon.wait(messages.Ended, other.ref)
    came = [line for line in lines if line.startswith(("held ", "ESCAPED "))]
    assert [line for line in came if line.startswith("ESCAPED")] == []
    assert len(came) == 17


def test_a_daemonised_child_dies_with_the_job(host):
    escape = "setsid sh -c 'trap \"\" TERM INT HUP; (sleep 997 & ) ; sleep 997' > /dev/null 2>&1 &"
    host.run(f"{escape}\nsleep 0.1")
    wait_for(lambda: not _sleepers("997"), "what it left ends", 2)


@pytest.mark.parametrize("how", ["deadline", "kill", "cancel"])
def test_a_daemonised_child_dies_with_a_job_that_is_ended(host, how):
    began = boottime()
    escape = "env -i setsid sh -c 'trap \"\" TERM INT HUP; sleep 996' > /dev/null 2>&1 &\nsleep 1000\n"
    spec = host.start(escape, deadline=began + 1.5 if how == "deadline" else None)
    wait_for(lambda: _sleepers("996"), "it runs")
    if how != "deadline":
        host.daemon.send(messages.Kill(spec.ref) if how == "kill" else messages.Stop(spec.ref))
    host.daemon.wait(messages.Ended, spec.ref)
    assert not _sleepers("996"), "the end is told when nothing is left"
    if how == "deadline":
        assert boottime() - began < 2.0


def _sleepers(seconds):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and alive(int(name)):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if file.read() == b"sleep\0" + seconds.encode() + b"\0":
                        found.append(int(name))
            except OSError:
                continue
    return found


def test_a_full_tmp_is_the_jobs_own_trouble(kind):
    with boxed(kind, Sandbox(tmp=4 << 20)) as host:
        lines = host.run(
            "for place in /tmp /dev/shm; do ! head -c 8M /dev/zero > $place/x 2>/dev/null; stat -c %s $place/x; done"
        )
        assert lines[-2:] == [str(4 << 20)] * 2


def test_the_memory_of_a_process_is_bounded_where_the_owner_says_so(kind):
    with boxed(kind, Sandbox(memory=256 << 20)) as host:
        lines = host.run(
            "python3 -c 'x = bytearray(64 << 20); print(len(x))'; "
            "! python3 -c 'bytearray(512 << 20)' 2> err; tail -n 1 err"
        )
        assert lines[-2:] == [str(64 << 20), "MemoryError"]
        assert lines[1].endswith("2048 processes, each 256 MiB")


def test_a_fork_bomb_is_bounded_and_ends_with_the_job(kind):
    with boxed(kind, Sandbox(processes=200)) as host:
        spec = host.start("bomb() { bomb | bomb & sleep 995; }; bomb; sleep 1000")
        wait_for(lambda: any("Resource temporarily" in line for line in host.lines(spec)), "it hits the bound", 60)
        assert len(_sleepers("995")) <= 200
        told = time.monotonic()
        host.daemon.send(messages.Kill(spec.ref))
        host.daemon.wait(messages.Ended, spec.ref, 30)
        assert not _sleepers("995")
        print(f"a fork bomb was ended in {time.monotonic() - told:.2f} s")


def test_without_network_a_job_has_a_loopback_of_its_own(host):
    flow = (
        "on: push\njobs:\n  j:\n    runs-on: [self-hosted, network-off]\n    steps:\n"
        "      - run: 'tail -n +3 /proc/net/dev; python3 -c \"import socket; s = socket.create_server((chr(49) + "
        "str(27) + chr(46) + str(0) + chr(46) + str(0) + chr(46) + str(1), 0)); print(s.getsockname()[0])\"'\n"
    )
    lines = host.run(flow)
    assert "in a sandbox (bubblewrap): network off" in lines[1]
    assert [line.split(":")[0].strip() for line in lines if ": " in line and line.strip()[0] == "l"] == ["lo"]
    assert lines[-1] == "127.0.0.1"


READ_TICKET = f"""
python3 - <<'END'
import ctypes
for line in open('/proc/keys'):
    if {TICKET!r} in line:
        data = ctypes.create_string_buffer(16)
        ctypes.CDLL(None).syscall(250, 11, int(line.split()[0], 16), data, 16)
        print('read', data.value)
END
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the system calls are x86-64's")
def test_a_job_does_not_have_the_keys_of_the_hosts_session(host):
    assert "read b'hush'" not in host.run(READ_TICKET)


def test_links_that_a_job_leaves_lead_nobody_outside(host, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    for place in (*outside.parents, outside):
        if place.stat().st_uid == os.getuid():
            place.chmod(place.stat().st_mode | 0o055)
    key = host.home / "identity.key"
    key.write_text("the key")
    key.chmod(0o644)
    spec = host.start(
        f"ln -s {outside} dir; ln -sf {key} $GITHUB_ENV; ln -sf {key} $GITHUB_OUTPUT; "
        f"ln -sf {key} $GITHUB_STEP_SUMMARY; rm -rf ~/work/temp; ln -s {outside} ~/work/temp; ln -s {host.home} ~/link"
    )
    result = host.daemon.result(spec.ref)
    assert result.outputs == ()
    assert "the key" not in "\n".join(host.lines(spec)) + result.error
    wait_for(lambda: not (job_dir(host.home, spec.ref) / "work").exists(), "the work tree goes")
    assert (outside / "kept").read_text() == "kept"
    assert key.read_text() == "the key"


def test_a_folder_of_the_owners_choice_is_there_and_writable_if_it_is_the_jobs_users(kind):
    with tempfile.TemporaryDirectory(prefix="cm-shared-") as shared:
        extras = (Extra(shared), Extra("/boot", writable=False))
        with boxed(kind, Sandbox(extras=extras)) as host:
            if os.getuid() == 0:
                assert host.daemon.jobs.refused.startswith(f"sandbox_paths: {shared} is not writable by uid ")
            os.chown(shared, host.job_user, host.job_user)
            host.daemon.close()
            host.daemon = Daemon(host.home, incarnation=2, sandbox=Sandbox(extras=extras))
            assert host.daemon.jobs.refused == ""
            lines = host.run(f"echo x > {shared}/x; ! touch /boot/x 2>/dev/null; ls -d /boot; cat {shared}/x")
            assert lines[-2:] == ["/boot", "x"]
            again = host.run(f"echo y >> {shared}/x && cat {shared}/x")
            assert again[-2:] == ["x", "y"], "jobs that share folders share a user"


def test_a_remote_that_is_a_folder_outside_is_told_with_the_remedy(host):
    flow = "on: push\njobs:\n  j:\n    runs-on: self-hosted\n    steps:\n      - uses: actions/checkout@v4\n"
    spec = host.start(flow, source=Remote("/srv/prices.git", "refs/heads/main", "a" * 40))
    assert "/srv/prices.git is not in the job's sandbox; name it" in host.daemon.result(spec.ref).error


def test_a_sandbox_that_cannot_be_made_is_told_before_a_job_is_lost(kind):
    with boxed(kind, Sandbox(extras=(Extra("/no/such/folder"),))) as host:
        assert host.daemon.jobs.refused == "sandbox_paths: there is no folder /no/such/folder"
        ended = host.daemon.wait(messages.Ended, host.start("echo hello").ref)
        assert ended.result is None
        assert ended.why.startswith("no sandbox could be made for it: bwrap: Can't find source path /no/such/folder")


def test_a_sandbox_that_the_leader_cannot_enter_is_none(kind, monkeypatch):
    def refuse(uid):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patched:
        patched.setattr("clockmesh.runner.namespaces.become", refuse)
        with boxed(kind, tried=False) as host:
            assert host.daemon.jobs.refused == "the sandbox could not be entered: Operation not permitted"
            ended = host.daemon.wait(messages.Ended, host.start("echo hello").ref)
            assert (ended.result, host.lines(host.last)) == (None, [])
            assert "could not be entered" in ended.why


def test_a_job_that_ends_its_sandbox_ends_itself_alone(host):
    spec = host.start("kill -9 -1; sleep 1000")
    ended = host.daemon.wait(messages.Ended, spec.ref)
    assert (ended.result, ended.why) == (None, "the job's process was ended by signal 9")
    assert host.run("echo on")[-1] == "on"


def test_a_killed_host_takes_its_sandboxes_along(kind):
    with boxed(kind) as host:
        spec = host.start("sleep 994")
        host.daemon.wait(messages.Started, spec.ref)
        wait_for(lambda: _sleepers("994"), "it runs")
        os.kill(host.process, signal.SIGKILL)
        wait_for(lambda: not _sleepers("994"), "the job ends with its host", 2)


def test_the_checkout_of_a_snapshot_works_inside(host, tmp_path):
    commit = repository(tmp_path / "work", {"a.txt": "alpha\n"})
    made = make_snapshot(tmp_path / "work/a.txt", limit=1 << 20)
    blob = host.home / "snapshot"
    blob.write_bytes(made.file.read())
    blob.chmod(0o600)
    os.chown(blob, host.uid, host.uid)
    flow = (
        "on: push\njobs:\n  j:\n    runs-on: self-hosted\n    steps:\n      - uses: actions/checkout@v4\n"
        "      - run: 'cat a.txt; git rev-parse HEAD; git status --short; touch b; git add b'\n"
    )
    source = replace(made.snapshot, origin="/srv/origin.git")
    lines = host.run(flow, source=source, snapshot=str(blob))
    assert lines[-2:] == ["alpha", commit]
    assert any("a push to origin will fail: /srv/origin.git is not in the job's sandbox" in line for line in lines)
