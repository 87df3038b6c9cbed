"""The arguments of bubblewrap, and the files that it is given."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from clockmesh.runner import sandbox
from clockmesh.runner.host_messages import Hello, Jobs, command_from_map, report_from_map
from clockmesh.runner.leader_files import remove_links
from clockmesh.runner.sandbox import (
    NO_SANDBOX,
    Extra,
    Inside,
    Sandbox,
    arguments,
    group,
    passwd,
    sandbox_from_map,
    sandbox_to_map,
)

PLAIN = Sandbox()


def made(chosen: Sandbox = PLAIN, hidden: str = "/tmp/home", network: bool = True) -> list[str]:
    return arguments(chosen, Inside(Path("/w/home"), Path("/w/job"), Path(hidden), 7, 8, network))


def mounts(words: list[str]) -> list[tuple[str, str]]:
    """(option, its first argument), in order."""
    return [(word, value) for word, value in pairwise(words) if word.startswith("--")]


def test_the_root_is_closed_for_writing_after_all_mounts() -> None:
    words = made(Sandbox(extras=(Extra("/srv/a"),)))
    assert words[-4:] == ["--remount-ro", "/", "--chdir", "/"]
    assert ("--bind", "/srv/a") in mounts(words)


def test_a_peers_home_is_covered_where_its_folder_is_shown() -> None:
    words = mounts(made(hidden="/opt/clockmesh/home"))
    covered = words.index(("--tmpfs", "/opt/clockmesh/home"))
    shown = [place for place, word in enumerate(words) if word in {("--ro-bind", "/opt"), ("--symlink", "usr/lib")}]
    assert all(place < covered for place in shown)
    assert ("--remount-ro", "/opt/clockmesh/home") in words
    assert ("--tmpfs", "/srv/home") not in mounts(made(hidden="/srv/home"))


def test_only_a_job_without_network_has_a_network_namespace() -> None:
    assert "--unshare-net" not in made()
    assert "--unshare-net" in made(network=False)


def test_folders_of_the_owners_choice_are_shown_as_chosen() -> None:
    words = mounts(made(Sandbox(extras=(Extra("/srv/a/b"), Extra("/tmp/c", writable=False)))))
    assert ("--bind", "/srv/a/b") in words
    assert ("--ro-bind", "/tmp/c") in words
    assert words.index(("--dir", "/srv")) < words.index(("--dir", "/srv/a")) < words.index(("--bind", "/srv/a/b"))
    assert ("--dir", "/tmp") not in words


def test_no_folder_of_homes_or_state_is_bound() -> None:
    bound = {value for word, value in mounts(made()) if "bind" in word}
    assert not bound & {"/", "/home", "/root", "/var", "/var/lib", "/run", "/tmp", "/proc", "/dev", "/srv", "/mnt"}


def test_the_jobs_user_takes_the_place_of_whoever_has_its_id(tmp_path: Path) -> None:
    users = tmp_path / "passwd"
    users.write_text("root:x:0:0:root:/root:/bin/bash\nann:x:1234:1234:Ann:/home/ann:/bin/zsh\nrunner:x:5:5::/x:/bin/sh\n")
    lines = passwd(1234, str(users)).decode().splitlines()
    assert lines == ["runner:x:1234:1234:runner:/home/runner:/bin/bash", "root:x:0:0:root:/root:/bin/bash"]
    assert group(1234, str(tmp_path / "absent")).decode() == "runner:x:1234:\n"


EVERYTHING = Sandbox(True, (Extra("/a"), Extra("/b", writable=False)), 1, 2, 3)


@pytest.mark.parametrize("chosen", [NO_SANDBOX, PLAIN, EVERYTHING])
def test_a_choice_reads_back_as_it_is_sent(chosen: Sandbox) -> None:
    assert sandbox_from_map(sandbox_to_map(chosen)) == chosen


def test_a_daemon_of_an_earlier_version_gets_what_it_had_and_an_earlier_host_is_no_sandbox() -> None:
    assert command_from_map({"do": "hello", "incarnation": 1, "lease": 2.0}) == Hello(1, 2.0, NO_SANDBOX)
    told = report_from_map({"is": "jobs", "jobs": []})
    assert isinstance(told, Jobs)
    assert told.refused == "the runner host that runs is of an earlier version and makes no sandbox; restart it"


def test_a_tmp_is_a_part_of_the_memory_at_most() -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < sandbox.tmp_bytes() <= min(memory // 8, 1 << 30)


def test_a_link_in_place_of_a_log_is_removed(tmp_path: Path) -> None:
    for name in ("log", "workflow"):
        (tmp_path / name).symlink_to("/etc/passwd")
    (tmp_path / "result").write_bytes(b"kept")
    remove_links(tmp_path)
    assert os.listdir(tmp_path) == ["result"]
