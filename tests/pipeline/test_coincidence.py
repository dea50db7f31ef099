"""Coincidence and health on real media: what a user of `analyze` sees when picture and sound are gone together."""

from pathlib import Path

from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.core.window import WindowRow
from vqa_ray.media.synthetic import Fault, FaultKind, Programme, write_file
from vqa_ray.pipeline.local import analyze


def test_black_and_silence_at_once_are_one_critical_and_the_health_falls_with_them(tmp_path: Path) -> None:
    faults = [Fault(kind=kind, start_s=2.0, duration_s=3.0) for kind in (FaultKind.BLACK, FaultKind.SILENCE)]
    clip = write_file(tmp_path / "clip.ts", 8.0, Programme(width=320, height=180), faults)
    rows: list[WindowRow] = []
    told = [one for one in analyze(str(clip), on_rows=rows.extend) if isinstance(one, Incident)]
    black = [(one.severity, one.open) for one in told if one.detector == "black"]
    assert black == [(Severity.MAJOR, True), (Severity.CRITICAL, True), (Severity.CRITICAL, False)]
    assert [one.severity for one in told if one.detector == "silence"] == [Severity.MAJOR] * 2
    assert {one.detector for one in told} == {"black", "silence"}
    health = {row.start_s: row.min for row in rows if row.detector == "health"}
    assert health[1.0] == 100.0
    assert round(health[4.0]) == 6
    assert 6 < health[6.0] < 20
