"""A scrape of a repository that wants a token: with `remote add` it clones, commits and pushes; the token gets through
nowhere."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clockmesh.daemon.demo.peers import DemoError, Mesh, wait_until
from tests.acceptance.githttp import BACKEND, Server, serve_git

pytestmark = pytest.mark.skipif(not BACKEND.exists(), reason="git has no http-backend here")
TOKEN = "ghp_Tk99xx-prices-4711"
SCRAPE = """\
name: Scrape
labels: [p2p-workflow]
on: {workflow_dispatch: {}, schedule: [{cron: '0 6 * * *'}]}
jobs:
  scrape:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          cat .git/config
          echo "token of ${#T} characters: $T"
          git config user.name scraper
          git config user.email scraper@example.invalid
          date +%N > prices.txt
          git add prices.txt
          git commit -qm "New prices"
          git push
        env: {T: '${{ secrets.GITHUB_TOKEN }}'}
      - run: test "${{ github.token == secrets.GITHUB_TOKEN }}" = true
"""
PATH = ".github/workflows/scrape.yml"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """With the repository `prices.git`, whose first commit has the workflow."""
    bare, work = tmp_path / "git" / "prices.git", tmp_path / "work"
    git("init", "-q", "--bare", "-b", "main", str(bare))
    git("-C", str(bare), "config", "http.receivepack", "true")
    git("clone", "-q", str(bare), str(work))
    (work / PATH).parent.mkdir(parents=True)
    (work / PATH).write_text(SCRAPE)
    git("-C", str(work), "add", ".")
    git("-C", str(work), "-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-qm", "first")
    git("-C", str(work), "push", "-q", "origin", "HEAD:main")
    with serve_git(tmp_path / "git", TOKEN) as made:
        yield made


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def commits(server: Server) -> int:
    return int(git("-C", str(server.folder / "prices.git"), "rev-list", "--count", "main"))


def submit(mesh: Mesh, url: str, name: str = "beta") -> str:
    return str(mesh[name].json("run", "submit", PATH, "--remote", url)["run"])


def ended(mesh: Mesh, run: str, good: int = 0) -> str:
    mesh["alpha"].run("run", "wait", run, "--timeout", "60", good=(good,))
    return mesh["alpha"].run("run", "logs", run)


def test_without_a_token_one_line_says_what_to_do(mesh: Mesh, server: Server) -> None:
    url = f"{server.url}/prices.git"
    run = submit(mesh, url)
    ended(mesh, run, good=1)
    error = mesh["gamma"].json("run", "show", run)["error"]
    assert error.endswith(f"clockmesh remote add {url}")
    assert "asks for credentials" in error


def test_with_a_token_a_scrape_clones_commits_and_pushes(mesh: Mesh, server: Server) -> None:
    url = f"{server.url}/prices.git"
    mesh["alpha"].run("remote", "add", url, typed=TOKEN + "\n")
    wait_until(lambda: mesh["beta"].json("remote", "list")["remotes"], "beta knows the remote", 10)
    before = commits(server)
    for name in ("alpha", "beta", "gamma"):
        log = ended(mesh, submit(mesh, url, name))
        assert f"token of {len(TOKEN)} characters: ***" in log
        assert "extraheader = AUTHORIZATION: basic ***" in log
    assert commits(server) == before + 3
    (listed,) = mesh["gamma"].json("remote", "list")["remotes"]
    assert (listed["url"], listed["set_by"], listed["opened_by_all"]) == (url.removesuffix(".git"), "alpha", True)
    _nowhere(mesh)
    mesh["beta"].run("remote", "add", url, typed="wrong:password\n")
    wait_until(lambda: mesh["alpha"].json("remote", "list")["remotes"][0]["set_by"] == "beta", "alpha knows", 10)
    run = submit(mesh, url)
    ended(mesh, run, good=1)
    assert "refuses the mesh's" in mesh["alpha"].json("run", "show", run)["error"]
    mesh["beta"].run("remote", "remove", url)


def _nowhere(mesh: Mesh) -> None:
    """In no file of any peer: as it is, or in the base64 of git's header."""
    wait_until(lambda: not list(mesh.folder.glob("*/jobs/*/*/work")), "work directories are gone", 10)
    parts = [base64.b64encode(bytes(before) + TOKEN.encode())[4:-4] for before in range(3)]
    for path in mesh.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [part for part in (TOKEN.encode(), *parts) if part in data], path


def test_a_schedule_of_a_repository_with_a_token_is_added_and_runs(mesh: Mesh, server: Server) -> None:
    url = f"{server.url}/prices.git"
    with pytest.raises(DemoError, match=rf"clockmesh remote add {url}"):
        mesh["alpha"].run("schedule", "add", PATH, "--remote", url)
    mesh["alpha"].run("remote", "add", server.url, typed=f"ann:{TOKEN}")
    mesh["alpha"].run("schedule", "add", PATH, "--remote", url, "--name", "prices")
    before = commits(server)
    ended(mesh, mesh["alpha"].json("schedule", "trigger", "prices")["run"])
    assert commits(server) == before + 1
    mesh["alpha"].run("schedule", "remove", "prices")
    mesh["alpha"].run("remote", "remove", server.url)


@pytest.mark.parametrize("url", ["http://ann:hunter2@127.0.0.1:1/x.git", "https://hunter2@example.org/x.git"])
def test_a_url_with_credentials_in_it_is_refused_with_the_remedy(mesh: Mesh, url: str) -> None:
    bare = url.replace("ann:hunter2@", "").replace("hunter2@", "")
    for words in (("run", "submit", PATH, "--remote", url), ("schedule", "add", PATH, "--remote", url)):
        with pytest.raises(DemoError, match=rf"exited 2: .*clockmesh remote add {bare}$"):
            mesh["alpha"].run(*words)
    with pytest.raises(DemoError, match=r"exited 2: .*holds credentials"):
        mesh["alpha"].run("remote", "add", url, typed="x")
