"""What git says of a work tree: at which commit and branch it stands, and where it came from. Light to import, since
every `run submit` asks it."""

from __future__ import annotations

import os
import re


def work_tree(folder: str) -> str | None:
    """The root of the git work tree that holds the folder; None outside of one, and without git. OSError with git's
    reason when git refuses a tree that is there."""
    above = folder
    while not os.path.exists(os.path.join(above, ".git")):
        if above == os.path.dirname(above):
            return None
        above = os.path.dirname(above)
    try:
        return os.fsdecode(ask(folder, "rev-parse", "--show-toplevel").rstrip(b"\n"))
    except FileNotFoundError:
        return None


def head(root: str) -> tuple[str, str]:
    """Commit id and full name of the branch; each '' where there is none."""
    sha = ask(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", may_fail=True).decode().strip()
    return sha, ask(root, "symbolic-ref", "--quiet", "HEAD", may_fail=True).decode().strip()


def origin_url(root: str) -> str:
    """The URL of `origin`, a password in it left out (it would be read by every peer), and before an http host any
    user, for many a token stands there; a path made absolute."""
    url = ask(root, "remote", "get-url", "origin", may_fail=True).decode(errors="replace").strip()
    if re.match(r"[a-z+]+://", url, re.IGNORECASE):
        url = re.sub(r"^(https?://)[^/@]*@", r"\1", url, flags=re.IGNORECASE)
        return re.sub(r"^([a-z+]+://[^/@:]*):[^/@]*@", r"\1@", url, flags=re.IGNORECASE)
    if url and not re.match(r"[^/]+:", url):
        return os.path.realpath(os.path.join(root, url))
    return url


def ask(folder: str, *words: str, may_fail: bool = False) -> bytes:
    """What `git WORDS` prints in the folder; b'' where it failed and may. OSError with git's reason."""
    import subprocess  # a third of a short command's start, needed in a work tree only

    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode and not may_fail:
        raise OSError(f"git {words[0]} failed in {folder}: {first_line(done.stderr)}")
    return done.stdout if not done.returncode else b""


def first_line(data: bytes) -> str:
    """Of what a command wrote to standard error."""
    return (data.decode(errors="replace").strip().splitlines() or ["no reason given"])[0]
