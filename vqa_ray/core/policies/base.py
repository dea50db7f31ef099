"""What a placement policy is."""

from collections.abc import Iterator, Sequence
from typing import Protocol


class Policy(Protocol):
    """One way to choose among analyzers. name: as it is written in a fleet file.

    evens: whether loads that have drifted apart are evened out by moving streams.
    """

    name: str
    evens: bool

    def order(self, free: Sequence[tuple[int, int]], need: int) -> Iterator[int]:
        """Indices into `free` of those with at least `need`, the best first.

        free: (millionths of a core that are free, tie-breaker), rising. Lazy: nearly always the first one is taken.
        """
