"""What tests of several folders use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

SmallDisk = Callable[[int], Path]


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """`small_disk(MIB)`: an empty folder on a disk of its own, a tmpfs. Who is not root has the test run in a mount
    namespace, where he is; where there is none the test is skipped."""
    if os.geteuid() != 0:
        _run_as_root_of_a_namespace(request)
    with ExitStack() as mounted:

        def mount(mib: int) -> Path:
            folder = tmp_path / f"disk-{mib}"
            folder.mkdir(mode=0o700)
            options = f"size={mib}m,mode=700"
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
            if done.returncode != 0:
                pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
            mounted.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
            return folder

        yield mount


def _run_as_root_of_a_namespace(request: pytest.FixtureRequest) -> None:
    """Ends the test as the same test there did."""
    unshare = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("a disk of its own needs root, or user namespaces (`unshare --map-root-user --mount`)")
    words = [*unshare, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", request.node.nodeid]
    done = subprocess.run(words, cwd=request.config.rootpath, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"in a mount namespace: {done.stdout[-3000:]}", pytrace=False)
    pytest.skip("passed in a mount namespace of its own")
