"""What the two shipped profiles change of the specs' defaults, as data: {detector id: {option: value}}.

A detector that a profile does not name is off in it. The defaults of the specs are those for live monitoring.

Off by choice: `loudness` in live monitoring, since dynamic music jumps by itself now and then (a dozen times an hour on
game music); `dual_mono`, `hum`, `click` and `missing_audio` in both, since mono, drones, crackle and streams without
sound are often meant; `flicker` and `luma_range` in both, since flashing lights and levels beyond the legal range are
in intact programmes too (of 25 clean clips three have such levels, and one flashes at the limit); `blur` and
`over_compression` in both, since sharpness differs threefold from one programme to the next.
"""

from typing import Any

Overrides = dict[str, dict[str, Any]]

LIVE: Overrides = {
    "black": {},
    "black_logo": {},
    "freeze": {},
    "silence": {},
    "silent_channel": {},
    "audio_dropout": {},
    "clipping": {},
    "phase": {},
    "corruption": {"tolerance": 8.0},  # of pixels alone; what the decoder flags counts as ever
    "blockiness": {},
    "signal_loss": {},
    "green": {},
    "grey": {},
    "bars": {},
    "pts_gap": {},
    "pts_jump": {},
    "av_drift": {},
    "cc_error": {},
    "tr101290_p1": {},
    "tr101290_p2": {},
    "bit_rate": {},
    "playlist": {},
}

# Files: every event, with its exact start and end, as short as a viewer could notice.
QC: Overrides = {
    "black": {"raise_after_s": 0.1, "clear_after_s": 0.0},
    "black_logo": {"raise_after_s": 5.0, "clear_after_s": 0.0},
    "freeze": {"raise_after_s": 0.5, "clear_after_s": 0.0},
    "silence": {"raise_after_s": 0.3, "clear_after_s": 0.0},
    "silent_channel": {"raise_after_s": 2.0, "clear_after_s": 0.5},
    "audio_dropout": {"raise_after_s": 0.0, "clear_after_s": 0.0, "merge_gap_s": 0.0},
    "clipping": {"raise_after_s": 0.5, "clear_after_s": 1.0, "merge_gap_s": 1.0},
    "loudness": {"raise_after_s": 1.5, "clear_after_s": 0.0, "jump_lu": 9.0},
    "phase": {"raise_after_s": 3.0, "clear_after_s": 0.5},
    "corruption": {"raise_after_s": 0.0, "clear_after_s": 0.3, "merge_gap_s": 0.3},
    "blockiness": {"raise_after_s": 0.5, "clear_after_s": 0.6, "merge_gap_s": 0.6},
    "format_change": {"raise_after_s": 0.2, "clear_after_s": 0.0},
    "signal_loss": {"raise_after_s": 1.0, "clear_after_s": 0.0},
    "green": {"raise_after_s": 0.0, "clear_after_s": 0.0},
    "grey": {"raise_after_s": 0.2, "clear_after_s": 0.0},
    "bars": {"raise_after_s": 0.3, "clear_after_s": 0.0},
    "pts_gap": {"raise_after_s": 0.0, "clear_after_s": 0.0, "min_gap_s": 0.1},
    "pts_jump": {"raise_after_s": 0.0, "clear_after_s": 0.0},
    "av_drift": {"raise_after_s": 5.0, "clear_after_s": 5.0, "tolerance_ms": 300.0},
    "av_sync": {"raise_after_s": 0.0, "clear_after_s": 0.0, "full_s": 60.0, "every_s": 60.0},
    "cc_error": {"raise_after_s": 0.0, "clear_after_s": 0.5},
    # Some segmenters write the tables once a segment, which only those miss who join a live stream.
    "tr101290_p1": {"clear_after_s": 0.5, "tables": "ignored"},
    "tr101290_p2": {"clear_after_s": 0.5},
    "playlist": {},
    "bit_rate": {"collapse_share": 0.0},  # a title card takes next to nothing, and no file is to be refused for that
}
