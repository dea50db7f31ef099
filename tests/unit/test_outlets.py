"""Where an analyzer's evidence goes: what a changed fleet changes, and what is counted."""

import time
from pathlib import Path

from tests.unit.test_evidence_gathering import OPEN, case
from vqa_ray.cluster.messages import Setup
from vqa_ray.cluster.outlets import Outlets, upkeep
from vqa_ray.core.evidence import EvidenceOptions


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("start.json"))


def test_evidence_is_on_where_there_is_a_store_and_follows_the_fleet(tmp_path):
    outlets = Outlets("w")
    try:
        assert not outlets.evidence.options.enabled
        assert not outlets.evidence.put(case(1))
        assert outlets.evidence.link(OPEN) == ""
        outlets.configure(Setup(store=str(tmp_path / "a")))
        assert outlets.evidence.options.enabled
        assert outlets.evidence.link(OPEN) == f"{tmp_path}/a/evidence/date=2026-03-01/stream=cam/abc"
        assert outlets.evidence.put(case(1))
        outlets.configure(Setup(store=str(tmp_path / "a"), evidence=EvidenceOptions(after_s=9.0)))
        assert outlets.evidence.options.after_s == 9.0
        outlets.configure(Setup(store=str(tmp_path / "b"), evidence=EvidenceOptions(url="https://e")))
        assert len(kept(tmp_path / "a")) == 1  # what waited was made
        assert outlets.evidence.link(OPEN) == "https://e/date=2026-03-01/stream=cam/abc"
        assert outlets.evidence.put(case(2))
        outlets.configure(Setup(store=str(tmp_path / "b"), evidence=EvidenceOptions(enabled=False, url="https://e")))
        assert not outlets.evidence.options.enabled
    finally:
        outlets.close()
    assert len(kept(tmp_path / "b")) == 1
    assert outlets.evidence.lost == 0


def test_what_could_not_be_kept_is_counted_over_all_stores(tmp_path):
    outlets = Outlets("w")
    outlets.configure(Setup(store=str(tmp_path / "a")))
    (tmp_path / "a" / "evidence").write_bytes(b"in the way")
    outlets.evidence.put(case(1))
    deadline_s = time.monotonic() + 20.0
    while outlets.evidence.lost < 1 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    outlets.configure(Setup())
    assert outlets.evidence.lost == 1
    outlets.close()


def test_the_upkeep_of_the_store_removes_old_evidence(tmp_path):
    old = tmp_path / "evidence" / "date=2020-01-01" / "stream=a" / "1"
    old.mkdir(parents=True)
    (old / "start.jpg").write_bytes(b"x")
    upkeep(str(tmp_path), EvidenceOptions(enabled=False))
    assert old.exists()
    upkeep(str(tmp_path), EvidenceOptions())
    assert not old.exists()
