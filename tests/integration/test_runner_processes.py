"""Finding, ending and cleaning up after processes."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from clockmesh.runner import proctree
from clockmesh.runner.files import remove_tree, write_whole
from clockmesh.runner.process import Command, How, Processes
from tests.integration.runner_support import alive, in_child, wait_for

ENV = {"PATH": os.environ["PATH"]}


def test_a_tree_is_found_and_ended_with_its_orphans_by_a_subreaper():
    def run():
        proctree.become_subreaper()
        text = "(setsid sh -c 'exec sleep 1000' &) ; sleep 1000 & exec sleep 1000"
        subprocess.Popen(["sh", "-c", text], stdin=subprocess.DEVNULL)
        found = wait_for(lambda: _three(os.getpid()), "all three run")
        while proctree.end_tree(os.getpid()):
            time.sleep(0.005)
        return [proc.pid for proc in found if alive(proc.pid)]

    assert in_child(run) == []


def _three(root):
    table = proctree.all_processes()
    found = [proc for proc in proctree.descendants(root, table) if _command(proc.pid) == "sleep"]
    return found if len(found) == 3 else None


def _command(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_a_process_is_never_taken_for_another_that_got_its_pid():
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        proc = proctree.look_up(sleeper.pid)
        other = proctree.Proc(proc.pid, proc.parent, proc.session, proc.started - 1, dead=False)
        assert proctree.end([other]) == 0
        assert proctree.end_session(proc.pid, proc.started - 1) == 0
        assert alive(sleeper.pid)
        assert proctree.end([proc]) == 1
    finally:
        sleeper.kill()
        sleeper.wait()
    assert proctree.end([proc]) == 0


def test_marks_are_matched_by_their_beginning():
    sleeper = subprocess.Popen(["sleep", "1000"], env={"X": "1", proctree.MARK: "home.host:run/job-1"})
    try:
        wait_for(lambda: proctree.marked("home.host:"), "it runs")
        assert [proc.pid for proc in proctree.marked("home.")] == [sleeper.pid]
        assert proctree.marked("home.host2") == []
        assert proctree.marked("host:") == []
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_process_that_is_to_die_with_its_parent_dies_even_if_that_died_first():
    def run():
        proctree.become_subreaper()
        parent = os.fork()
        if parent == 0:
            parent = os.getpid()
            if os.fork() == 0:
                while os.getppid() == parent:
                    time.sleep(0.001)
                proctree.die_with(parent)
                os._exit(0)
            os._exit(0)
        statuses = [os.waitpid(-1, 0)[1] for _ in range(2)]
        return [os.waitstatus_to_exitcode(status) for status in statuses]

    assert in_child(run) == [0, -signal.SIGKILL]


def test_a_command_that_cannot_be_stopped_politely_takes_its_group_along(tmp_path):
    def run():
        processes = Processes()
        text = f"sleep 1000 & echo $! > {tmp_path}/child; echo ready; wait"
        lines = []
        ended = processes.run(Command(["/bin/sh", "-c", text], tmp_path, ENV), lines.extend, timeout=0.4)
        return ended, lines

    ended, lines = in_child(run)
    assert (ended.how, ended.good, lines) == (How.TIMED_OUT, False, ["ready"])
    wait_for(lambda: not alive(int((tmp_path / "child").read_text())), "its child ends")


def test_the_signals_of_a_command_are_as_new_whatever_its_parent_ignores(tmp_path):
    def run():
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN)
        lines = []
        processes = Processes()
        processes.run(Command(["/bin/cat", "/proc/self/status"], tmp_path, ENV), lines.extend)
        return dict(line.split(":\t") for line in lines if line.startswith(("SigIgn", "SigBlk")))

    status = in_child(run)
    assert int(status["SigBlk"], 16) == 0
    assert int(status["SigIgn"], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_a_tree_without_permissions_is_removed():
    def run():
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        folder = Path(tempfile.mkdtemp())
        (folder / "a/b").mkdir(parents=True)
        (folder / "a/b/c").write_text("x")
        (folder / "link").symlink_to("/tmp")
        for name, mode in (("a/b/c", 0), ("a/b", 0o000), ("a", 0o500)):
            (folder / name).chmod(mode)
        remove_tree(folder)
        return folder.exists()

    assert not in_child(run)
    assert Path("/tmp").is_dir()


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "x", b"one")
    write_whole(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600
