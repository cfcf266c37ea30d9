"""Ratios on a noisy machine.

Ours, the rival and the floor (the least that the machine itself takes) are run in turn, round
after round, each round in another order. A round in which the floor fails says something of the
machine and nothing of us: it is thrown away. What is reported is the median over the rounds.
"""

from __future__ import annotations

import difflib
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from harken.errors import ConfigError, RigError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "BenchOptions",
    "BenchResult",
    "Figure",
    "Goal",
    "Samples",
    "Setting",
    "counted",
    "figure",
    "interleave",
    "read_settings",
]

MIN_ROUNDS: Final = 5
_ATTEMPTS_PER_ROUND: Final = 6

Side = Literal["ours", "rival", "floor"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A number of a bench that `--set NAME=VALUE` changes.

    Attributes:
        meaning: what it is.
        default: unless given.
        low, high: the least and the most it may be.
    """

    meaning: str
    default: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How to measure.

    Attributes:
        rounds: good rounds wanted.
        settings: of `read_settings`; empty where the bench has none.
        quick: a small part of the work, to see where one is.
        silent: show no progress.
    """

    rounds: int = MIN_ROUNDS
    settings: Mapping[str, float] = field(default_factory=dict[str, float])
    quick: bool = False
    silent: bool = False


def read_settings(known: Mapping[str, Setting], pairs: Iterable[str]) -> dict[str, float]:
    """What `--set NAME=VALUE` made of the settings of a bench.

    Args:
        known: those that the bench has.
        pairs: as they were given; the last one of a name counts.

    Returns:
        A value for every name in `known`.

    Raises:
        ConfigError: there is no such setting, or it may not be that.
    """
    values = {name: setting.default for name, setting in known.items()}
    for pair in pairs:
        name, sign, given = pair.partition("=")
        if name not in known or not sign:
            raise _unknown(pair, known)
        setting = known[name]
        try:
            values[name] = float(given)
        except ValueError:
            values[name] = float("nan")
        if not setting.low <= values[name] <= setting.high:
            raise ConfigError(
                f"--set {printable(pair, 80)} is not allowed",
                hint=f"{name} ({setting.meaning}) is a number from {setting.low:g}"
                f" to {setting.high:g}",
            )
    return values


def _unknown(pair: str, known: Mapping[str, Setting]) -> ConfigError:
    name = pair.partition("=")[0]
    what = f"--set {printable(pair, 80)}: "
    if not known:
        return ConfigError(f"{what}this bench has no settings", hint="leave --set away")
    if name in known:
        return ConfigError(f"{what}there is no value", hint=f"write {name}=VALUE")
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return ConfigError(f"{what}there is no such setting", hint=hint)


@dataclass(frozen=True, slots=True)
class Samples:
    """What each side gave in the good rounds, in order.

    Attributes:
        ours, rival, floor: one value a round; empty where there is no such side.
        discarded: rounds thrown away because the floor failed.
        failed: rounds in which the floor held and ours failed: no goal is met then.
    """

    ours: tuple[float, ...]
    rival: tuple[float, ...] = ()
    floor: tuple[float, ...] = ()
    discarded: int = 0
    failed: int = 0

    def ratio(self, of: Side = "ours", to: Side = "rival") -> float:
        """Median over the rounds of one side over another in the same round."""
        values = {"ours": self.ours, "rival": self.rival, "floor": self.floor}
        pairs = zip(values[of], values[to], strict=True)
        return statistics.median(one / other for one, other in pairs)


@dataclass(frozen=True, slots=True)
class Goal:
    """What must be reached, e.g. `Goal("ratio", "<=", 1.1)`.

    Attributes:
        of: the figure itself, its ratio to the rival (to the floor where there is no rival), or
            how much higher it is than the rival.
        sign, limit: how it is judged.
    """

    of: Literal["ratio", "ratio to floor", "figure", "difference"]
    sign: Literal["<=", ">=", "=="]
    limit: float

    def met(self, value: float) -> bool:
        """Whether a value reaches it."""
        if self.sign == "<=":
            return value <= self.limit
        return value >= self.limit if self.sign == ">=" else value == self.limit

    def __str__(self) -> str:
        return f"{self.of} {self.sign} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a benchmark.

    Attributes:
        name: what was measured.
        unit: of `figure`, `rival` and `floor`.
        figure: ours, the median over the rounds.
        rival: the other implementation's, if there is one.
        floor: the least the machine itself takes, if there is one.
        ratio: ours over the rival's; over the floor's where there is no rival or the goal is a
            ratio to the floor.
        goal: what was to be reached.
        met: whether it was, in rounds none of which failed.
        rounds: those that the figure is made of.
        discarded: those thrown away because their floor failed.
        failed: those in which only ours failed.
        rival_name, floor_name: what these are.
        detail: more that was counted.
    """

    name: str
    unit: str
    figure: float
    rival: float | None
    floor: float | None
    ratio: float | None
    goal: str
    met: bool
    rounds: int = 1
    discarded: int = 0
    failed: int = 0
    rival_name: str = ""
    floor_name: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All figures of one benchmark.

    Attributes:
        bench: its name.
        figures: one after another.
        data: what pictures are drawn from, where there are any.
    """

    bench: str
    figures: tuple[Figure, ...]
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def met(self) -> bool:
        """Whether every goal was reached."""
        return all(figure.met for figure in self.figures)

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        plain: dict[str, Any] = {
            "bench": self.bench,
            "met": self.met,
            "figures": [asdict(f) for f in self.figures],
        }
        return plain | ({"data": self.data} if self.data else {})


def counted(
    name: str,
    unit: str,
    goal: Goal,
    ours: float,
    *,
    rival: tuple[str, float] | None = None,
    floor: tuple[str, float] | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Figure:
    """The line of a figure that has no rounds: it comes out the same every time.

    Args:
        name: what was measured.
        unit: of all values.
        goal: what was to be reached.
        ours: the figure.
        rival: what it is called, and its figure.
        floor: the same of the least, or the most, that can be had.
        detail: more that was counted.

    Raises:
        RigError: the goal compares with something that is not given.
    """
    other = rival or floor
    ratio = ours / other[1] if other is not None and other[1] else None
    judged = {"figure": ours, "difference": ours - (rival[1] if rival else 0.0)}.get(goal.of, ratio)
    if judged is None or (goal.of == "difference" and rival is None):
        raise RigError(f"{name}: its goal needs something to compare with")
    return Figure(
        name=name,
        unit=unit,
        figure=ours,
        rival=rival[1] if rival else None,
        floor=floor[1] if floor else None,
        ratio=ratio,
        goal=str(goal),
        met=goal.met(judged),
        rival_name=rival[0] if rival else "",
        floor_name=floor[0] if floor else "",
        detail=detail or {},
    )


def interleave(
    *,
    ours: Callable[[], float],
    rival: Callable[[], float] | None = None,
    floor: Callable[[], float] | None = None,
    floor_holds: Callable[[float], bool] | None = None,
    rounds: int = MIN_ROUNDS,
) -> Samples:
    """Run the sides in turn, in another order each round.

    Args:
        ours: runs our side once and returns its figure.
        rival: the same for the other implementation, if there is one.
        floor: the same for the least that the machine takes, if there is such a thing.
        floor_holds: whether a floor's figure is what it should be; else the round is thrown away.
            A floor that raises `RigError` has failed as well.
        rounds: good rounds wanted.

    Raises:
        RigError: after six times as many rounds there are still not enough good ones.
    """
    sides: dict[Side, Callable[[], float]] = {"ours": ours}
    if rival is not None:
        sides["rival"] = rival
    if floor is not None:
        sides["floor"] = floor
    wanted = max(rounds, MIN_ROUNDS)
    good: list[dict[Side, float]] = []
    attempts = 0
    while len(good) < wanted:
        if attempts == _ATTEMPTS_PER_ROUND * wanted:
            raise RigError(
                f"the floor failed in {attempts - len(good)} of {attempts} rounds:"
                " the machine is too busy to measure on",
                hint="run it again when less else is running",
            )
        found = _one_round(sides, attempts, floor_holds)
        attempts += 1
        if found is not None:
            good.append(found)
    values = {side: tuple(found[side] for found in good) for side in sides}
    return Samples(
        values["ours"], values.get("rival", ()), values.get("floor", ()), attempts - wanted
    )


def _one_round(
    sides: Mapping[Side, Callable[[], float]],
    turn: int,
    floor_holds: Callable[[float], bool] | None,
) -> dict[Side, float] | None:
    order = list(sides)
    shift = turn % len(order)
    found: dict[Side, float] = {}
    for side in order[shift:] + order[:shift]:
        try:
            found[side] = sides[side]()
        except RigError:
            if side != "floor":
                raise
            return None
    if "floor" in found and floor_holds is not None and not floor_holds(found["floor"]):
        return None
    return found


def figure(
    name: str,
    unit: str,
    samples: Samples,
    goal: Goal,
    *,
    rival_name: str = "",
    floor_name: str = "",
    detail: Mapping[str, Any] | None = None,
) -> Figure:
    """The line that the samples of one measurement make."""
    to: Side = "rival" if samples.rival and goal.of != "ratio to floor" else "floor"
    ratio = samples.ratio(to=to) if samples.rival or samples.floor else None
    ours = statistics.median(samples.ours)
    judged = ours if goal.of == "figure" else ratio
    if judged is None:
        raise RigError(f"{name}: a goal for a ratio needs a rival or a floor")
    return Figure(
        name=name,
        unit=unit,
        figure=ours,
        rival=statistics.median(samples.rival) if samples.rival else None,
        floor=statistics.median(samples.floor) if samples.floor else None,
        ratio=ratio,
        goal=str(goal),
        met=goal.met(judged) and not samples.failed,
        rounds=len(samples.ours),
        discarded=samples.discarded,
        failed=samples.failed,
        rival_name=rival_name,
        floor_name=floor_name,
        detail=detail or {},
    )
