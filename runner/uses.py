"""A step that uses an action: a built-in one, or one of the workspace."""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clockmesh.protocol.plan import Remote
from clockmesh.runner import artifacts, auto_commit, caches, toolchains
from clockmesh.runner.checkout import check_out_remote, check_out_snapshot, folder_of, options_from
from clockmesh.runner.errors import RunnerError, quoted
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import CaseSensitive, Value
from clockmesh.runner.files import read_beneath
from clockmesh.runner.git import Git, login_for
from clockmesh.runner.javascript import run_script
from clockmesh.runner.model_action import FILES, Action, Composite, read_action
from clockmesh.runner.model_uses import built_in, is_local
from clockmesh.runner.process import Ended, How
from clockmesh.runner.reader import MAX_BYTES
from clockmesh.runner.remotes import read_credential
from clockmesh.runner.sandbox import unseen

if TYPE_CHECKING:
    from clockmesh.runner.step import StepRun

MAX_NESTING = 10
"""Composite actions within one another: GitHub's own bound."""

_SEEN_BY_ACTIONS = ("github", "strategy", "matrix", "job", "runner", "env")


class ActionError(RunnerError):
    """The action cannot be used; one line."""


def use(run: StepRun, env: dict[str, str]) -> Ended:
    """Do what the step's action does. RunnerError when it fails."""
    assert run.step.uses is not None
    uses = run.step.uses.text
    given = run.scope.named(run.step.arguments)
    run.say("\n".join([f"Run {uses}", *(["with:"] if given else []), *_shown(given)]))
    if is_local(uses):
        return _use_local(run, env, uses, given)
    return _BUILT_IN[built_in(uses)](run, env, {name.lower(): value for name, value in given.items()})


def _shown(given: dict[str, str]) -> list[str]:
    return [f"  {name}: {value}" for name, value in given.items()]


def _use_local(run: StepRun, env: dict[str, str], uses: str, given: dict[str, str]) -> Ended:
    workspace = run.around.places.workspace
    path = posixpath.normpath(uses)
    action = _read(workspace, path)
    folder = workspace / path
    inputs = _inputs(run, action, given)
    if isinstance(action.runs, Composite):
        return _compose(run, env, action, action.runs, folder, inputs)
    return run_script(run, env, action.runs, folder, inputs)


def _read(workspace: Path, path: str) -> Action:
    if path.startswith(".."):
        raise ActionError(f"the action {quoted(path)} is outside of the workspace")
    for name in FILES:
        file = posixpath.join(path, name)
        try:
            return read_action(read_beneath(workspace, file, MAX_BYTES), file)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ActionError(f"{quoted(file)} cannot be read: {error.strerror}") from error
    raise ActionError(
        f"Can't find 'action.yml' or 'action.yaml' under '{quoted(path)}'. Did you forget to run actions/checkout "
        "before running your local action?"
    )


def _inputs(run: StepRun, action: Action, given: dict[str, str]) -> dict[str, str]:
    """What was given, and the defaults of what was not."""
    seen = {name.lower() for name in given}
    declared = {each.name.lower() for each in action.inputs}
    if unexpected := [name for name in given if name.lower() not in declared]:
        run.say(f"Warning: Unexpected input(s) {', '.join(f'{name!r}' for name in unexpected)}, valid inputs are "
                f"[{', '.join(f'{each.name!r}' for each in action.inputs)}]")  # fmt: skip
    contexts = {name: value for name, value in run.contexts.items() if name in _SEEN_BY_ACTIONS and name != "env"}
    scope = Scope(action.file, contexts, run.around.hash_files)
    inputs = {}
    for each in action.inputs:
        if each.name.lower() not in seen:
            inputs[each.name] = scope.text(each.default)
        elif each.deprecation:
            run.say(f"Warning: Input '{each.name}' has been deprecated with message: {each.deprecation}")
    return inputs | given


def _compose(
    run: StepRun, env: dict[str, str], action: Action, composite: Composite, folder: Path, inputs: dict[str, str]
) -> Ended:
    """The steps of a composite action, in contexts of their own; then its outputs, also where they failed."""
    outer = run.around
    if outer.level + 1 > MAX_NESTING:
        raise ActionError(f"actions are nested deeper than {MAX_NESTING} levels")
    github = run.contexts["github"]
    contexts: dict[str, Value] = {name: run.contexts[name] for name in _SEEN_BY_ACTIONS if name in run.contexts}
    contexts |= {"inputs": dict(inputs), "steps": {}}
    if isinstance(github, dict):
        contexts["github"] = github | {"action_path": str(folder)}
    around = replace(
        outer,
        file=action.file,
        contexts=contexts,
        defaults=(),
        level=outer.level + 1,
        within=outer.within or run.name,
        env=dict(outer.env) | run.scope.named(run.step.env),
        until=time.monotonic() + run.timeout(),
        survives_cancel=run.survives_cancel,
    )
    state = run.descend(around, composite.steps)
    outputs = Scope(action.file, contexts | {"env": CaseSensitive({**state.env, **around.env})}).named(action.outputs)
    run.outputs = outputs
    if outer.processes.cancelled and not run.survives_cancel():
        return Ended(0, How.CANCELLED)
    if time.monotonic() >= around.until:
        return Ended(0, How.TIMED_OUT)
    if state.failed:
        run.fail_as_told(state.error)
    return Ended(0, How.ITSELF)


def _check_out(run: StepRun, env: dict[str, str], given: Mapping[str, str]) -> Ended:
    places, source, spec = run.around.places, run.around.spec.plan.source, run.around.spec
    options = options_from(dict(given))
    folder = folder_of(options, places.workspace)
    url = source.url if isinstance(source, Remote) else source.origin
    login = login_for(url, read_credential(options.token) if options.token else spec.given.credential)
    git = Git(
        run.around.processes,
        run.say,
        run.environment(env),
        timeout=run.timeout(),
        survives_cancel=run.survives_cancel,
        url=url,
        login=login,
    )
    if login:
        run.around.log.masks.add(login.credential.basic)
    ref, commit = source.ref, source.sha
    hint = unseen(url) if spec.sandbox else ""
    try:
        if isinstance(source, Remote):
            if hint:
                raise ActionError(hint)
            ref, commit = check_out_remote(source, options, folder, git)
        elif spec.snapshot:
            check_out_snapshot(Path(spec.snapshot), source.origin, options, folder, git, run.say)
            if hint:
                run.say(f"Warning: a push to origin will fail: {hint}")
        else:
            raise ActionError("the run was submitted without a source to check out")
        if login and options.keep and (folder / ".git").is_dir():
            login.leave(folder)
    except OSError as error:
        raise ActionError(f"{error.filename or folder}: {error.strerror or os.strerror(error.errno or 0)}") from error
    run.outputs = {"ref": ref, "commit": commit}
    return Ended(0, How.ITSELF)


_BUILT_IN: dict[str, Callable[[StepRun, dict[str, str], Mapping[str, str]], Ended]] = {
    "actions/checkout": _check_out,
    "actions/cache": caches.cache,
    "actions/cache/restore": caches.restore,
    "actions/cache/save": caches.save,
    "actions/setup-python": toolchains.setup_python,
    "actions/setup-node": toolchains.setup_node,
    "actions/upload-artifact": artifacts.upload,
    "actions/download-artifact": artifacts.download,
    "stefanzweifel/git-auto-commit-action": auto_commit.commit,
}
"""Each is given `with`, names in lower case."""
