"""What the gateway counts, read back as Prometheus reads it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harken.metrics import Metrics


@dataclass
class Counters:
    frames_up: int = 0
    frames_down: int = 0
    dropped_up: int = 0
    dropped_down: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])


def read(metrics: Metrics) -> dict[tuple[str, str], float]:
    """(sample name, its one label or "") -> value."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_frames_of_living_and_ended_sessions_are_summed() -> None:
    metrics = Metrics()
    ended = Counters(frames_up=10, frames_down=1, dropped_up=3, refused={"malformed": 2})
    with metrics.session(ended):
        pass
    living = Counters(frames_up=5, refused={"malformed": 1, "unknown": 1})
    with metrics.session(living):
        living.frames_up = 7
        found = read(metrics)
        assert metrics.live_sessions == 1
    assert found["harken_frames_total", "up"] == 17
    assert found["harken_frames_total", "down"] == 1
    assert found["harken_frames_dropped_total", "up"] == 3
    assert found["harken_messages_refused_total", "malformed"] == 3
    assert found["harken_messages_refused_total", "unknown"] == 1
    assert found["harken_sessions", ""] == 1
    assert found["harken_sessions_opened_total", ""] == 2
    assert read(metrics)["harken_frames_total", "up"] == 17
    assert metrics.live_sessions == 0


def test_a_session_that_fails_is_still_summed() -> None:
    metrics = Metrics()
    counters = Counters(frames_up=4)
    with pytest.raises(KeyError), metrics.session(counters):
        raise KeyError
    assert read(metrics)["harken_frames_total", "up"] == 4


def test_reasons_invented_without_end_do_not_grow_the_page() -> None:
    metrics = Metrics()
    with metrics.session(Counters(refused={f"reason {n}": 1 for n in range(500)})):
        found = read(metrics)
    reasons = {label: n for (name, label), n in found.items() if "refused" in name}
    assert len(reasons) == 65
    assert sum(reasons.values()) == 500
    assert reasons["other"] == 436


def test_turns_and_their_stages() -> None:
    metrics = Metrics()
    metrics.turn("answered", {"endpoint": 0.1, "heard_first": 0.7, "uplink_last": -0.01})
    metrics.turn("interrupted", {"endpoint": 0.3})
    metrics.session_failed("agent")
    metrics.connection_refused("token")
    found = read(metrics)
    assert found["harken_turns_total", "answered"] == 1
    assert found["harken_turn_stage_seconds_count", "endpoint"] == 2
    assert round(found["harken_turn_stage_seconds_sum", "endpoint"], 3) == 0.4
    assert ("harken_turn_stage_seconds_count", "uplink_last") not in found
    assert found["harken_session_failures_total", "agent"] == 1
    assert found["harken_connections_refused_total", "token"] == 1
