"""Log lines: whom they are about, one line each, and no secrets in them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from harken.config import LogSettings
from harken.errors import AgentError, StartError
from harken.log import JsonFormatter, TextFormatter, TurnLog, bound, bound_names, setup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _fail(error: Exception) -> None:
    raise error


def record(message: str, *args: object, error: Exception | None = None) -> logging.LogRecord:
    info = None
    if error is not None:
        with contextlib.suppress(type(error)):
            try:
                _fail(error)
            finally:
                info = sys.exc_info()
    return logging.LogRecord("harken.test", logging.INFO, __file__, 1, message, args, info)


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root, ours = logging.getLogger(), logging.getLogger("harken")
    before = root.handlers[:], root.level, ours.level
    yield root
    root.handlers[:], root.level, ours.level = before


def test_text_names_whom_it_is_about() -> None:
    with bound(device="aa:bb", session="s1"), bound(turn="3"):
        line = TextFormatter().format(record("heard %s", "hello"))
    assert line.endswith("info    device=aa:bb session=s1 turn=3 heard hello")


def test_json_is_one_object_a_line() -> None:
    with bound(device="aa:bb"):
        line = JsonFormatter().format(record("two\nlines \x1b[31m"))
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["message"] == "two�lines �[31m"
    assert fields["device"] == "aa:bb"
    assert fields["level"] == "info"
    assert fields["logger"] == "harken.test"
    assert fields["at"].endswith("+00:00")


@pytest.mark.parametrize("make", [TextFormatter, JsonFormatter])
def test_secrets_never_come_out(make: type[TextFormatter | JsonFormatter]) -> None:
    formatter = make(["sk-hunter2-and-more", "sk-hunter2", ""])
    lines = [
        formatter.format(record("key sk-hunter2-and-more, Bearer abcd.efgh and sk-hunter2!")),
        formatter.format(record("failed", error=ValueError("sk-hunter2 is wrong"))),
        formatter.format(record("failed", error=AgentError("sk-hunter2 is wrong"))),
    ]
    assert "hunter2" not in "".join(lines)
    assert "abcd" not in lines[0]
    assert lines[0].count("********") == 3


def test_what_a_device_calls_itself_cannot_break_the_line() -> None:
    with bound(device="aa\n12:00:00 error root pwned" + "x" * 200):
        line = TextFormatter().format(record("hello"))
    assert "\n" not in line
    assert len(line) < 140


def test_a_foreseen_error_is_one_line_and_another_has_its_traceback() -> None:
    foreseen = TextFormatter().format(record("no", error=AgentError("slow", hint="wait")))
    assert foreseen.endswith("no: slow (wait) [agent]")
    assert "\n" not in foreseen
    assert "Traceback" in TextFormatter().format(record("no", error=KeyError("x")))
    assert json.loads(JsonFormatter().format(record("no", error=AgentError("slow"))))["error"] == (
        "slow [agent]"
    )


async def test_tasks_inherit_names_and_do_not_leak_them() -> None:
    async def inside(device: str) -> dict[str, str]:
        with bound(device=device):
            await asyncio.sleep(0)
            return dict(bound_names())

    with bound(session="s"):
        found = await asyncio.gather(inside("a"), inside("b"))
    assert list(found) == [{"session": "s", "device": "a"}, {"session": "s", "device": "b"}]
    assert dict(bound_names()) == {}


@pytest.mark.parametrize("form", ["text", "json"])
def test_setup_writes_to_stderr_at_the_level(
    form: str, root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = LogSettings(level="warning", format=form)  # type: ignore[arg-type]
    setup(settings, ["0123456789abcdef"])
    logging.getLogger("harken.x").info("quiet")
    logging.getLogger("harken.x").warning("token 0123456789abcdef")
    logging.getLogger("elsewhere").info("quiet too")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "token ********" in err
    assert err.startswith("{") is (form == "json")
    assert len(root_logger.handlers) == 1


def test_the_turn_log_appends_in_order_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "turns.jsonl"
    for part in ("a", "b"):
        turns = TurnLog(path)
        for number in range(50):
            turns.write(b'{"part":"%s","n":%d}' % (part.encode(), number))
        turns.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["part"], line["n"]) for line in lines] == [
        (part, number) for part in ("a", "b") for number in range(50)
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_turn_log_that_cannot_be_written_says_so_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="turn log"):
        TurnLog(tmp_path)
