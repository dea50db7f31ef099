"""The state machine's driver: transitions against a count by hand, and the rules of the language."""

import pytest

from benchmarks.architectures.asl import Execution, ExecutionFailed
from benchmarks.architectures.serverless import Variant, functions_of, machine


def no_task(resource, given):
    raise AssertionError(f"{resource} is not called")


def run(definition, given=None, invoke=no_task):
    waits = []
    execution = Execution(definition, invoke, sleep=waits.append)
    return execution.run({} if given is None else given), execution.transitions, waits


BY_HAND = {
    "StartAt": "Prepare",
    "States": {
        "Prepare": {"Type": "Pass", "Result": {"frames": [1, 2, 3], "loud": True}, "Next": "Loud?"},
        "Loud?": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.loud", "BooleanEquals": True, "Next": "Both"}],
            "Default": "Done",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "Sound", "States": {"Sound": {"Type": "Task", "Resource": "sound", "End": True}}},
                {
                    "StartAt": "Frames",
                    "States": {
                        "Frames": {
                            "Type": "Map",
                            "ItemsPath": "$.frames",
                            "ItemProcessor": {
                                "StartAt": "Look",
                                "States": {
                                    "Look": {"Type": "Task", "Resource": "look", "Next": "Note"},
                                    "Note": {"Type": "Pass", "End": True},
                                },
                            },
                            "End": True,
                        }
                    },
                },
            ],
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
    },
}


def test_transitions_are_those_counted_by_hand():
    # Prepare, Loud?, Both, Sound, Frames, 3 x (Look, Note), Done: 1 + 1 + 1 + 1 + 1 + 6 + 1
    out, transitions, _ = run(BY_HAND, invoke=lambda resource, given: [resource, given])
    assert transitions == 12
    assert out[1] == [["look", 1], ["look", 2], ["look", 3]]


def test_the_machine_of_a_second_has_a_transition_a_function_and_one_for_all():
    functions = list(functions_of(Variant(name="any")))
    seen = []
    _, transitions, _ = run(machine(functions), {"number": 7}, lambda _, given: seen.append(given))
    assert transitions == 1 + len(functions)
    assert sorted(one["FunctionName"] for one in seen) == sorted(functions)
    assert all(one["Payload"] == {"number": 7} for one in seen)


def test_grouped_functions_hold_each_detector_once():
    grouped = functions_of(Variant(name="any", grouped=True))
    assert set(grouped) == {"picture", "sound", "packets"}
    assert sorted(name for names in grouped.values() for name in names) == sorted(functions_of(Variant(name="any")))


def test_each_retry_is_a_transition_with_its_wait():
    failing = iter([True, True, False])

    def task(resource, given):
        if next(failing):
            raise OSError("busy")
        return "fine"

    retried = {
        "StartAt": "Try",
        "States": {
            "Try": {
                "Type": "Task", "Resource": "r", "End": True,
                "Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "BackoffRate": 2.0}],
            }
        },
    }  # fmt: skip
    assert run(retried, invoke=task) == ("fine", 3, [1.0, 2.0])


def test_a_retrier_gives_up_and_a_catcher_goes_on():
    def task(resource, given):
        raise OSError("gone")

    caught = {
        "StartAt": "Try",
        "States": {
            "Try": {
                "Type": "Task", "Resource": "r", "Next": "Never",
                "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}],
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Note"}],
            },
            "Never": {"Type": "Fail"},
            "Note": {"Type": "Pass", "InputPath": "$.error.Error", "End": True},
        },
    }  # fmt: skip
    assert run(caught, {"id": 1}, task) == ("States.TaskFailed", 3, [1.0])


def test_a_failed_branch_fails_the_execution():
    failing = {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "Mine", "Cause": "for a test"}}}
    both = {"StartAt": "Both", "States": {"Both": {"Type": "Parallel", "Branches": [failing], "End": True}}}
    with pytest.raises(ExecutionFailed, match="Mine: for a test"):
        run(both)
