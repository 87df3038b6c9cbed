"""The steps of a job, in their order: conditions, environments, what they say, and what becomes of their failures."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clockmesh.protocol.reports import Level
from clockmesh.runner.around import JobState, Post, StepFailed, Surroundings, Work, post_step
from clockmesh.runner.command_files import CommandFileError, CommandFiles, new_files
from clockmesh.runner.environment import step_environment
from clockmesh.runner.errors import RunnerError
from clockmesh.runner.evaluation import Scope
from clockmesh.runner.expressions import CaseSensitive, Status
from clockmesh.runner.git import Interrupted
from clockmesh.runner.model import Step, Text
from clockmesh.runner.process import Command, CommandError, Ended, How
from clockmesh.runner.shells import ShellError, prepare
from clockmesh.runner.uses import use
from clockmesh.runner.workflow_commands import Command as WorkflowCommand
from clockmesh.runner.workflow_commands import Listener

SUCCESS, FAILURE, CANCELLED, SKIPPED = "success", "failure", "cancelled", "skipped"


def run_steps(around: Surroundings, steps: tuple[Step, ...], state: JobState) -> None:
    """Run them all, each as its `if` has it; what they come to is in `state` and in the context `steps`."""
    for number, step in enumerate(steps, 1):
        if around.processes.out_of_time:
            return
        if not around.level:
            around.annotations.next_step()
        StepRun(around, step, number, state).run()


def run_posts(around: Surroundings, state: JobState) -> None:
    """After all steps: what their actions left to do, in reverse order; each as its `post-if` has it."""
    number = 0
    while around.posts and not around.processes.out_of_time:
        post, number = around.posts.pop(), number + 1
        around.annotations.next_step()
        StepRun(replace(post.around, within=""), post.step, 1000 + number, state, post.work).run()


class StepRun:
    """One step."""

    def __init__(
        self, around: Surroundings, step: Step, number: int, state: JobState, work: Work | None = None
    ) -> None:
        """`work`: what it does; None for what its `run` or `uses` says."""
        self.around = around
        self.step = step
        self._work = work
        self._number = number
        self._allowed: float | None = None
        self._until = float("inf")
        self._state = state
        self._processes = around.processes
        self.contexts = dict(around.contexts)
        self.contexts["job"] = {"status": self._job_status()}
        self.contexts["env"] = CaseSensitive({**state.env, **around.env})
        github = around.contexts["github"]
        action = step.id or f"__run_{number}"
        self.contexts["github"] = github | {"action": action} if isinstance(github, dict) else github
        self.scope = Scope(around.file, self.contexts, around.hash_files)
        self.name = self._raw_name()
        self.outputs: Mapping[str, str] = {}
        self.saved: Mapping[str, str] = {}
        """State of an action for its post part."""

    def run(self) -> None:
        outcome = conclusion = SKIPPED
        try:
            env = self._state.env | dict(self.around.env) | self.scope.named(self.step.env)
            self.contexts["env"] = CaseSensitive(env)
            wanted = self.scope.holds(self.step.condition, self._status())
        except RunnerError as error:  # before the step: continue-on-error does not apply, as in the official runner
            self._fail(str(error))
            outcome = conclusion = FAILURE
        else:
            if wanted:
                outcome, conclusion = self._concluded(env)
        if self.step.id:
            steps = self.around.contexts["steps"]
            assert isinstance(steps, dict)
            steps[self.step.id] = {"outputs": dict(self.outputs), "outcome": outcome, "conclusion": conclusion}

    def _concluded(self, env: dict[str, str]) -> tuple[str, str]:
        """Outcome, and the conclusion that continue-on-error makes of it."""
        try:
            self.name = self.scope.text(self.step.name) or self.name
            ended = self._execute(env)
        except Interrupted as interruption:
            ended = Ended(0, interruption.how)
        except StepFailed as failure:
            return self._failed(str(failure), told=failure.told)
        except (RunnerError, CommandError) as error:
            return self._failed(str(error))
        if ended.how is How.CANCELLED:
            self.say("Error: The operation was canceled.")
            return CANCELLED, CANCELLED
        if ended.how is How.TIMED_OUT:
            return self._failed(f"it has timed out after {(self._allowed or 0) / 60:.3g} minutes")
        return (SUCCESS, SUCCESS) if ended.code == 0 else self._failed(*_exit_texts(ended.code))

    def _execute(self, env: dict[str, str]) -> Ended:
        if self._work is not None:
            return self._work(self, env)
        if self.step.uses is not None:
            return use(self, env)
        try:
            return self._run_script(env)
        except (ShellError, CommandError) as error:
            raise StepFailed(str(error)) from error

    def _run_script(self, env: dict[str, str]) -> Ended:
        places, scope = self.around.places, self.scope
        text = scope.text(self.step.run)
        environment = self.environment(env)
        script = prepare(
            self._inherited("shell"), text, places.scripts / f"step{self._unique()}", environment["PATH"]
        )
        script.path.write_text(script.contents)
        folder = places.workspace / self._inherited("working_directory")
        self.say("\n".join([f"Run {_first_line(text)}", *text.rstrip("\n").split("\n")[1:], f"shell: {script.shown}"]))
        return self.command(script.command, folder, environment)

    def command(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Ended:
        """Run one command that may speak through its output and through files, which counts for this step. RunnerError
        for what it said wrongly, CommandError when it cannot be started."""
        files = new_files(self.around.places.scripts)
        listener = Listener(self.write, self._annotate, self.around.log.masks, debug=self.around.spec.given.debug)
        ended = self._processes.run(
            Command(argv, folder, {**environment, **files.env()}),
            listener.hear,
            timeout=self.timeout(),
            survives_cancel=self.survives_cancel,
        )
        if wrong := self._take(files, listener, ended):
            raise StepFailed(wrong)
        return ended

    def _unique(self) -> str:
        return f"{self._number}" if not self.around.level else f"{self.around.level}-{secrets.token_hex(4)}"

    def write(self, lines: list[str]) -> None:
        self.around.log.write(self._title, lines)

    def _annotate(self, level: Level, command: WorkflowCommand) -> None:
        self.around.annotations.add(level, command.data, self._title, command.properties)

    def _take(self, files: CommandFiles, listener: Listener, ended: Ended) -> str:
        """What the step wrote counts however it ended. The error that fails the step, which is said then; '' for
        none."""
        said = files.read()
        self.outputs = listener.outputs | dict(said.outputs)
        self.saved = listener.state | dict(said.state)
        self._state.env.update(said.env)
        self._state.paths.extend(said.paths)
        errors = [*said.errors, *listener.errors]
        fails = ended.good and (said.failed or bool(listener.errors))
        for error in errors[:-1] if fails else errors:
            self.say(f"Error: {error}")
        self._keep_summary(files)
        return errors[-1] if fails else ""

    def _keep_summary(self, files: CommandFiles) -> None:
        try:
            self.around.summaries.add(self.around.log.masks.hide(files.summary()))
        except CommandFileError as error:
            self.say(f"Error: {error}")  # the step does not fail by it, as in the official runner

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        around = self.around
        return step_environment(around.spec, around.mark, self.contexts, env, self._state.paths)

    def _inherited(self, what: str) -> str:
        """`shell` or `working_directory`: the step's, else the job's default, else the workflow's."""
        for place in (self.step, *self.around.defaults):
            text: Text | None = getattr(place, what)
            if text is not None:
                return self.scope.text(text)
        return ""

    def timeout(self) -> float:
        """Seconds that it has left; counted from the first call."""
        now = time.monotonic()
        if self._allowed is None:
            minutes = self.step.timeout_minutes
            own = float("inf") if minutes is None else self.scope.number(minutes) * 60
            self._allowed = min(own, max(0.0, self.around.until - now))
            self._until = now + self._allowed
        return max(0.0, self._until - now)

    def _status(self) -> Status:
        cancelled = self._processes.cancelled
        failed = self._state.failed and not cancelled
        return Status(success=not failed and not cancelled, failure=failed, cancelled=cancelled)

    def survives_cancel(self) -> bool:
        """A step whose `if` holds in a cancelled job as well runs on."""
        if not self.around.survives_cancel():
            return False
        self.contexts["job"] = {"status": CANCELLED}
        try:
            return self.scope.holds(self.step.condition, Status(success=False, failure=False, cancelled=True))
        except RunnerError:
            return False

    def _job_status(self) -> str:
        if self._processes.cancelled:
            return CANCELLED
        state = self._state
        while state.outer is not None:
            state = state.outer
        return FAILURE if state.failed else SUCCESS

    def _failed(self, reason: str, shown: str = "", *, told: bool = False) -> tuple[str, str]:
        """Of a step that ran; `shown` is what the log says, where it is not the reason."""
        try:
            forgiven = self.scope.boolean(self.step.continue_on_error)
        except RunnerError as error:
            reason, forgiven = str(error), False
        if forgiven:
            if not told:
                self.say(f"Error: {shown or reason}")
            return FAILURE, SUCCESS
        self._fail(reason, shown, told=told)
        return FAILURE, FAILURE

    def _fail(self, reason: str, shown: str = "", *, told: bool = False) -> None:
        if not told:
            self.say(f"Error: {shown or reason}")
        self._state.failed = True
        self._state.error = self._state.error or self.around.log.masks.hide(f"step '{self.name}' failed: {reason}")

    def _raw_name(self) -> str:
        step = self.step
        if step.name is not None:
            return step.name.text
        return f"Run {_first_line(step.run.text) if step.run else step.uses.text if step.uses else ''}"

    def leave(self, work: Work, condition: Text | None) -> None:
        """Have this done after all steps of the job, if its condition (None: always) holds then."""
        env = dict(self.around.env) | self.scope.named(self.step.env)
        around = replace(self.around, env=env, until=float("inf"), survives_cancel=lambda: True)
        step = replace(post_step(self.step, self._title, condition), env=())
        self.around.posts.append(Post(around, step, work))

    def fail_as_told(self, reason: str) -> None:
        """The step has failed, and the log says why already."""
        raise StepFailed(reason, told=True)

    def set_env(self, name: str, value: str) -> None:
        """For all later steps, as GITHUB_ENV does it."""
        self._state.env[name] = value

    def prepend_path(self, folder: Path) -> None:
        """For all later steps, as GITHUB_PATH does it."""
        self._state.paths.append(str(folder))

    def descend(self, around: Surroundings, steps: tuple[Step, ...]) -> JobState:
        """Run the steps of an action that this one uses; what they came to."""
        state = JobState(self._state.env, self._state.paths, outer=self._state)
        run_steps(around, steps, state)
        return state

    @property
    def _title(self) -> str:
        return self.around.within or self.name

    def say(self, text: str) -> None:
        self.around.log.line(self._title, text)


def _exit_texts(code: int) -> tuple[str, str]:
    """For the result's error, and the official runner's words for the log."""
    if code < 0:
        return f"its process was ended by signal {-code}", ""
    return f"exit code {code}", f"Process completed with exit code {code}."


def _first_line(text: str) -> str:
    return next((line for line in text.strip().splitlines()), "")
