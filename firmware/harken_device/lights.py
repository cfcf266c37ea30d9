"""What the LED shows: the state, a failure for a while, and in idle the colour that was chosen."""

from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from board_face import Leds

    Colour = tuple[int, int, int]

# Red, green, blue by state, as `app.STATES` counts them; idle shows the chosen colour.
_COLOURS = ((0, 0, 0), (40, 0, 60), (0, 80, 0), (70, 50, 0), (0, 40, 90), (60, 60, 60))
_FAILURE = (90, 0, 0)
_FAILURE_MS = const(2000)
_IDLE = const(0)


class Lights:
    """The board's LED.

    Args:
        leds: of the board.
        colour: shown in idle.

    Attributes:
        colour: shown in idle.
    """

    def __init__(self, leds: "Leds", colour: "Colour") -> None:
        self._leds = leds
        self.colour = colour
        self._state = _IDLE
        self._failed = False
        self._until = ticks_ms()
        self._shown: Colour | None = None

    def show(self, state: int) -> None:
        """The device is in this state now."""
        self._state = state
        self._paint()

    def choose(self, colour: "Colour") -> None:
        """Show this colour in idle."""
        self.colour = colour
        self._paint()

    def fail(self) -> None:
        """Something did not work: show it for two seconds."""
        self._failed = True
        self._until = ticks_add(ticks_ms(), _FAILURE_MS)
        self._paint()

    def look(self) -> None:
        """Time passes. Allocates nothing."""
        if self._failed and ticks_diff(ticks_ms(), self._until) > 0:
            self._failed = False
            self._paint()

    def _paint(self) -> None:
        if self._failed:
            colour = _FAILURE
        elif self._state == _IDLE:
            colour = self.colour
        else:
            colour = _COLOURS[self._state]
        if colour != self._shown:
            self._shown = colour
            self._leds.set(colour[0], colour[1], colour[2])
