"""The verb `lint`: all that is wrong or suspicious in workflow files, in one go."""

from __future__ import annotations

from clockmesh.daemon.cli_output import print_json
from clockmesh.daemon.cli_submit import read_whole_workflow
from clockmesh.daemon.exits import Exit
from clockmesh.daemon.text import clean
from clockmesh.runner.bundle import read_workflow
from clockmesh.runner.errors import Problem, WorkflowError
from clockmesh.runner.lint import lint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from clockmesh.daemon.cli_arguments import Asked


def lint_verb(asked: Asked) -> int:
    """One line for each problem, `file:line:column: what, and what to do`; status 2 where there is one."""
    found = [problem for file in asked.options.files for problem in _problems(file)]
    if asked.json:
        print_json({"v": 1, "problems": found})
    else:
        for each in found:
            print(f"{clean(each['file'])}:{each['line']}:{each['column']}: {clean(each['message'])}")
    return Exit.USAGE if found else Exit.OK


def _problems(file: str) -> list[dict[str, Any]]:
    """Trouble for a file that cannot be read."""
    try:
        workflow = read_workflow(read_whole_workflow(file), file)
    except WorkflowError as error:
        first = Problem(error.line, error.column, error.message)
        return [_record(error.file, each) for each in (first, *error.others)]
    return [_record(file, each) for each in lint(workflow)]


def _record(file: str, problem: Problem) -> dict[str, Any]:
    return {"file": file, "line": problem.line, "column": problem.column, "message": problem.message}
