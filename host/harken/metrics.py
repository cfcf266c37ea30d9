"""What the gateway counts, in the text format that Prometheus reads.

Frames are counted by the links themselves; here they are only summed when somebody asks, so that
counting costs nothing on the way of the audio.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from prometheus_client.core import Metric

__all__ = ["CONTENT_TYPE", "FrameCounters", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_STAGE_BUCKETS: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 10.0)
_MAX_REASONS: Final = 64


class FrameCounters(Protocol):
    """What a link counts."""

    @property
    def frames_up(self) -> int:
        """Audio packets from the device."""
        ...

    @property
    def frames_down(self) -> int:
        """Audio packets to the device."""
        ...

    @property
    def dropped_up(self) -> int:
        """Audio from the device that was thrown away."""
        ...

    @property
    def dropped_down(self) -> int:
        """Audio to the device that was thrown away."""
        ...

    @property
    def refused(self) -> Mapping[str, int]:
        """Messages that were not taken, by reason."""
        ...


class _Sessions(Collector):
    """Sums the counters of the links that live and of those that have ended."""

    def __init__(self) -> None:
        self._live: dict[int, FrameCounters] = {}
        self._frames: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._opened = 0

    @contextmanager
    def watch(self, counters: FrameCounters) -> Generator[None]:
        self._opened += 1
        self._live[id(counters)] = counters
        try:
            yield
        finally:
            del self._live[id(counters)]
            self._add(counters, self._frames, self._dropped, self._refused)

    @property
    def live(self) -> int:
        return len(self._live)

    @staticmethod
    def _add(
        counters: FrameCounters, frames: Counter[str], dropped: Counter[str], refused: Counter[str]
    ) -> None:
        frames.update(up=counters.frames_up, down=counters.frames_down)
        dropped.update(up=counters.dropped_up, down=counters.dropped_down)
        for reason, count in counters.refused.items():
            known = reason in refused or len(refused) < _MAX_REASONS
            refused[reason if known else "other"] += count

    def collect(self) -> Iterator[Metric]:
        frames, dropped, refused = self._frames.copy(), self._dropped.copy(), self._refused.copy()
        for counters in self._live.values():
            self._add(counters, frames, dropped, refused)
        yield GaugeMetricFamily("harken_sessions", "Devices connected now.", self.live)
        yield CounterMetricFamily("harken_sessions_opened", "Devices that connected.", self._opened)
        for name, help_text, label, counted in (
            ("harken_frames", "Audio packets carried.", "direction", frames),
            ("harken_frames_dropped", "Audio packets thrown away.", "direction", dropped),
            ("harken_messages_refused", "Messages not taken.", "reason", refused),
        ):
            family = CounterMetricFamily(name, help_text, labels=[label])
            for value, count in sorted(counted.items()):
                family.add_metric([value], count)
            yield family


class Metrics:
    """Everything one gateway counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._sessions = _Sessions()
        self._registry.register(self._sessions)
        self._turns = PrometheusCounter(
            "harken_turns", "Turns that ended.", ["outcome"], registry=self._registry
        )
        self._stages = Histogram(
            "harken_turn_stage_seconds",
            "Time from the end of speech to a stage of its turn.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=self._registry,
        )
        self._failures = PrometheusCounter(
            "harken_session_failures",
            "Sessions ended by an error.",
            ["code"],
            registry=self._registry,
        )
        self._refusals = PrometheusCounter(
            "harken_connections_refused",
            "Connections not taken.",
            ["reason"],
            registry=self._registry,
        )

    @property
    def live_sessions(self) -> int:
        """Devices connected now."""
        return self._sessions.live

    @contextmanager
    def session(self, counters: FrameCounters) -> Generator[None]:
        """A session lives as long as this block; its link's counters are read when asked."""
        with self._sessions.watch(counters):
            yield

    def turn(self, outcome: str, stages_s: Mapping[str, float]) -> None:
        """A turn ended: how, and seconds from the end of speech to each of its stages."""
        self._turns.labels(outcome).inc()
        for stage, seconds in stages_s.items():
            if seconds >= 0:
                self._stages.labels(stage).observe(seconds)

    def session_failed(self, code: str) -> None:
        """A session ended by an error with this code."""
        self._failures.labels(code).inc()

    def connection_refused(self, reason: str) -> None:
        """A connection was not taken; `reason` is one of few fixed words."""
        self._refusals.labels(reason).inc()

    def exposition(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
