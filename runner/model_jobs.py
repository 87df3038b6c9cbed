"""`jobs`: each job, and that their needs make sense."""

from __future__ import annotations

from clockmesh.protocol.limits import MAX_JOBS_PER_PLAN
from clockmesh.runner.errors import quoted
from clockmesh.runner.model import Defaults, Job, Strategy, Text
from clockmesh.runner.model_availability import JOB, JOB_DEFAULTS, JOB_ENV, JOB_IF, JOB_OUTPUTS, STRATEGY, Allowed
from clockmesh.runner.model_call import read_call
from clockmesh.runner.model_concurrency import read_concurrency
from clockmesh.runner.model_matrix import check_matrix
from clockmesh.runner.model_permissions import check_permissions
from clockmesh.runner.model_sheet import Sheet, meant
from clockmesh.runner.model_steps import read_steps
from clockmesh.runner.reader import Mapping, Node, Scalar, Sequence

_KEYS = (
    "name",
    "labels",
    "needs",
    "if",
    "runs-on",
    "strategy",
    "env",
    "defaults",
    "outputs",
    "continue-on-error",
    "timeout-minutes",
    "permissions",
    "concurrency",
    "environment",
    "cancel-timeout-minutes",
    "steps",
)
_CALLING_KEYS = (
    "name",
    "labels",
    "needs",
    "if",
    "strategy",
    "permissions",
    "concurrency",
    "uses",
    "with",
    "secrets",
)
"""Of a job that calls a workflow."""
_UNSUPPORTED = (
    "container",
    "services",
    "snapshot",
)


def read_jobs(sheet: Sheet, node: Node) -> tuple[Job, ...]:
    """The jobs of a workflow; problems are noted on the sheet."""
    if isinstance(node, Scalar) and node.value is None:
        sheet.note(node, "there are no jobs; add one under `jobs`")
        return ()
    if (mapping := sheet.mapping(node, "`jobs`")) is None:
        return ()
    if not mapping.pairs:
        sheet.note(mapping, "there are no jobs; add one under `jobs`")
    if len(mapping.pairs) > MAX_JOBS_PER_PLAN:
        sheet.note(mapping, f"there are {len(mapping.pairs)} jobs; a workflow may have {MAX_JOBS_PER_PLAN}")
        return ()
    ids = {key.text.lower(): key.text for key, _ in mapping.pairs}
    jobs = []
    for key, value in mapping.pairs:
        if sheet.identifier(key, "the job id") and (body := sheet.mapping(value, f"job '{key.text}'")) is not None:
            jobs.append(_job(sheet, key, body, ids))
    _check_cycles(sheet, mapping, {job.id: job.needs for job in jobs})
    return tuple(jobs)


def _job(sheet: Sheet, key: Scalar, node: Mapping, ids: dict[str, str]) -> Job:
    what = f"job '{key.text}'"
    calls = node.get("uses") is not None
    found = _keys(sheet, node, what, calls=calls)
    if "permissions" in found:
        check_permissions(sheet, found["permissions"])
    _check_environment(sheet, found.get("environment"))
    if "runs-on" not in found and not calls:
        sheet.missing(node, found, key, f"{what} has no `runs-on`; add `runs-on: ubuntu-latest`")
    return Job(
        id=key.text,
        line=key.line,
        column=key.column,
        name=sheet.text(found.get("name"), f"the name of {what}", JOB, empty=True),
        labels=tuple(text.text for text in sheet.texts(found.get("labels"), f"a label of {what}")),
        needs=_needs(sheet, found.get("needs"), key.text, ids),
        condition=sheet.condition(found.get("if"), f"`if` of {what}", JOB_IF),
        runs_on=_runs_on(sheet, found.get("runs-on")),
        strategy=_strategy(sheet, found.get("strategy")),
        env=sheet.named(found.get("env"), f"`env` of {what}", JOB_ENV),
        defaults=read_defaults(sheet, found.get("defaults"), JOB_DEFAULTS),
        outputs=sheet.named(found.get("outputs"), f"`outputs` of {what}", JOB_OUTPUTS),
        continue_on_error=sheet.boolean(found.get("continue-on-error"), "`continue-on-error`", JOB),
        timeout_minutes=sheet.number(found.get("timeout-minutes"), "`timeout-minutes`", JOB),
        cancel_timeout_minutes=sheet.number(found.get("cancel-timeout-minutes"), "`cancel-timeout-minutes`", JOB),
        steps=read_steps(sheet, found["steps"]) if "steps" in found else (),
        call=read_call(sheet, found) if calls else None,
        concurrency=read_concurrency(sheet, found.get("concurrency"), JOB),
    )


def _check_environment(sheet: Sheet, node: Node | None) -> None:
    """A deployment environment: checked, and then without effect, for there are no rules and secrets of one here."""
    if not isinstance(node, Mapping):
        sheet.text(node, "`environment`", JOB)
        return
    found = sheet.keys(node, "`environment`", ("name", "url", "deployment"))
    if "name" not in found:
        sheet.missing(node, found, node, "`environment` has no `name`; add one")
    sheet.text(found.get("name"), "`name` of `environment`", JOB)
    sheet.text(found.get("url"), "`url` of `environment`", JOB_OUTPUTS)
    sheet.boolean(found.get("deployment"), "`deployment` of `environment`", JOB)


def _keys(sheet: Sheet, node: Mapping, what: str, *, calls: bool) -> dict[str, Node]:
    if not calls:
        for key, _ in node.pairs:
            if key.text in ("with", "secrets"):
                sheet.note(key, f"`{key.text}` is for a job with `uses`; {what} has none")
        return sheet.keys(node, what, (*_KEYS, "with", "secrets"), _UNSUPPORTED)
    for key, _ in node.pairs:
        if key.text not in _CALLING_KEYS and key.text in (*_KEYS, *_UNSUPPORTED):
            sheet.note(key, f"{what} calls a workflow (`uses`), so it has no `{key.text}`; remove it")
    return sheet.keys(node, what, (*_CALLING_KEYS, *_KEYS, *_UNSUPPORTED))


def read_defaults(sheet: Sheet, node: Node | None, allowed: Allowed) -> Defaults:
    """`defaults`, of the workflow or of a job."""
    if node is None or (outer := sheet.mapping(node, "`defaults`")) is None:
        return Defaults()
    run = sheet.keys(outer, "`defaults`", ("run",)).get("run")
    if run is None or (inner := sheet.mapping(run, "`defaults.run`")) is None:
        return Defaults()
    found = sheet.keys(inner, "`defaults.run`", ("shell", "working-directory"))
    return Defaults(
        sheet.text(found.get("shell"), "`shell` of `defaults.run`", allowed),
        sheet.text(found.get("working-directory"), "`working-directory` of `defaults.run`", allowed),
    )


def _needs(sheet: Sheet, node: Node | None, job: str, ids: dict[str, str]) -> tuple[str, ...]:
    needs: dict[str, None] = {}
    for text in sheet.texts(node, f"a need of job '{job}'"):
        if (known := ids.get(text.text.lower())) is not None:
            needs[known] = None
            continue
        hint = meant(text.text, [name for name in ids.values() if name != job])
        sheet.note(text.node, f"job '{job}' needs '{quoted(text.text)}', which does not exist; {hint}")
    return tuple(needs)


def _check_cycles(sheet: Sheet, jobs: Mapping, needs: dict[str, tuple[str, ...]]) -> None:
    """Takes away every job whose needs can all be met, round by round; what is left waits for itself."""
    left = {job: set(wanted) & needs.keys() for job, wanted in needs.items()}
    while met := {job for job, wanted in left.items() if not wanted}:
        left = {job: wanted - met for job, wanted in left.items() if job not in met}
    if not left:
        return
    path = [next(iter(left))]
    while (following := min(left[path[-1]])) not in path:
        path.append(following)
    cycle = path[path.index(following) :]
    body = jobs.get(cycle[0])
    place = body.get("needs") if isinstance(body, Mapping) else None
    chain = " -> ".join([*cycle[:20], following])
    sheet.note(place or jobs, f"the needs of these jobs form a cycle: {chain}; remove one of them")


def _runs_on(sheet: Sheet, node: Node | None) -> tuple[Text, ...]:
    if isinstance(node, Mapping):
        node = sheet.keys(node, "`runs-on`", ("labels",), ("group",)).get("labels")
    if isinstance(node, Sequence) and not node.items:
        sheet.note(node, "`runs-on` is empty; name a label, such as ubuntu-latest")
    return sheet.texts(node, "`runs-on`", JOB)


def _strategy(sheet: Sheet, node: Node | None) -> Strategy:
    if node is None or (mapping := sheet.mapping(node, "`strategy`")) is None:
        return Strategy()
    found = sheet.keys(mapping, "`strategy`", ("matrix", "fail-fast", "max-parallel"))
    matrix = found.get("matrix")
    if matrix is not None:
        check_matrix(sheet, matrix)
    return Strategy(
        matrix,
        sheet.boolean(found.get("fail-fast"), "`fail-fast`", STRATEGY),
        sheet.number(found.get("max-parallel"), "`max-parallel`", STRATEGY),
    )
