"""Coverage-guided fuzzing of what strangers hand to the gateway before anything else is known:
boot requests, host names, configuration files and Opus packets.

`python tests/fuzz/fuzz_ground.py [-max_total_time=60] [CORPUS…]`; arguments are libFuzzer's. The
first byte of an input chooses the parser.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["harken"]):
    from harken.audio import opus
    from harken.config import load
    from harken.errors import AudioError, ConfigError, MalformedError
    from harken.web.bootstrap import read_report
    from harken.web.guard import bearer, host_of, is_foreign

_FILE = Path(tempfile.mkdtemp(prefix="harken-fuzz-"), "harken.toml")
_DECODER = opus.Decoder(16_000)


def boot_request(data: bytes) -> None:
    """Headers are the first line, the body the rest."""
    line, _, body = data.partition(b"\n")
    text = line.decode("latin-1")
    with contextlib.suppress(MalformedError):
        read_report({"Device-Id": text, "User-Agent": text}, body)


def host(data: bytes) -> None:
    """One text as every header that guards look at."""
    text = data.decode("utf-8", "replace")
    host_of(text)
    bearer(text)
    is_foreign({"Host": "127.0.0.1", "Origin": text}, loopback=True)


def configuration(data: bytes) -> None:
    """A whole configuration file."""
    _FILE.write_bytes(data)
    with contextlib.suppress(ConfigError):
        load(file=_FILE, environment={})


def packet(data: bytes) -> None:
    """An Opus packet, into a decoder that remembers those before."""
    with contextlib.suppress(AudioError):
        ms = opus.packet_ms(data)
        assert len(_DECODER.decode(data)) == 32 * ms


PARSERS = (boot_request, host, configuration, packet)


def one_input(data: bytes) -> None:
    """What libFuzzer calls."""
    if data:
        PARSERS[data[0] % len(PARSERS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
