"""When each stage of a turn was reached, in one clock.

The gateway stamps with its own monotonic clock. A device stamps with its count of samples, and
says in every report what that count is now; a report takes a while to arrive, so of the offsets
seen lately the smallest is nearest to the truth (the minimum filter of D. L. Mills, RFC 5905
section 10).
"""

from __future__ import annotations

from collections import deque
from typing import Literal, get_args

import msgspec

__all__ = ["STAGES", "DeviceClock", "Stage", "Timeline", "TurnRecord"]

Stage = Literal[
    "speech_end",
    "device_endpoint",
    "uplink_last",
    "endpoint",
    "stt_final",
    "llm_first",
    "tts_first",
    "downlink_first",
    "heard_first",
]

STAGES: tuple[Stage, ...] = get_args(Stage)
"""In the order in which a turn goes through them."""

_RATE = 16_000
_OFFSETS = 16
_WRAP_S = 2**30 / _RATE  # after which a device's count of samples begins again


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a turn; becomes JSON by `msgspec.json.encode`.

    Attributes:
        number: counts the turns of a session from 1.
        device: identity.
        session: names the session.
        transcript: what the user was heard to say.
        answer: what the agent wanted to say.
        spoken: the sentences of it whose audio the device was sent.
        tools: names of the tools called, in order.
        stages: stage -> ms after `speech_end`; only those that are known.
        heard_ms: voice to voice: `heard_first` of `stages`.
        interrupted: the user broke in, or the answer was given up.
        played_ms: how much of the answer the device has played, by its own word or by ours.
        sent_ms: how much of the answer the device was sent.
        late: frames that the device had to conceal, see `harken.links.link.Playout`.
        errors: what went wrong, for people.
    """

    number: int
    device: str
    session: str
    transcript: str = ""
    answer: str = ""
    spoken: str = ""
    tools: tuple[str, ...] = ()
    stages: dict[str, float] = {}
    heard_ms: float | None = None
    interrupted: bool = False
    played_ms: int = 0
    sent_ms: int = 0
    late: int = 0
    errors: tuple[str, ...] = ()


class DeviceClock:
    """Tells when a device's sample was, in this process's clock.

    A device counts its samples modulo 2^30, which is 18.6 hours; of the times that a count may
    mean, the nearest to the last report is taken.
    """

    def __init__(self) -> None:
        self._offsets: deque[float] = deque(maxlen=_OFFSETS)
        self._joined_at = 0.0

    def join(self, samples: int, received_at: float) -> None:
        """The device's count was `samples` when it sent what arrived at `received_at`."""
        offset = received_at - samples / _RATE
        if self._offsets:
            offset = _nearest(offset, self._offsets[-1])
        self._offsets.append(offset)
        self._joined_at = received_at

    def at(self, samples: int) -> float:
        """When the device's count was `samples`, in `time.monotonic()` seconds.

        Raises:
            ValueError: nothing has joined the clocks yet.
        """
        return _nearest(min(self._offsets) + samples / _RATE, self._joined_at)


def _nearest(time_s: float, to_s: float) -> float:
    """`time_s`, or as many wraps of the count before or after it as are nearest to `to_s`."""
    return time_s + round((to_s - time_s) / _WRAP_S) * _WRAP_S


class Timeline:
    """The stages of one turn. Each is stamped once; the device's word beats the gateway's."""

    def __init__(self) -> None:
        self._own: dict[Stage, float] = {}
        self._device: dict[Stage, float] = {}

    def stamp(self, stage: Stage, at: float) -> None:
        """The gateway saw `stage` at `at`, in seconds; later stamps of it are ignored."""
        self._own.setdefault(stage, at)

    def stamp_device(self, stage: str, at: float) -> None:
        """The device saw `stage` at `at` of the joined clock; stages unknown here are ignored."""
        for known in STAGES:
            if known == stage:
                self._device.setdefault(known, at)

    def at(self, stage: Stage) -> float | None:
        """When a stage was, or `None` where nobody knows."""
        return self._device.get(stage, self._own.get(stage))

    def relative_ms(self) -> dict[str, float]:
        """Stage -> ms after `speech_end`, in order; empty where that is not known."""
        origin = self.at("speech_end")
        if origin is None:
            return {}
        known = ((stage, self.at(stage)) for stage in STAGES)
        return {stage: round((at - origin) * 1000, 1) for stage, at in known if at is not None}
