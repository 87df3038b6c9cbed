"""A workflow file, from its bytes to the model, every rule of the format checked."""

from __future__ import annotations

from clockmesh.runner.errors import WorkflowError
from clockmesh.runner.model import Triggers, Workflow
from clockmesh.runner.model_availability import CONSTANT, RUN_NAME, WORKFLOW_ENV, WORKFLOW_GROUP
from clockmesh.runner.model_concurrency import read_concurrency
from clockmesh.runner.model_events import read_triggers
from clockmesh.runner.model_jobs import read_defaults, read_jobs
from clockmesh.runner.model_permissions import check_permissions
from clockmesh.runner.model_sheet import Sheet, kind
from clockmesh.runner.reader import Mapping, read_yaml

_KEYS = ("name", "description", "run-name", "labels", "on", "permissions", "env", "defaults", "concurrency", "jobs")


def read_workflow(data: bytes, file: str) -> Workflow:
    """The workflow in a file's bytes; `file` is how errors name it. Raises WorkflowError."""
    root = read_yaml(data, file)
    if not isinstance(root, Mapping):
        message = f"a workflow must be a mapping with `on` and `jobs`, not {kind(root)}"
        raise WorkflowError(file, root.line, root.column, message)
    sheet = Sheet(file)
    found = sheet.keys(root, "a workflow", _KEYS)
    if "on" not in found:
        sheet.missing(root, found, root, "the workflow has no `on`; add `on: workflow_dispatch`")
    if "jobs" not in found:
        sheet.missing(root, found, root, "there are no jobs; add some under `jobs`")
    if "permissions" in found:
        check_permissions(sheet, found["permissions"])
    sheet.plain(found.get("description"), "`description`", empty=True)
    workflow = Workflow(
        file=file,
        name=sheet.plain(found.get("name"), "`name`", empty=True) or "",
        run_name=sheet.text(found.get("run-name"), "`run-name`", RUN_NAME, empty=True),
        labels=tuple(text.text for text in sheet.texts(found.get("labels"), "a label of the workflow")),
        triggers=read_triggers(sheet, found["on"]) if "on" in found else Triggers(()),
        env=sheet.named(found.get("env"), "`env`", WORKFLOW_ENV),
        defaults=read_defaults(sheet, found.get("defaults"), CONSTANT),
        jobs=read_jobs(sheet, found["jobs"]) if "jobs" in found else (),
        concurrency=read_concurrency(sheet, found.get("concurrency"), WORKFLOW_GROUP),
    )
    sheet.finish()
    return workflow
