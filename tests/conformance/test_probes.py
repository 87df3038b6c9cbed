"""Behaviour probes: small repositories whose runs GitHub's documentation decides, judged by their own judge.

They are read from CLOCKMESH_PROBES, by default `../shared/probes` beside the project; without it the tests skip. A run
here is that of one peer alone: each job led as the runner host leads it, after the jobs that it needs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clockmesh.protocol.blobs import manifest_of
from clockmesh.protocol.codec import decode_result
from clockmesh.protocol.plan import Plan, PlannedJob
from clockmesh.protocol.result import Result
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.job import lead
from clockmesh.runner.plan import make_plan, read_workflow
from clockmesh.runner.snapshot import make_snapshot
from clockmesh.runner.spec import JobSpec, NeedResult
from tests.conformance.cases import ROOT
from tests.integration.runner_support import in_child, repository

FOLDER = Path(os.environ.get("CLOCKMESH_PROBES", ROOT.parent / "shared" / "probes"))

OF_THE_MESH = {"v14", "v15", "v17", "v35", "v46", "v47", "v55", "v56", "v57"}
"""Several jobs at once, jobs that results bring, a person's cancel: what the coordinator does, and `run local` with it
(see `probes`)."""
MINUTES = {"v33", "v34"}
"""Their time limits are whole minutes."""
LATER = {"v25", "v27", "v28", "v29", "v30", "v31", "v32", "v58", "v60"}
"""Summaries, masks, secrets, variables, commands on standard output, names of runs: no part of the runner yet."""


def _probes() -> list[Any]:
    path = FOLDER / "probes.json"
    if not path.is_file():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no probes: {path} is not there"), id="probes")]
    probes = json.loads(path.read_text(encoding="utf-8"))["probes"]
    return [
        pytest.param(probe, id=probe["id"], marks=[pytest.mark.long] if probe["id"][:3] in MINUTES else [])
        for probe in probes
        if probe["id"][:3] not in OF_THE_MESH
    ]


def _judge() -> Callable[[dict[str, Any], dict[str, Any]], tuple[list[str], list[str]]]:
    spec = importlib.util.spec_from_file_location("probe_judge", FOLDER / "judge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    judge: Callable[[dict[str, Any], dict[str, Any]], tuple[list[str], list[str]]] = module.judge
    return judge


class _Run:
    """A probe's run, and what there was to observe."""

    def __init__(self, probe: dict[str, Any], folder: Path) -> None:
        self.seen: dict[str, Any] = {"result": "invalid", "jobs": [], "logs": [], "errors": "", "outputs": {}}
        self._folder = folder
        source = FOLDER / probe["dir"]
        repository(folder / "repository", {name: (source / name).read_text() for name in probe["files"]})
        self._workflow = folder / "repository" / probe["workflow"]
        self._ended: dict[str, NeedResult] = {}
        started = time.monotonic()
        try:
            plan = self._plan(probe)
        except RunnerError as error:
            self.seen["errors"] = str(error)
        else:
            self._run(plan)
        self.seen["wall_s"] = time.monotonic() - started

    def _plan(self, probe: dict[str, Any]) -> Plan:
        data = self._workflow.read_bytes()
        workflow = read_workflow(data, probe["workflow"])
        made = make_snapshot(self._workflow, limit=10_000_000)
        (self._folder / "snapshot").write_bytes(made.file.read())
        return make_plan(
            workflow,
            path=probe["workflow"],
            workflow_blob=manifest_of(data).blob,
            source=made.snapshot,
            inputs=probe.get("inputs") or {},
            force=True,
            event=probe["event"],
        )

    def _run(self, plan: Plan) -> None:
        waiting = {job.job_id: [leg for leg in plan.jobs if leg.job_id == job.job_id] for job in plan.jobs}
        while waiting:
            job_id, legs = next((each, legs) for each, legs in waiting.items() if not waiting.keys() & legs[0].needs)
            self._ended[job_id] = _together([(leg, self._lead(plan, leg)) for leg in legs])
            self.seen["outputs"][job_id] = self._ended[job_id].outputs
            del waiting[job_id]
        results = {need.result for need in self._ended.values()}
        self.seen["result"] = next((each for each in ("failure", "cancelled") if each in results), "success")

    def _lead(self, plan: Plan, leg: PlannedJob) -> Result:
        folder = self._folder / f"job-{len(self.seen['jobs'])}"
        folder.mkdir()
        spec = JobSpec(
            run="ab" * 32,
            key=leg.key,
            attempt=1,
            plan=plan,
            workflow=str(self._workflow),
            snapshot=str(self._folder / "snapshot"),
            needs=self._ended,
            actor="ann",
            peer="here",
        )
        in_child(lead, spec, folder, "probe")
        result = decode_result((folder / "result").read_bytes())
        about = {"job": leg.job_id, "matrix": json.loads(leg.matrix) if leg.matrix else {}}
        self.seen["jobs"].append(about | {"result": result.conclusion.value})
        lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
        self.seen["logs"].extend(about | {"step": line["step"], "text": line["text"]} for line in lines)
        return result


def _together(legs: list[tuple[PlannedJob, Result]]) -> NeedResult:
    """What other jobs see of the legs of one job."""
    results = ["success" if leg.continue_on_error and result.conclusion == "failure" else result.conclusion.value
               for leg, result in legs]  # fmt: skip
    worst = next((each for each in ("failure", "cancelled", "success") if each in results), "skipped")
    return NeedResult(worst, {name: value for _, result in legs for name, value in result.outputs})


@pytest.mark.parametrize("probe", _probes())
def test_a_run_comes_to_what_github_documents(probe: dict[str, Any], tmp_path: Path) -> None:
    if probe["id"][:3] in LATER:
        pytest.skip("needs what is not there yet")
    run = _Run(probe, tmp_path)
    if "not supported yet" in run.seen["errors"]:
        pytest.skip(run.seen["errors"])
    bad, _ = _judge()(probe["expect"], run.seen)
    assert not bad, bad
