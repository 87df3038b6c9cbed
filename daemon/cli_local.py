"""The verb `run local`: a run on this machine, without a mesh and without a daemon."""

from __future__ import annotations

import sys
import time

from clockmesh.daemon.cli_output import colour, exit_of, print_json
from clockmesh.daemon.exits import Exit, Trouble
from clockmesh.daemon.local import run_here
from clockmesh.daemon.local_order import read_order
from clockmesh.daemon.local_place import new_place
from clockmesh.daemon.local_story import Story, refused
from clockmesh.daemon.refusals import trouble_of
from clockmesh.daemon.text import clean, coloured
from clockmesh.runner.errors import WorkflowError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from clockmesh.daemon.cli_arguments import Asked


def local_verb(asked: Asked) -> int:
    """With --json what happens goes to standard error as it does, and at the end one record to standard output."""
    began = time.monotonic()
    with new_place() as place:
        try:
            order = read_order(asked.options, place.folder)
        except Exception as error:  # any room's error; what none of them knows is a defect
            raise _refusal(asked, error, time.monotonic() - began) from None
        stream = sys.stderr if asked.json else sys.stdout
        story = Story(
            order.plan,
            lambda line: print(line, file=stream, flush=True),
            colour=colour() and not asked.json,
            keep=asked.json,
        )
        outcome = run_here(order, place, story)
    conclusion = str(outcome.run.conclusion)
    if asked.json:
        print_json(story.record(outcome, order.run_name, time.monotonic() - began))
    else:
        print(f"{clean(order.run_name)} > {coloured(conclusion, colour())}", flush=True)
    return exit_of(conclusion)


def _refusal(asked: Asked, error: Exception, wall_s: float) -> Exception:
    trouble = trouble_of(error)
    if trouble is None:
        return error
    if asked.json and trouble.exit == Exit.USAGE:
        print_json(refused(_every_problem(error, trouble), wall_s))
    return trouble


def _every_problem(error: Exception, trouble: Trouble) -> str:
    others = error.others if isinstance(error, WorkflowError) else ()
    file = error.file if isinstance(error, WorkflowError) else ""
    return "\n".join([trouble.message, *(f"{file}:{each.line}:{each.column}: {each.message}" for each in others)])
