"""`harken serve` as a process: ready, asked, told to leave, and refused."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.integration

PATIENCE_S = 30
LEAVE_S = 5
FREE_PORTS = ("--http-port", "0", "--websocket-port", "0")


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARKEN_")}
    homes = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    # No models are needed here, and none may be loaded behind the test's back.
    return {**kept, **homes, "HARKEN_MODELS__DIRECTORY": str(folder / "models"), **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "harken.cli", *arguments]


@contextmanager
def serving(
    folder: Path, *arguments: str, **variables: str
) -> Generator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            command("serve", "--json", *FREE_PORTS, *arguments),
            env=environment(folder, **variables),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        readable, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
        assert readable, "not ready in time"
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_S)


def get(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return dict(json.load(error))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_leaves_when_told(tmp_path: Path, sign: int) -> None:
    with serving(tmp_path) as (process, ready):
        assert ready["event"] == "ready"
        assert ready["pid"] == process.pid
        told = get(ready["http"] + "/xiaozhi/ota/")
        assert told["websocket"]["url"] == ready["websocket"]
        began = time.monotonic()
        process.send_signal(sign)
        assert process.wait(PATIENCE_S) == 0
        assert time.monotonic() - began < LEAVE_S
    assert "Traceback" not in (tmp_path / "stderr").read_text()


def test_missing_models_are_told_not_fatal(tmp_path: Path) -> None:
    with serving(tmp_path, "--log-level", "info", HARKEN_LOG__FORMAT="json") as (_, ready):
        deadline = time.monotonic() + PATIENCE_S
        while get(ready["http"] + "/healthz")["agent"] == "loading":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        health = get(ready["http"] + "/healthz")
    assert health["status"] == "failed"
    assert "harken models pull" in health["agent"]
    lines = [json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines()]
    assert any("model_missing" in line.get("error", "") for line in lines)


def test_a_client_in_mid_request_does_not_hold_up_the_exit(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, ready):
        http = int(ready["http"].rsplit(":", 1)[1])
        websocket = int(ready["websocket"].split(":")[2].split("/")[0])
        with (
            socket.create_connection(("127.0.0.1", http), PATIENCE_S) as slow,
            socket.create_connection(("127.0.0.1", websocket), PATIENCE_S) as silent,
        ):
            slow.sendall(b"POST /xiaozhi/ota/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Len")
            silent.sendall(b"GET /xiaozhi/v1/ HTTP/1.1\r\n")
            assert get(ready["http"] + "/healthz")["sessions"] == 0
            process.terminate()
            assert process.wait(LEAVE_S) == 0


@pytest.mark.parametrize("flag", ["--http-port", "--websocket-port"])
def test_a_port_in_use_is_one_clear_line(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["serve", *FREE_PORTS, flag, str(port)]
        done = subprocess.run(
            command(*arguments),
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 4
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert str(port) in line
    assert flag in line
    assert line.endswith("[start]")


def test_beyond_loopback_it_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        command("serve", "--json", "--host", "0.0.0.0"),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 3
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "config"
    assert "tokens and TLS" in error["message"]
    assert "127.0.0.1" in error["hint"]
