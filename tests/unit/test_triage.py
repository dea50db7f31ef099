"""Who steps down when a process has too much to do."""

import threading

from vqa_ray.core.ladder import SETTLE_S, UP_AFTER_S, Tier
from vqa_ray.core.triage import OWN_TURN_S, SEEN_WITHIN_S, Member, Triage
from vqa_ray.pipeline.overload import METER_S, Overload

IDLE, BUSY = 0.3, 0.95


class Process:
    """Streams that step each half second; `late` are those that fall behind, by so much a second."""

    def __init__(self, **priorities: int) -> None:
        self.now_s = 0.0
        self.triage = Triage()
        self.members: dict[str, Member] = {name: self.triage.join(p, 0.0) for name, p in priorities.items()}
        self.behind = dict.fromkeys(self.members, 0.1)

    def run(self, seconds: float, *, busy: float, late: tuple[str, ...] = (), pace: float = 0.5) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += 0.5
            for name, member in self.members.items():
                self.behind[name] = self.behind[name] + pace / 2 if name in late else 0.1
                self.triage.step(member, self.behind[name], self.now_s, busy)

    def tiers(self) -> dict[str, Tier]:
        return {name: member.ladder.tier for name, member in self.members.items()}


def test_where_time_is_short_the_least_important_steps_down_for_a_late_one():
    process = Process(vip=5, normal=0, extra=-5)
    process.run(1.0, busy=BUSY)
    process.run(2.5, busy=BUSY, late=("vip",))
    assert process.tiers() == {"vip": Tier.ALL, "normal": Tier.ALL, "extra": Tier.NO_DISPOSABLE}
    process.run(SETTLE_S, busy=BUSY, late=("vip",))
    assert process.tiers() == {"vip": Tier.ALL, "normal": Tier.ALL, "extra": Tier.KEY}
    process.run(1.0, busy=BUSY, late=("vip",))
    assert process.tiers() == {"vip": Tier.ALL, "normal": Tier.NO_DISPOSABLE, "extra": Tier.KEY}


def test_the_important_one_steps_down_when_the_others_have_nothing_left_to_give():
    process = Process(vip=5, extra=-5)
    process.run(12.0, busy=BUSY, late=("vip", "extra"), pace=0.3)
    assert process.tiers()["extra"] is Tier.KEY
    assert process.tiers()["vip"] is not Tier.ALL


def test_or_when_it_is_so_late_that_it_cannot_wait_for_them():
    process = Process(vip=5, a=0, b=0, c=0, d=0)
    process.run(0.5, busy=BUSY)
    process.run(3.0, busy=BUSY, late=("vip",), pace=OWN_TURN_S)
    assert process.tiers()["vip"] is not Tier.ALL


def test_where_there_is_time_enough_a_late_stream_is_its_own_matter():
    process = Process(vip=5, extra=-5)
    process.run(3.0, busy=IDLE, late=("vip",))
    assert process.tiers() == {"vip": Tier.NO_DISPOSABLE, "extra": Tier.ALL}


def test_several_late_streams_show_that_time_is_short_though_the_process_gets_little_of_it():
    process = Process(vip=5, extra=-5)
    process.run(3.5, busy=IDLE, late=("vip", "extra"))
    assert process.tiers()["vip"] is Tier.ALL
    assert process.tiers()["extra"] is not Tier.ALL


def test_equals_help_themselves():
    process = Process(a=0, b=0)
    process.run(3.5, busy=BUSY, late=("a",))
    assert process.tiers() == {"a": Tier.NO_DISPOSABLE, "b": Tier.ALL}


def test_the_important_go_up_first_and_the_others_after_them():
    process = Process(vip=5, extra=-5)
    process.run(12.0, busy=BUSY, late=("vip", "extra"), pace=0.3)
    down = process.tiers()
    process.run(UP_AFTER_S + 1.0, busy=IDLE)
    assert process.tiers() != down
    assert process.tiers()["extra"] is Tier.KEY
    process.run(4 * UP_AFTER_S, busy=IDLE)
    assert set(process.tiers().values()) == {Tier.ALL}


def test_who_steps_no_more_gives_nothing():
    process = Process(vip=5, gone=-5)
    process.run(1.0, busy=BUSY)
    gone = process.members.pop("gone")
    process.run(SEEN_WITHIN_S + 1.0, busy=BUSY)
    process.run(3.0, busy=BUSY, late=("vip",))
    assert gone.ladder.tier is Tier.ALL
    assert process.tiers()["vip"] is Tier.NO_DISPOSABLE


def test_the_streams_of_a_process_measure_its_time_and_share_one_triage():
    used_s = [0.0]
    overload = Overload(cpu_s=lambda: used_s[0])
    vip, extra = overload.join(5, 0.0), overload.join(-5, 0.0)
    now_s, behind_s = 0.0, 0.1
    for _ in range(6):
        now_s, behind_s, used_s[0] = now_s + METER_S, behind_s + 0.4, used_s[0] + 0.95 * METER_S
        vip.step(behind_s, now_s)
        worker = threading.Thread(target=extra.step, args=(0.1, now_s))
        worker.start()
        worker.join()
    assert (vip.tier, extra.tier) == (Tier.ALL, Tier.KEY)
    assert vip.lag_s > 1.0


def test_priorities_change_while_streams_run():
    overload = Overload(cpu_s=lambda: 0.0)
    first, second = overload.join(0, 0.0), overload.join(0, 0.0)
    first.prioritise(1)
    now_s, behind_s = 0.0, 0.1
    for _ in range(4):
        now_s, behind_s = now_s + METER_S, behind_s + 0.5
        first.step(behind_s, now_s)
        second.step(behind_s, now_s)
    assert first.tier is Tier.ALL
    assert second.tier is not Tier.ALL
