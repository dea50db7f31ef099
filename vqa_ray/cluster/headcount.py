"""How many analyzers there are to be: as many as the load asks for, within what the operator and the machines allow."""

from collections.abc import Iterable, Sequence

from vqa_ray.cluster.records import Member
from vqa_ray.cluster.roster import Roster
from vqa_ray.core import autoscale
from vqa_ray.core.placement import Hall
from vqa_ray.core.policies.registry import BY_NAME
from vqa_ray.core.reconcile import SUSPECT_AFTER, Limits, Phase, Reason, Wanted

EMPTIED_WITHIN_S = 120.0  # an analyzer that is spare and has streams still stays after all


class Headcount:
    """Reckons it from what the roster knows; no Ray, no disk, no clock."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._scaler = autoscale.Scaler()
        self._right = 0  # so many analyzers are right for the load

    def limits(self, cores: float, *, held: bool) -> Limits:
        """How many analyzers there may be in a cluster of so many cores, and how many the load asks for."""
        options = self._roster.options
        most = options.analyzers_max or max(1, int(cores / options.cores))
        return Limits(
            minimum=min(options.analyzers_min, most),
            maximum=most,
            load=min(self._right, most),
            capacity=options.capacity,
            budget=self._roster.budget,
            policy=options.policy,
            moves=options.moves,
            held=held,
        )

    def look(self, wanted: Sequence[Wanted], now_s: float) -> None:
        """Reckons how many analyzers the load asks for; one that is spare for long is to be emptied and ended."""
        options, members = self._roster.options, self._roster.members.values()
        staying = [m for m in members if self._roster.stays(m)]
        load = autoscale.Load(
            share=sum(w.share for w in wanted),
            size_bytes=sum(w.size_bytes for w in wanted),
            alone=sum(w.crashes >= SUSPECT_AFTER for w in wanted),
        )
        size = autoscale.Size(capacity=options.capacity, budget=self._roster.budget, target=options.target)
        count = self._scaler.step(load, size, len(staying), now_s, options.shrink_after_s)
        self._right = count.right
        for member in [m for m in members if m.leaves is Reason.SURPLUS]:
            if count.right > len(staying) or now_s - member.leaves_s > EMPTIED_WITHIN_S:
                member.leaves = None
            return  # one after the other
        if count.surplus > 0 and len(staying) > options.analyzers_min:
            self._spare_one(staying, now_s)

    def _spare_one(self, staying: Iterable[Member], now_s: float) -> None:
        roster = self._roster
        ready = [m for m in staying if m.phase is Phase.READY]
        riders = {m.name: [roster.rider(p) for p in roster.places_at(m.name) if p.lost is None] for m in ready}
        hall = Hall((roster.seat(m, riders[m.name]) for m in ready), BY_NAME[roster.options.policy])
        name = autoscale.spare(hall, riders)
        if name is not None and len(ready) > 1:
            roster.members[name].leaves, roster.members[name].leaves_s = Reason.SURPLUS, now_s
