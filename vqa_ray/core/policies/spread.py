"""`spread`: the least loaded analyzer first, and loads kept even: most room for bursts, least lost at once."""

from collections.abc import Iterator, Sequence


class Spread:
    """See the module."""

    name = "spread"
    evens = True

    def order(self, free: Sequence[tuple[int, int]], need: int) -> Iterator[int]:
        """From the end: those with the most room."""
        for index in range(len(free) - 1, -1, -1):
            if free[index][0] < need:
                return
            yield index
