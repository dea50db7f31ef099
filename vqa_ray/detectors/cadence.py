"""When detectors look closely, where not each frame needs it: all at the same frames, to share what that costs."""

LOOK_S = 0.16


class Cadence:
    """Due once in each 0.16 s of the timeline, at the first frame in it."""

    def __init__(self) -> None:
        self._number: int | None = None

    def due(self, at_s: float) -> bool:
        """Whether to look closely at the frame at `at_s`."""
        number = int(at_s / LOOK_S)
        if number == self._number:
            return False
        self._number = number
        return True
