"""State machines in the Amazon States Language, run as its specification says, with each transition counted.

A transition is counted each time a step is executed, retries included (AWS Step Functions pricing): entering a state,
in a branch and in an iteration too. Starting an execution and ending it count nothing here, which is the reading that
favours serverless. Source of the language: https://states-language.net/spec.html.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vqa_ray.errors import VqaError

Invoke = Callable[[str, Any], Any]  # of a Task: resource and input to output; raises to fail
State = Mapping[str, Any]
TOTAL = "States.ALL"
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "StringEquals": lambda a, b: isinstance(a, str) and a == b,
    "BooleanEquals": lambda a, b: isinstance(a, bool) and a == b,
    "NumericEquals": lambda a, b: a == b,
    "NumericLessThan": lambda a, b: a < b,
    "NumericLessThanEquals": lambda a, b: a <= b,
    "NumericGreaterThan": lambda a, b: a > b,
    "NumericGreaterThanEquals": lambda a, b: a >= b,
}


class ExecutionFailed(VqaError):
    """The execution ended in a failure. error: its name in the language."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


class Execution:
    """One execution of a machine. transitions: so far, of all branches."""

    def __init__(self, machine: State, invoke: Invoke, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._machine = machine
        self._invoke = invoke
        self._sleep = sleep
        self._lock = threading.Lock()
        self.transitions = 0

    def run(self, given: Any) -> Any:
        """From its start to its end; the output, or ExecutionFailed."""
        return self._run(self._machine, given)

    def _run(self, machine: State, data: Any) -> Any:
        name: str | None = machine["StartAt"]
        while name is not None:
            state = machine["States"][name]
            name, data = self._step(state, data)
        return data

    def _step(self, state: State, data: Any) -> tuple[str | None, Any]:
        """Execute one state, as often as its retriers want; the next one's name, and what it is given."""
        tried: dict[int, int] = {}
        while True:
            with self._lock:
                self.transitions += 1
            try:
                return self._execute(state, data)
            except ExecutionFailed as failure:
                wait_s = _retry(state, failure, tried)
                if wait_s is not None:
                    self._sleep(wait_s)
                    continue
                for catcher in state.get("Catch", ()):
                    if _matches(catcher, failure):
                        told = {"Error": failure.error, "Cause": failure.cause}
                        return catcher["Next"], _placed(data, told, catcher.get("ResultPath", "$"))
                raise

    def _execute(self, state: State, data: Any) -> tuple[str | None, Any]:
        kind = state["Type"]
        if kind == "Fail":
            raise ExecutionFailed(state.get("Error", "States.Fail"), state.get("Cause", ""))
        given = at(data, state["InputPath"]) if state.get("InputPath") else data
        if kind == "Choice":
            return _chosen(state, given), given
        if kind == "Wait":
            self._sleep(float(at(given, state["SecondsPath"]) if "SecondsPath" in state else state["Seconds"]))
            return _next(state), given
        if kind == "Succeed":
            return None, given
        filled = fill(state["Parameters"], given) if "Parameters" in state else given
        result = self._result(kind, state, filled)
        path = state.get("ResultPath", "$")
        out = data if path is None else _placed(data, result, path)
        return _next(state), at(out, state["OutputPath"]) if state.get("OutputPath") else out

    def _result(self, kind: str, state: State, given: Any) -> Any:
        if kind == "Pass":
            return state.get("Result", given)
        if kind == "Task":
            return self._task(state["Resource"], given)
        if kind == "Parallel":
            return self._all([(branch, given) for branch in state["Branches"]], len(state["Branches"]))
        if kind == "Map":
            items = at(given, state.get("ItemsPath", "$"))
            each = state.get("ItemProcessor") or state["Iterator"]
            return self._all([(each, item) for item in items], state.get("MaxConcurrency") or len(items))
        raise ExecutionFailed("States.Runtime", f"there is no state of type {kind!r}")

    def _task(self, resource: str, given: Any) -> Any:
        try:
            return self._invoke(resource, given)
        except ExecutionFailed:
            raise
        except Exception as error:
            raise ExecutionFailed("States.TaskFailed", f"{type(error).__name__}: {error}") from error

    def _all(self, runs: list[tuple[State, Any]], at_once: int) -> list[Any]:
        if not runs:
            return []
        with ThreadPoolExecutor(max(1, at_once)) as pool:
            return list(pool.map(lambda one: self._run(*one), runs))


def at(data: Any, path: str) -> Any:
    """What a reference path (`$`, `$.a.b`) names."""
    for part in _parts(path):
        if not isinstance(data, Mapping) or part not in data:
            raise ExecutionFailed("States.ParameterPathFailure", f"{path} is not in the input")
        data = data[part]
    return data


def fill(template: Any, data: Any) -> Any:
    """A payload template: keys that end with `.$` take what their path names."""
    if isinstance(template, Mapping):
        return {
            (key[:-2] if key.endswith(".$") else key): at(data, value) if key.endswith(".$") else fill(value, data)
            for key, value in template.items()
        }
    return [fill(value, data) for value in template] if isinstance(template, list) else template


def _parts(path: str) -> Iterator[str]:
    if path != "$" and not path.startswith("$."):
        raise ExecutionFailed("States.Runtime", f"{path!r} is no reference path")
    return iter(path.split(".")[1:])


def _placed(data: Any, result: Any, path: str) -> Any:
    parts = list(_parts(path))
    if not parts:
        return result
    out = dict(data)
    here = out
    for part in parts[:-1]:
        here[part] = dict(here.get(part, {}))
        here = here[part]
    here[parts[-1]] = result
    return out


def _next(state: State) -> str | None:
    return None if state.get("End") else state["Next"]


def _chosen(state: State, data: Any) -> str:
    for choice in state["Choices"]:
        if _holds(choice, data):
            return str(choice["Next"])
    if "Default" not in state:
        raise ExecutionFailed("States.NoChoiceMatched", "no choice matches the input")
    return str(state["Default"])


def _holds(choice: State, data: Any) -> bool:
    if "And" in choice:
        return all(_holds(one, data) for one in choice["And"])
    if "Or" in choice:
        return any(_holds(one, data) for one in choice["Or"])
    if "Not" in choice:
        return not _holds(choice["Not"], data)
    value = at(data, choice["Variable"])
    return any(name in choice and test(value, choice[name]) for name, test in _COMPARISONS.items())


def _matches(rule: State, failure: ExecutionFailed) -> bool:
    return any(name in (TOTAL, failure.error) for name in rule["ErrorEquals"])


def _retry(state: State, failure: ExecutionFailed, tried: dict[int, int]) -> float | None:
    """How long the retrier that applies waits; None when it gives up, or there is none. Each counts for itself."""
    for index, retrier in enumerate(state.get("Retry", ())):
        if _matches(retrier, failure):
            before = tried.get(index, 0)
            if before >= retrier.get("MaxAttempts", 3):
                return None
            tried[index] = before + 1
            return float(retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** before)
    return None
