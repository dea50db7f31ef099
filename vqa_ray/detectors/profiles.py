"""What the two shipped profiles change of the specs' defaults, as data: {detector id: {option: value}}.

A detector that a profile does not name is off in it. The defaults of the specs are those for live monitoring.
"""

from typing import Any

Overrides = dict[str, dict[str, Any]]

LIVE: Overrides = {
    "black": {},
    "freeze": {},
    "silence": {},
    "silent_channel": {},
    "corruption": {},
    "signal_loss": {},
    "pts_gap": {},
    "pts_jump": {},
    "av_drift": {},
    "cc_error": {},
}

# Files: every event, with its exact start and end, as short as a viewer could notice.
QC: Overrides = {
    "black": {"raise_after_s": 0.1, "clear_after_s": 0.0},
    "freeze": {"raise_after_s": 0.5, "clear_after_s": 0.0},
    "silence": {"raise_after_s": 0.3, "clear_after_s": 0.0},
    "silent_channel": {"raise_after_s": 2.0, "clear_after_s": 0.5},
    "corruption": {"raise_after_s": 0.0, "clear_after_s": 0.3, "merge_gap_s": 0.3},
    "signal_loss": {"raise_after_s": 1.0, "clear_after_s": 0.0},
    "pts_gap": {"raise_after_s": 0.0, "clear_after_s": 0.0, "min_gap_s": 0.1},
    "pts_jump": {"raise_after_s": 0.0, "clear_after_s": 0.0},
    "av_drift": {"raise_after_s": 5.0, "clear_after_s": 5.0, "tolerance_ms": 300.0},
    "cc_error": {"raise_after_s": 0.0, "clear_after_s": 0.5},
}
