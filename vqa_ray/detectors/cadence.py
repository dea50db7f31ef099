"""When detectors look closely, where not each frame needs it: all at the same frames, to share what that costs."""

from vqa_ray.core.picture import Picture

LOOK_S = 0.16
ABRUPT = 6.0  # grey levels of `Picture.change`: a cut, or a large part of the picture is another one


class Cadence:
    """Due at the first frame of each `every`th 0.16 s of the timeline."""

    def __init__(self, every: int = 1) -> None:
        self._step_s = LOOK_S * every
        self._number: int | None = None

    def due(self, at_s: float) -> bool:
        """Whether to look closely at the frame at `at_s`."""
        number = int(at_s / self._step_s)
        if number == self._number:
            return False
        self._number = number
        return True

    def looks(self, picture: Picture) -> bool:
        """Due, or another picture all of a sudden: what begins or ends with a cut does so at the exact frame."""
        return self.due(picture.at_s) or picture.change > ABRUPT
