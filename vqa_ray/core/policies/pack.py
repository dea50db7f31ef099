"""`pack`: the fullest analyzer with room first, so that the others stay empty and their machines can be given back."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence


class Pack:
    """See the module."""

    name = "pack"
    evens = False

    def order(self, free: Sequence[tuple[int, int]], need: int) -> Iterator[int]:
        """From the first that has just enough room."""
        yield from range(bisect_left(free, need, key=lambda entry: entry[0]), len(free))
