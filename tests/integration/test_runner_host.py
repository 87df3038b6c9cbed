"""The runner host: deadlines, the fence between daemons, what survives and what must not. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from clockmesh.protocol.result import Conclusion
from clockmesh.runner import host_messages as messages
from clockmesh.runner.spec import job_dir
from tests.integration.runner_hosts import (
    HOUR,
    Daemon,
    Host,
    boottime,
    log_of,
    marked_processes,
    running_host,
    script,
    second_attempt,
    spec_of,
)
from tests.integration.runner_support import alive, wait_for

LONG = """
echo $$ > {0}/shell
setsid sh -c 'echo $$ > {0}/daemon; trap "" TERM INT HUP; while :; do sleep 1; done' > /dev/null 2>&1 &
sleep 1000 &
echo $! > {0}/child
echo ready > {0}/ready
wait
"""


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def start_long(daemon, home, tmp_path, *, deadline=None, text=LONG, **more):
    """A job with a child and a daemonised child; its reference and the pids of shell, child and daemon."""
    marks = tmp_path / f"marks-{time.monotonic_ns()}"
    marks.mkdir()
    spec = spec_of(home, script(text.format(marks)), **more)
    daemon.send(messages.Start(spec, deadline or boottime() + HOUR))
    daemon.wait(messages.Started, spec.ref)
    wait_for(lambda: all((marks / name).exists() for name in ("ready", "daemon")), "the job runs")
    pids = wait_for(lambda: _pids(marks), "the job tells its pids")
    assert all(map(alive, pids))
    return spec, pids


def _pids(marks):
    texts = [(marks / name).read_text().strip() for name in ("shell", "child", "daemon")]
    return [int(text) for text in texts] if all(texts) else None


def gone(pids, seconds=5.0):
    """How long until none of them was alive."""
    began = time.monotonic()
    wait_for(lambda: not any(map(alive, pids)), f"{pids} end", seconds)
    return time.monotonic() - began


def test_a_job_runs_and_its_result_is_kept_until_it_is_forgotten(home):
    with running_host(home) as host:
        daemon = Daemon(home)
        spec = spec_of(home, script("echo hello $((40+2))\necho x=1 >> $GITHUB_OUTPUT"))
        daemon.send(messages.Start(spec, boottime() + HOUR))
        assert daemon.wait(messages.Started, spec.ref).pid > 0
        assert daemon.result(spec.ref).conclusion is Conclusion.SUCCESS
        assert "hello 42" in log_of(home, spec.ref)
        daemon.close()
        later = Daemon(home, incarnation=2)
        assert [(job.ref, job.ended) for job in later.jobs.jobs] == [(spec.ref, True)]
        assert later.result(spec.ref).conclusion is Conclusion.SUCCESS
        later.send(messages.Forget(spec.ref))
        wait_for(lambda: os.listdir(job_dir(home, spec.ref)) == ["log"], "the attempt's files go")
        assert Daemon(home, incarnation=3).jobs.jobs == ()
        assert "Traceback" not in host.said


def test_the_work_tree_is_removed_after_the_job_whatever_its_permissions(home):
    with running_host(home):
        daemon = Daemon(home)
        spec = spec_of(home, script("mkdir -p a/b; touch a/b/c; ln -s / a/root; chmod 500 a/b a; chmod 000 a/b/c"))
        daemon.send(messages.Start(spec, boottime() + HOUR))
        assert daemon.result(spec.ref).conclusion is Conclusion.SUCCESS
        wait_for(lambda: not (job_dir(home, spec.ref) / "work").exists(), "the work tree goes")


def test_only_the_host_itself_looks_like_the_host(home, tmp_path):
    with running_host(home) as host:
        daemon = Daemon(home)
        _, pids = start_long(daemon, home, tmp_path)
        titles = [_title(pid) for pid in (host.process.pid, _parent(_parent(pids[0])), _parent(pids[0]))]
        assert "clockmesh.runner.host" in titles[0]
        assert titles[1].startswith("job keeper: j of 5a5a5a5a5a5a, attempt 1")
        assert titles[2].startswith("job: j of 5a5a5a5a5a5a, attempt 1")


def _title(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().replace("\0", " ").strip()


def test_the_socket_is_the_users_alone(home):
    with running_host(home):
        Daemon(home)
        assert (home / "host.sock").stat().st_mode & 0o777 == 0o600


def test_at_its_deadline_a_job_and_all_its_children_die_within_a_tenth_of_a_second(home, tmp_path):
    with running_host(home):
        daemon = Daemon(home)
        deadline = boottime() + 1.5
        spec, pids = start_long(daemon, home, tmp_path, deadline=deadline)
        ended = daemon.wait(messages.Ended, spec.ref)
        assert boottime() - deadline < 0.25
        assert (ended.result, ended.why) == (None, "deadline")
        assert not any(map(alive, pids)), "the end is reported when nothing is left"


def test_extending_moves_the_deadline_forward_and_never_back(home, tmp_path):
    with running_host(home):
        daemon = Daemon(home)
        first = boottime() + 0.8
        spec, pids = start_long(daemon, home, tmp_path, deadline=first)
        daemon.send(messages.Extend(spec.ref, first + 1.0), messages.Extend(spec.ref, first - 100))
        wait_for(lambda: boottime() > first + 0.3, "time passes")
        assert all(map(alive, pids))
        daemon.wait(messages.Ended, spec.ref)
        assert first + 1.0 <= boottime() < first + 1.5


def test_an_extension_after_the_deadline_revives_nothing(home, tmp_path):
    with running_host(home) as host:
        daemon = Daemon(home)
        deadline = boottime() + 1.0
        spec, pids = start_long(daemon, home, tmp_path, deadline=deadline)
        host.process.send_signal(signal.SIGSTOP)  # as when the whole machine was suspended
        wait_for(lambda: boottime() > deadline + 0.2, "the deadline passes")
        daemon.send(messages.Extend(spec.ref, boottime() + HOUR))
        host.process.send_signal(signal.SIGCONT)
        assert daemon.wait(messages.Ended, spec.ref).why == "deadline"
        gone(pids)


def test_at_its_deadline_a_job_dies_although_its_host_stands_still(home, tmp_path):
    with running_host(home) as host:
        daemon = Daemon(home)
        deadline = boottime() + 1.5
        spec, pids = start_long(daemon, home, tmp_path, deadline=deadline)
        daemon.send(messages.Extend(spec.ref, deadline + 0.5))
        wait_for(lambda: boottime() > deadline, "time passes")
        assert all(map(alive, pids))
        host.process.send_signal(signal.SIGSTOP)
        gone(pids, 2.0)
        assert deadline + 0.5 <= boottime() < deadline + 2.5
        host.process.send_signal(signal.SIGCONT)
        assert daemon.wait(messages.Ended, spec.ref).why == "deadline"


def test_a_start_whose_deadline_has_passed_starts_nothing(home):
    with running_host(home):
        daemon = Daemon(home)
        spec = spec_of(home, script("true"))
        daemon.send(messages.Start(spec, boottime() - 0.001))
        ended = daemon.wait(messages.Ended, spec.ref)
        assert (ended.result, ended.why) == (None, "deadline")
        assert not job_dir(home, spec.ref).exists()


def test_a_second_start_of_one_attempt_starts_nothing(home, tmp_path):
    with running_host(home):
        daemon = Daemon(home)
        side = tmp_path / "side"
        spec = spec_of(home, script(f"echo started >> {side}\nwhile [ ! -e {side}.go ]; do sleep 0.02; done"))
        daemon.send(messages.Start(spec, boottime() + HOUR))
        first = daemon.wait(messages.Started, spec.ref)
        daemon.send(messages.Start(spec, boottime() + HOUR))
        assert daemon.wait(messages.Started, spec.ref) == first
        wait_for(side.exists, "the job runs")
        (tmp_path / "side.go").touch()
        daemon.result(spec.ref)
        daemon.send(messages.Start(spec, boottime() + HOUR))
        daemon.result(spec.ref)
        assert side.read_text() == "started\n"


@pytest.mark.parametrize("also", ["nothing", "leader", "shell", "all of its own"])
def test_a_job_never_outlives_its_host(home, tmp_path, also):
    """SIGKILL of the host, and at the same moment of the job's leader, of its shell, or of the host and every process
    between it and the job."""
    host = Host(home)
    _, pids = start_long(Daemon(home), home, tmp_path)
    shell, leader, keeper = pids[0], _parent(pids[0]), _parent(_parent(pids[0]))
    doomed = {"nothing": [], "leader": [leader], "shell": [shell], "all of its own": [keeper, leader, shell]}
    for pid in (host.process.pid, *doomed[also]):
        os.kill(pid, signal.SIGKILL)
    assert gone([leader, *pids]) < 0.3
    host.process.wait()
    wait_for(lambda: not marked_processes(home), "nothing is left")


def _parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_a_killed_keeper_takes_its_job_along_and_the_attempt_is_lost(home, tmp_path):
    """Also a child that daemonised and carries no mark."""
    with running_host(home):
        daemon = Daemon(home)
        text = LONG.replace("setsid sh", "setsid env -i /bin/sh")
        spec, pids = start_long(daemon, home, tmp_path, text=text)
        os.kill(_parent(_parent(pids[0])), signal.SIGKILL)
        ended = daemon.wait(messages.Ended, spec.ref)
        assert ended.result is None
        assert "keeper was killed" in ended.why
        assert not any(map(alive, pids))


def test_a_job_process_killed_from_outside_leaves_no_result(home, tmp_path):
    with running_host(home):
        daemon = Daemon(home)
        spec, pids = start_long(daemon, home, tmp_path)
        os.kill(_parent(pids[0]), signal.SIGKILL)
        ended = daemon.wait(messages.Ended, spec.ref)
        assert (ended.result, ended.why) == (None, "the job's process was ended by signal 9")
        assert not any(map(alive, pids))


def test_kill_ends_everything_without_a_result(home, tmp_path):
    with running_host(home):
        daemon = Daemon(home)
        spec, pids = start_long(daemon, home, tmp_path)
        daemon.send(messages.Kill(spec.ref))
        ended = daemon.wait(messages.Ended, spec.ref)
        assert (ended.result, ended.why) == (None, "killed")
        assert not any(map(alive, pids))


def test_what_a_finished_job_left_running_is_ended_before_the_end_is_told(home, tmp_path):
    with running_host(home):
        daemon = Daemon(home)
        text = f"""
        setsid sleep 1000 < /dev/null > /dev/null 2>&1 &
        echo $! > {tmp_path}/left
        (setsid env -i sh -c 'echo $$ > {tmp_path}/scrubbed; exec sleep 1000' &)
        while [ ! -s {tmp_path}/scrubbed ]; do sleep 0.02; done
        """
        spec = spec_of(home, script(text))
        daemon.send(messages.Start(spec, boottime() + HOUR))
        assert daemon.result(spec.ref).conclusion is Conclusion.SUCCESS
        assert not alive(int((tmp_path / "left").read_text()))
        assert not alive(int((tmp_path / "scrubbed").read_text()))


def test_a_restarted_daemon_finds_its_job_still_running(home, tmp_path):
    with running_host(home):
        daemon = Daemon(home)
        deadline = boottime() + HOUR
        spec, pids = start_long(daemon, home, tmp_path, deadline=deadline)
        daemon.close()
        later = Daemon(home, incarnation=2)
        assert [(job.ref, job.ended, job.deadline) for job in later.jobs.jobs] == [(spec.ref, False, deadline)]
        assert all(map(alive, pids))
        later.send(messages.Kill(spec.ref))
        later.wait(messages.Ended, spec.ref)


def test_no_command_of_an_earlier_daemon_is_obeyed_after_a_later_hello(home):
    """The earlier daemon's start lies unread in the host's socket when the later one says hello."""
    with running_host(home) as host:
        early = Daemon(home, incarnation=1)
        dropped = spec_of(home, script("true"))
        host.process.send_signal(signal.SIGSTOP)
        early.send(messages.Start(dropped, boottime() + HOUR))
        later = Daemon(home, incarnation=2, hello=False)
        later.send(messages.Hello(2, 5.0))
        host.process.send_signal(signal.SIGCONT)
        assert later.wait(messages.Jobs).jobs == ()
        wait_for(lambda: not early.poll(), "the earlier connection is closed")
        again = spec_of(home, script("true"), attempt=2)
        later.send(messages.Start(again, boottime() + HOUR))
        assert later.wait(messages.Ended).ref == again.ref
        assert not job_dir(home, dropped.ref).exists()


def test_a_daemon_of_an_earlier_start_is_refused(home):
    with running_host(home):
        later = Daemon(home, incarnation=5)
        early = Daemon(home, incarnation=4, hello=False)
        early.send(messages.Hello(4, 5.0))
        wait_for(lambda: not early.poll(), "the earlier daemon is refused")
        assert later.poll()


def test_without_a_hello_nothing_is_obeyed(home):
    with running_host(home):
        daemon = Daemon(home, hello=False)
        daemon.send(messages.Start(spec_of(home, script("true")), boottime() + HOUR))
        wait_for(lambda: not daemon.poll(), "the connection is closed")
        assert Daemon(home).jobs.jobs == ()


@pytest.mark.parametrize("data", [b"\xff" * 64, b"\0\0\0\1\xc1", b"GET / HTTP/1.1\r\n\r\n"])
def test_junk_closes_one_connection_and_nothing_else(home, data):
    with running_host(home):
        daemon = Daemon(home)
        other = Daemon(home, hello=False)
        other.socket.sendall(data)
        other.socket.shutdown(1)
        wait_for(lambda: not other.poll(), "the connection is closed")
        spec = spec_of(home, script("true"))
        daemon.send(messages.Start(spec, boottime() + HOUR))
        daemon.result(spec.ref)


def test_one_home_has_one_host(home):
    with running_host(home):
        Daemon(home)
        second = subprocess.run(
            [sys.executable, "-m", "clockmesh.runner.host", "--home", str(home)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 6
        assert "another runner host" in second.stderr
        assert Daemon(home).jobs.jobs == ()


def test_a_host_ends_a_lease_after_its_last_job_when_no_daemon_is_there(home, tmp_path):
    with running_host(home) as host:
        daemon = Daemon(home, lease=0.5)
        _, pids = start_long(daemon, home, tmp_path, deadline=boottime() + 1.5)
        daemon.close()
        gone(pids)
        ended = time.monotonic()
        assert host.process.wait(5) == 0
        assert 0.3 < time.monotonic() - ended < 1.5


def test_a_daemon_that_comes_while_the_host_is_about_to_end_is_served(home):
    with running_host(home) as host:
        Daemon(home, lease=0.4).close()
        host.process.send_signal(signal.SIGSTOP)
        late = Daemon(home, incarnation=2, hello=False)  # in the backlog of a host whose lease runs out meanwhile
        over = boottime() + 0.6
        wait_for(lambda: boottime() > over, "the lease runs out")
        host.process.send_signal(signal.SIGCONT)
        late.send(messages.Hello(2, 5.0))
        late.wait(messages.Jobs)
        assert Daemon(home, incarnation=3).jobs.jobs == (), "it listens again"


def test_a_host_that_is_told_to_quit_ends_when_it_is_idle_and_only_then(home, tmp_path):
    with running_host(home) as host:
        daemon = Daemon(home)
        spec, _ = start_long(daemon, home, tmp_path)
        daemon.send(messages.QuitIfIdle(), messages.Kill(spec.ref))
        daemon.wait(messages.Ended, spec.ref)
        assert host.process.poll() is None
        daemon.send(messages.QuitIfIdle())
        assert host.process.wait(5) == 0


def test_an_orderly_stop_of_the_host_ends_its_jobs(home, tmp_path):
    with running_host(home) as host:
        daemon = Daemon(home)
        _, pids = start_long(daemon, home, tmp_path)
        host.process.terminate()
        assert host.process.wait(5) == 0
        assert not any(map(alive, pids))


def test_a_new_host_reports_what_its_predecessor_finished_and_kills_what_it_left(home, tmp_path):
    with running_host(home) as host:
        daemon = Daemon(home)
        done = spec_of(home, script("true"))
        daemon.send(messages.Start(done, boottime() + HOUR))
        result = daemon.result(done.ref)
        mark = f"{marks_of(home)}dead:{'5' * 64}/x-1"
        left = subprocess.Popen(["sleep", "1000"], env={**os.environ, "CLOCKMESH_JOB": mark})
        host.kill()
        host.start()
        later = Daemon(home, incarnation=2)
        assert left.wait(5) == -signal.SIGKILL
        assert [job.ref for job in later.jobs.jobs] == [done.ref]
        assert later.result(done.ref) == result
        again = second_attempt(done)
        later.send(messages.Start(again, boottime() + HOUR))
        later.result(again.ref)


def marks_of(home):
    from clockmesh.runner.host import _home_mark

    return _home_mark(home.resolve())


def test_many_jobs_run_side_by_side(home):
    with running_host(home) as host:
        daemon = Daemon(home)
        specs = [spec_of(home, script("sleep 0.3"), attempt=number) for number in range(1, 9)]
        began = time.monotonic()
        daemon.send(*(messages.Start(spec, boottime() + HOUR) for spec in specs))
        for spec in specs:
            assert daemon.result(spec.ref).conclusion is Conclusion.SUCCESS
        assert time.monotonic() - began < 2.4, "one after the other they would take that long"
        assert "Traceback" not in host.said


def test_a_host_works_in_a_home_whose_path_is_longer_than_a_socket_allows(tmp_path):
    home = tmp_path / ("x" * 120)
    with running_host(home):
        daemon = Daemon(home)
        spec = spec_of(home, script("true"))
        daemon.send(messages.Start(spec, boottime() + HOUR))
        daemon.result(spec.ref)
