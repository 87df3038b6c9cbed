"""Where the control socket of a home is, and how to name it to the kernel however deep the home lies.

A Unix socket's path is limited to 108 bytes. A longer one is named through a descriptor of its directory, for
`connect` and `bind` alike: `/proc/self/fd/7/control.sock`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET_NAME = "control.sock"
LONGEST = 100
"""Bytes of a path that is given as it is: 108 with a margin for the closing zero byte of other systems."""


@contextmanager
def short_path(home: str) -> Iterator[str]:
    """A path of the home's control socket that the kernel takes, valid inside the block. OSError without the home."""
    path = os.path.join(home, SOCKET_NAME)
    if len(os.fsencode(path)) <= LONGEST:
        yield path
        return
    directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET_NAME}"
    finally:
        os.close(directory)
