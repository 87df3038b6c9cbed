"""What is suspicious in a workflow that can be read: names that lead nowhere, comparisons that cannot hold, text of
strangers in a script, and what the official service has switched off.

Each is a problem with its place and a remedy. What is wrong outright was refused by `read_workflow` before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from clockmesh.runner import expressions
from clockmesh.runner.errors import ExpressionError, Problem, quoted
from clockmesh.runner.expressions_parser import Expression, parse
from clockmesh.runner.lint_names import ANY, Shape, chain_of, kind_of_value, resolve, walk
from clockmesh.runner.model import Concurrency, Job, Named, Step, Text, Workflow
from clockmesh.runner.model_sheet import meant
from clockmesh.runner.reader import Mapping as MappingNode
from clockmesh.runner.reader import Node, Scalar, Sequence, scalars_in

_UNTRUSTED = re.compile(
    r"github\.(head_ref|event\.("
    r"(issue|pull_request|discussion|comment|review|review_comment)\.(title|body)"
    r"|pages\.\*\.page_name"
    r"|(head_commit|commits\.(\*|\d+)|workflow_run\.head_commit)\.(message|author\.(name|email))"
    r"|(pull_request|workflow_run)\.head\.(ref|label|repo\.default_branch)"
    r"|workflow_run\.(head_branch|display_title|head_repository\.description)))"
)
"""What anybody may write who opens an issue or a pull request."""
_OLD_COMMANDS = {"set-output": "GITHUB_OUTPUT", "save-state": "GITHUB_STATE", "set-env": "GITHUB_ENV",
                 "add-path": "GITHUB_PATH"}  # fmt: skip
_OLD_COMMAND = re.compile(r"::(set-output|save-state|set-env|add-path)[ :]")
_SHELLS = ("bash", "sh", "python", "pwsh", "powershell", "cmd")
_ENV_NAME = re.compile(r"[^=\s&\0]+")


def lint(workflow: Workflow) -> tuple[Problem, ...]:
    """The problems, in the file's order."""
    linter = _Linter(workflow)
    linter.whole()
    return tuple(sorted(linter.problems, key=lambda each: (each.line, each.column)))


class _Linter:
    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._inputs = _inputs(workflow)
        self.problems: dict[Problem, None] = {}

    def whole(self) -> None:
        workflow = self._workflow
        top = {"inputs": self._inputs}
        self._texts(top, workflow.run_name, _group(workflow.concurrency))
        self._named(top, workflow.env, env=True)
        for job in workflow.jobs:
            self._job(job)
        call = workflow.triggers.call
        jobs = {job.id.lower(): {"result": ANY, "outputs": _outputs(job)} for job in workflow.jobs}
        self._named({"inputs": self._inputs, "jobs": jobs}, call.outputs if call else ())

    def _job(self, job: Job) -> None:
        names: dict[str, Shape] = {"inputs": self._inputs, "needs": self._needs(job)}
        for scalar in scalars_in(job.strategy.matrix):
            self._text(Text(scalar), names)
        names["matrix"] = _matrix(job.strategy.matrix)
        self._exclusions(job.strategy.matrix)
        call = job.call
        texts = (job.name, job.timeout_minutes, job.continue_on_error, *job.runs_on)
        self._texts(names, *texts, _group(job.concurrency))
        self._condition(names, job.condition)
        self._named(names, job.env, env=True)
        self._named(names, (*call.arguments, *call.secrets) if call else ())
        steps: dict[str, Shape] = {}
        for step in job.steps:
            self._step(names | {"steps": dict(steps)}, step)
            if step.id:
                steps[step.id.lower()] = {"outputs": ANY, "outcome": ANY, "conclusion": ANY}
        self._named(names | {"steps": steps}, job.outputs)

    def _step(self, names: Mapping[str, Shape], step: Step) -> None:
        self._texts(names, step.name, step.run, step.working_directory, step.continue_on_error, step.timeout_minutes)
        self._condition(names, step.condition)
        self._named(names, step.arguments)
        self._named(names, step.env, env=True)
        self._script(step.run)
        if step.uses is not None and step.uses.text.lower().startswith("actions/github-script@"):
            self._script(next((text for name, text in step.arguments if name == "script"), None))
        shell = step.shell
        if shell is not None and not shell.has_expression and "{0}" not in shell.text and shell.text not in _SHELLS:
            self._note(shell, f"there is no shell `{quoted(shell.text)}`; {meant(shell.text, _SHELLS)}")

    # ---- texts ----

    def _texts(self, names: Mapping[str, Shape], *texts: Text | None) -> None:
        for text in texts:
            if text is not None:
                self._text(text, names)

    def _named(self, names: Mapping[str, Shape], named: Named, *, env: bool = False) -> None:
        for name, text in named:
            self._text(text, names)
            if env and name and "${{" not in name and not _ENV_NAME.fullmatch(name):
                self._note(text, f"no environment variable can be called `{quoted(name)}`")

    def _condition(self, names: Mapping[str, Shape], text: Text | None) -> None:
        if text is None:
            return
        if "${{" in text.text and expressions.whole_expression(text.text) is None:
            self._note(text, "text around `${{ }}` makes this condition always true; put all of it between the braces")
        elif "${{" not in text.text:
            self._expression(text, text.text, 0, names)
            return
        self._text(text, names)

    def _text(self, text: Text, names: Mapping[str, Shape]) -> None:
        for span in _expressions(text):
            self._expression(text, span.text, span.start, names)

    def _expression(self, text: Text, expression: str, start: int, names: Mapping[str, Shape]) -> None:
        try:
            root = parse(expression).root
        except ExpressionError:
            return  # was refused where it matters
        for position, message in _wrong(root, names):
            self._note(text, message, start + position)

    def _script(self, script: Text | None) -> None:
        if script is None:
            return
        for span in _expressions(script):
            for chain, position in _chains(span.text):
                if _UNTRUSTED.fullmatch(chain):
                    self._note(script, f"`{chain}` is text of strangers, and becomes part of this script; pass it in "
                               "`env` and use the variable", span.start + position)  # fmt: skip
        for found in _OLD_COMMAND.finditer(script.text):
            message = f"the command `{found[1]}` is deprecated; write to the file {_OLD_COMMANDS[found[1]]}"
            self._note(script, message, found.start())

    def _note(self, text: Text, message: str, offset: int = 0) -> None:
        self.problems[Problem(*text.node.place(offset), message)] = None

    # ---- what names there are ----

    def _needs(self, job: Job) -> Shape:
        return {
            name.lower(): {"result": ANY, "outputs": _outputs(self._workflow.job(name))} for name in job.needs
        }

    def _exclusions(self, node: Node | None) -> None:
        """Entries of `exclude` that can match no leg."""
        if not isinstance(node, MappingNode) or not isinstance(exclude := node.get("exclude"), Sequence):
            return
        own = ("include", "exclude")
        rows = {key.text.lower(): value for key, value in node.pairs if key.text.lower() not in own}
        for entry in exclude.items:
            for key, value in entry.pairs if isinstance(entry, MappingNode) else ():
                row = rows.get(key.text.lower())
                if row is None:
                    message = f"`exclude` names `{quoted(key.text)}`, which is not in the matrix"
                    self.problems[Problem(key.line, key.column, f"{message}; {meant(key.text, rows)}")] = None
                elif _plain(value) and isinstance(row, Sequence) and all(map(_plain, row.items)):
                    values = [item.text for item in row.items if isinstance(item, Scalar)]
                    if isinstance(value, Scalar) and value.text not in values:
                        message = f"`{quoted(value.text)}` is none of the values of `{quoted(key.text)}`"
                        hint = meant(value.text, values)
                        self.problems[Problem(value.line, value.column, f"{message}; {hint}")] = None


def _wrong(root: Expression | None, names: Mapping[str, Shape]) -> Iterator[tuple[int, str]]:
    """The places and descriptions of what cannot be meant."""
    if root is None:
        return
    yield from resolve(root, names)
    for position, left, right in walk(root):
        kinds = {kind_of_value(left, names), kind_of_value(right, names)}
        if kinds & {"an object", "a list"} and None not in kinds and "null" not in kinds:
            yield position, f"{' and '.join(sorted(str(kind) for kind in kinds))} are compared, which is never true"


def _group(concurrency: Concurrency | None) -> Text | None:
    return concurrency.group if concurrency else None


def _chains(expression: str) -> Iterator[tuple[str, int]]:
    try:
        root = parse(expression).root
    except ExpressionError:
        return
    if root is not None:
        yield from chain_of(root)


def _expressions(text: Text) -> Iterable[expressions.Span]:
    if not text.has_expression:
        return ()
    return [span for span in expressions.split(text.text) if span.is_expression]


def _inputs(workflow: Workflow) -> Shape:
    triggers = workflow.triggers
    named = [each.name for each in triggers.inputs]
    named += [each.name for each in triggers.call.inputs] if triggers.call else []
    declared = {"workflow_dispatch", "workflow_call"} & set(triggers.events)
    return {name.lower(): ANY for name in named} if declared else ANY


def _outputs(job: Job) -> Shape:
    if job.call is None:
        return {name.lower(): ANY for name, _ in job.outputs}
    called = job.call.workflow
    declared = called.triggers.call if called else None
    return {name.lower(): ANY for name, _ in declared.outputs} if declared else ANY


def _matrix(node: Node | None) -> Shape:
    """The names in a matrix that is written out."""
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        return ANY
    names = {key.text.lower() for key, _ in node.pairs} - {"include", "exclude"}
    include = node.get("include")
    if include is not None and not isinstance(include, Sequence):
        return ANY
    for entry in include.items if include else ():
        if not isinstance(entry, MappingNode):
            return ANY
        names |= {key.text.lower() for key, _ in entry.pairs}
    return dict.fromkeys(names, ANY)


def _plain(node: Node) -> bool:
    return isinstance(node, Scalar) and "${{" not in node.text
