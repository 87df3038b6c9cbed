"""Workflow files for the tests of the Python API."""

from __future__ import annotations

from pathlib import Path

from clockmesh import P2PWorkflowCoordinator

TAGGED = "name: P2P-Workflow Scraping\non: push\nlabels: [p2p-workflow]\njobs:\n  scrape: {runs-on: ubuntu-latest}\n"


def workflow(folder: Path, name: str = "scrape.yml", text: str = TAGGED) -> str:
    """The path of a new workflow file."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return str(file)


def coordinator(folder: Path, peer: str = "peer-1", *others: str) -> P2PWorkflowCoordinator:
    """One that keeps its state below `folder`, with these peers added."""
    made = P2PWorkflowCoordinator(peer_id=peer, data_dir=str(folder / "state"))
    for other in others:
        made.add_peer(other)
    return made


def submitted(folder: Path, *others: str) -> tuple[P2PWorkflowCoordinator, str]:
    """A coordinator and the id of its one workflow."""
    made = coordinator(folder, "peer-1", *others)
    return made, made.submit_workflow(workflow(folder))
