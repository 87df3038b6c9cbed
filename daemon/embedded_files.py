"""Workflow files as the embedded coordinator reads them: bytes, tags, and what is wrong in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from clockmesh.coordinator.errors import WrongValue
from clockmesh.runner.eligibility import TAGS
from clockmesh.runner.errors import WorkflowError, quoted
from clockmesh.runner.reader import MAX_BYTES
from clockmesh.runner.tags import Tagged, read_tags


def file_text(workflow_file: object) -> str:
    """The path as it was given. WrongValue for what is no path, a workflow's own text among it."""
    if not isinstance(workflow_file, str | os.PathLike):
        raise WrongValue(f"workflow_file must be a path, not {workflow_file!r:.60}")
    text = os.fsdecode(workflow_file)
    if "\n" in text or len(text) > 4096:
        raise WrongValue("workflow_file must be the path of a file; this looks like a workflow's own text: write it to "
                         f"a file first ({quoted(text, 40)!r})")
    return text


def read_workflow_tags(workflow_file: object) -> Tagged:
    """What the file says of itself. FileNotFoundError; ValueError that begins with the file (and, for what is in it,
    line and column)."""
    text = file_text(workflow_file)
    try:
        with open(Path(text).expanduser(), "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"Workflow file not found: {text}") from None
    except IsADirectoryError:
        raise ValueError(f"{text}: a directory; name the workflow file in it") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{text}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return read_tags(data, text)
    except WorkflowError as error:
        raise ValueError(str(error)) from error


def metadata_of(workflow_file: object) -> dict[str, Any]:
    """name, tags, jobs, triggers, raw; where the file cannot be read: name, no tags and the error. Never raises."""
    try:
        tagged = read_workflow_tags(workflow_file)
    except (OSError, ValueError) as error:
        return {"name": stem(workflow_file), "tags": set(), "error": str(error)}
    return {
        "name": tagged.name or stem(workflow_file),
        "tags": set(tagged.tags),
        "jobs": list(tagged.jobs),
        "triggers": list(tagged.triggers),
        "raw": tagged.raw,
    }


def stem(workflow_file: object) -> str:
    """The file's name without its ending."""
    return Path(os.fsdecode(workflow_file)).stem if isinstance(workflow_file, str | os.PathLike) else ""


def untagged(workflow_file: str) -> ValueError:
    return ValueError(f"{workflow_file}:1:1: the workflow carries no tag; add the line `labels: [{TAGS[0]}]` at the "
                      "top, or submit it with force=True (--force)")
