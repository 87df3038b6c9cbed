"""Other projects' test cases, read where they are kept: they are no part of this project.

The folder is CLOCKMESH_CONFORMANCE, by default `../shared/conformance` beside the project; without it the tests skip.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("CLOCKMESH_CONFORMANCE", ROOT.parent / "shared" / "conformance"))


def cases(family: str) -> list[Any]:
    """The cases of a family as pytest parameters, without the doubtful ones; one that skips where there are none."""
    path = FOLDER / f"{family}.json"
    if not path.is_file():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no cases: {path} is not there"), id=family)]
    found = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return [pytest.param(case, id=case["id"]) for case in found if not case.get("doubtful")]
