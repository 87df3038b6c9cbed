"""clockmesh: GitHub Actions workflows on a handful of your own machines.

The names of the Python API are loaded when they are asked for: importing clockmesh alone loads none of its rooms.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from clockmesh.coordinator.ownership import create_task_hash, hamming_distance, select_task_owner
    from clockmesh.coordinator.queue import FibonacciHeap, FibonacciNode, WorkflowPriorityQueue
    from clockmesh.daemon.cli_p2p import P2PWorkflowCLI, create_parser, main
    from clockmesh.daemon.embedded import P2PWorkflowCoordinator
    from clockmesh.daemon.embedded_clock import MerkleClock
    from clockmesh.daemon.embedded_node import MerkleClockNode
    from clockmesh.daemon.embedded_task import WorkflowStatus, WorkflowTask

_WHERE = {
    "create_task_hash": "coordinator.ownership",
    "hamming_distance": "coordinator.ownership",
    "select_task_owner": "coordinator.ownership",
    "FibonacciHeap": "coordinator.queue",
    "FibonacciNode": "coordinator.queue",
    "WorkflowPriorityQueue": "coordinator.queue",
    "MerkleClock": "daemon.embedded_clock",
    "MerkleClockNode": "daemon.embedded_node",
    "P2PWorkflowCLI": "daemon.cli_p2p",
    "P2PWorkflowCoordinator": "daemon.embedded",
    "WorkflowStatus": "daemon.embedded_task",
    "WorkflowTask": "daemon.embedded_task",
    "create_parser": "daemon.cli_p2p",
    "main": "daemon.cli_p2p",
}
"""The module of each public name."""

__all__ = [
    "FibonacciHeap",
    "FibonacciNode",
    "MerkleClock",
    "MerkleClockNode",
    "P2PWorkflowCLI",
    "P2PWorkflowCoordinator",
    "WorkflowPriorityQueue",
    "WorkflowStatus",
    "WorkflowTask",
    "__version__",
    "create_parser",
    "create_task_hash",
    "hamming_distance",
    "main",
    "select_task_owner",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'clockmesh' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"clockmesh.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
