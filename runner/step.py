"""The steps of a job, in their order: conditions, environments, what they say, and what becomes of their failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clockmesh.protocol.plan import Remote
from clockmesh.protocol.reports import Level
from clockmesh.runner.annotations import Annotations
from clockmesh.runner.checkout import check_out_remote, check_out_snapshot, folder_of, options_from
from clockmesh.runner.command_files import CommandFileError, CommandFiles, Summaries, new_files
from clockmesh.runner.environment import Places, step_environment
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import CaseSensitive, HashFiles, Status, Value
from clockmesh.runner.git import Git, Interrupted
from clockmesh.runner.logfile import JobLog
from clockmesh.runner.model import Defaults, Step, Text
from clockmesh.runner.process import Command, CommandError, Ended, How, Processes
from clockmesh.runner.shells import ShellError, prepare
from clockmesh.runner.spec import JobSpec
from clockmesh.runner.workflow_commands import Command as WorkflowCommand
from clockmesh.runner.workflow_commands import Listener

SUCCESS, FAILURE, CANCELLED, SKIPPED = "success", "failure", "cancelled", "skipped"


class _StepFailed(RunnerError):
    """The step's own failure; `str()` is for the log and for `Result.error`."""


@dataclass(slots=True)
class JobState:
    """What a job has come to so far."""

    env: dict[str, str]
    """Of the workflow, of the job, and what GITHUB_ENV added."""
    paths: list[str] = field(default_factory=list)
    failed: bool = False
    error: str = ""
    """Of the first step that failed the job."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all steps of a job share."""

    spec: JobSpec
    mark: str
    file: str
    contexts: dict[str, Value]
    """`job`, `steps` and `env` change while the steps run."""
    defaults: tuple[Defaults, ...]
    """The nearest first."""
    places: Places
    processes: Processes
    log: JobLog
    hash_files: HashFiles
    annotations: Annotations
    summaries: Summaries


def run_steps(around: Surroundings, steps: tuple[Step, ...], state: JobState) -> None:
    """Run them all, each as its `if` has it; what they come to is in `state` and in the context `steps`."""
    for number, step in enumerate(steps, 1):
        if around.processes.out_of_time:
            return
        around.annotations.next_step()
        _Run(around, step, number, state).run()


class _Run:
    """One step."""

    def __init__(self, around: Surroundings, step: Step, number: int, state: JobState) -> None:
        self._around = around
        self._step = step
        self._number = number
        self._state = state
        self._processes = around.processes
        self._contexts = dict(around.contexts)
        self._contexts["job"] = {"status": self._job_status()}
        self._contexts["env"] = CaseSensitive(state.env)
        github = around.contexts["github"]
        action = step.id or f"__run_{number}"
        self._contexts["github"] = github | {"action": action} if isinstance(github, dict) else github
        self._scope = Scope(around.file, self._contexts, around.hash_files)
        self._name = self._raw_name()
        self._outputs: Mapping[str, str] = {}

    def run(self) -> None:
        outcome = conclusion = SKIPPED
        try:
            env = self._state.env | self._scope.named(self._step.env)
            self._contexts["env"] = CaseSensitive(env)
            wanted = self._scope.holds(self._step.condition, self._status())
        except RunnerError as error:  # before the step: continue-on-error does not apply, as in the official runner
            self._fail(str(error))
            outcome = conclusion = FAILURE
        else:
            if wanted:
                outcome, conclusion = self._concluded(env)
        if self._step.id:
            steps = self._around.contexts["steps"]
            assert isinstance(steps, dict)
            steps[self._step.id] = {"outputs": dict(self._outputs), "outcome": outcome, "conclusion": conclusion}

    def _concluded(self, env: dict[str, str]) -> tuple[str, str]:
        """Outcome, and the conclusion that continue-on-error makes of it."""
        try:
            self._name = self._scope.text(self._step.name) or self._name
            ended = self._execute(env)
        except Interrupted as interruption:
            ended = Ended(0, interruption.how)
        except RunnerError as error:
            return self._failed(str(error))
        if ended.how is How.CANCELLED:
            self._say("Error: The operation was canceled.")
            return CANCELLED, CANCELLED
        if ended.how is How.TIMED_OUT:
            return self._failed(f"it has timed out after {self._timeout() / 60:g} minutes")
        return (SUCCESS, SUCCESS) if ended.code == 0 else self._failed(*_exit_texts(ended.code))

    def _execute(self, env: dict[str, str]) -> Ended:
        if self._step.uses is not None:
            return self._check_out(env)
        try:
            return self._run_script(env)
        except (ShellError, CommandError) as error:
            raise _StepFailed(str(error)) from error

    def _run_script(self, env: dict[str, str]) -> Ended:
        places, scope = self._around.places, self._scope
        text = scope.text(self._step.run)
        environment = self._environment(env)
        files = new_files(places.scripts)
        script = prepare(
            self._inherited("shell"), text, places.scripts / f"step{self._number}", environment["PATH"]
        )
        script.path.write_text(script.contents)
        folder = places.workspace / self._inherited("working_directory")
        listener = Listener(self._write, self._annotate, self._around.log.masks, debug=self._around.spec.given.debug)
        self._say("\n".join([f"Run {_first_line(text)}", *text.rstrip("\n").split("\n")[1:], f"shell: {script.shown}"]))
        ended = self._processes.run(
            Command(script.command, folder, environment | files.env()),
            listener.hear,
            timeout=self._timeout(),
            survives_cancel=self._survives_cancel,
        )
        if wrong := self._take(files, listener, ended):
            raise _StepFailed(wrong)
        return ended

    def _write(self, lines: list[str]) -> None:
        self._around.log.write(self._name, lines)

    def _annotate(self, level: Level, command: WorkflowCommand) -> None:
        self._around.annotations.add(level, command.data, self._name, command.properties)

    def _take(self, files: CommandFiles, listener: Listener, ended: Ended) -> str:
        """What the step wrote counts however it ended. The error that fails the step, which is said then; '' for
        none."""
        said = files.read()
        self._outputs = listener.outputs | dict(said.outputs)
        self._state.env.update(said.env)
        self._state.paths.extend(said.paths)
        errors = [*said.errors, *listener.errors]
        fails = ended.good and (said.failed or bool(listener.errors))
        for error in errors[:-1] if fails else errors:
            self._say(f"Error: {error}")
        self._keep_summary(files)
        return errors[-1] if fails else ""

    def _keep_summary(self, files: CommandFiles) -> None:
        try:
            self._around.summaries.add(self._around.log.masks.hide(files.summary()))
        except CommandFileError as error:
            self._say(f"Error: {error}")  # the step does not fail by it, as in the official runner

    def _check_out(self, env: dict[str, str]) -> Ended:
        places, source, spec = self._around.places, self._around.spec.plan.source, self._around.spec
        options = options_from({name.lower(): value for name, value in self._scope.named(self._step.arguments).items()})
        folder = folder_of(options, places.workspace)
        git = Git(
            self._processes,
            self._say,
            self._environment(env),
            timeout=self._timeout(),
            survives_cancel=self._survives_cancel,
        )
        self._say(f"Run {self._scope.text(self._step.uses)}")
        ref, commit = source.ref, source.sha
        try:
            if isinstance(source, Remote):
                ref, commit = check_out_remote(source, options, folder, git)
            elif spec.snapshot:
                check_out_snapshot(Path(spec.snapshot), source.origin, options, folder, git, self._say)
            else:
                raise _StepFailed("the run was submitted without a source to check out")
        except OSError as error:
            raise _StepFailed(f"{error.filename or folder}: {error.strerror or error}") from error
        self._outputs = {"ref": ref, "commit": commit}
        return Ended(0, How.ITSELF)

    def _environment(self, env: Mapping[str, str]) -> dict[str, str]:
        around = self._around
        return step_environment(around.spec, around.mark, self._contexts, env, self._state.paths)

    def _inherited(self, what: str) -> str:
        """`shell` or `working_directory`: the step's, else the job's default, else the workflow's."""
        for place in (self._step, *self._around.defaults):
            text: Text | None = getattr(place, what)
            if text is not None:
                return self._scope.text(text)
        return ""

    def _timeout(self) -> float:
        """Seconds."""
        minutes = self._step.timeout_minutes
        return float("inf") if minutes is None else self._scope.number(minutes) * 60

    def _status(self) -> Status:
        cancelled = self._processes.cancelled
        failed = self._state.failed and not cancelled
        return Status(success=not failed and not cancelled, failure=failed, cancelled=cancelled)

    def _survives_cancel(self) -> bool:
        """A step whose `if` holds in a cancelled job as well runs on."""
        self._contexts["job"] = {"status": CANCELLED}
        try:
            return self._scope.holds(self._step.condition, Status(success=False, failure=False, cancelled=True))
        except RunnerError:
            return False

    def _job_status(self) -> str:
        if self._processes.cancelled:
            return CANCELLED
        return FAILURE if self._state.failed else SUCCESS

    def _failed(self, reason: str, shown: str = "") -> tuple[str, str]:
        """Of a step that ran; `shown` is what the log says, where it is not the reason."""
        try:
            forgiven = self._scope.boolean(self._step.continue_on_error)
        except RunnerError as error:
            reason, forgiven = str(error), False
        if forgiven:
            self._say(f"Error: {shown or reason}")
            return FAILURE, SUCCESS
        self._fail(reason, shown)
        return FAILURE, FAILURE

    def _fail(self, reason: str, shown: str = "") -> None:
        self._say(f"Error: {shown or reason}")
        self._state.failed = True
        self._state.error = self._state.error or self._around.log.masks.hide(f"step '{self._name}' failed: {reason}")

    def _raw_name(self) -> str:
        step = self._step
        if step.name is not None:
            return step.name.text
        return f"Run {_first_line(step.run.text) if step.run else step.uses.text if step.uses else ''}"

    def _say(self, text: str) -> None:
        self._around.log.line(self._name, text)


def _exit_texts(code: int) -> tuple[str, str]:
    """For the result's error, and the official runner's words for the log."""
    if code < 0:
        return f"its process was ended by signal {-code}", ""
    return f"exit code {code}", f"Process completed with exit code {code}."


def _first_line(text: str) -> str:
    return next((line for line in text.strip().splitlines()), "")
