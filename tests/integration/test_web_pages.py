"""The HTTP pages over a real socket, asked well, badly and slowly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from harken.config import ServerSettings
from harken.errors import StartError
from harken.fleet.registry import Registry
from harken.metrics import Metrics
from harken.web.app import Gate, build_app
from harken.web.door import HttpDoor

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

TOKEN = "0123456789abcdef"


@dataclass
class Site:
    url: str
    port: int
    registry: Registry
    metrics: Metrics
    connected: set[str]
    agent: list[str]
    http: ClientSession

    async def ask(self, path: str, **named: Any) -> tuple[int, Any]:
        method = named.pop("method", "GET")
        async with self.http.request(method, self.url + path, **named) as answer:
            text = await answer.text()
            kind = answer.headers["Content-Type"]
            return answer.status, json.loads(text) if "json" in kind else text


OpenSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def open_site(tmp_path: Path) -> AsyncIterator[OpenSite]:
    async with AsyncExitStack() as stack:

        async def opened(*, connection_s: float = 10.0, **server: Any) -> Site:
            return await stack.enter_async_context(_site(tmp_path, connection_s, server))

        yield opened


@asynccontextmanager
async def _site(folder: Path, connection_s: float, server: dict[str, Any]) -> AsyncIterator[Site]:
    with closing(Registry(folder / "devices.sqlite3")) as registry:
        metrics, connected, agent = Metrics(), set[str](), ["ready"]
        gate = Gate(
            server=ServerSettings(**server),
            loopback=True,
            websocket_url=lambda host: f"ws://{host}:1234/xiaozhi/v1/",
            registry=registry,
            metrics=metrics,
            agent_state=lambda: agent[0],
            connected=lambda: connected,
        )
        door = HttpDoor(build_app(gate), "127.0.0.1", 0, connection_s=connection_s)
        port = await door.start()
        async with ClientSession() as http:
            url = f"http://127.0.0.1:{port}"
            yield Site(url, port, registry, metrics, connected, agent, http)
        await door.close()
        await door.close()


@pytest.mark.parametrize("path", ["/xiaozhi/ota/", "/xiaozhi/ota"])
async def test_a_booting_device_is_told_where_to_connect(open_site: OpenSite, path: str) -> None:
    site = await open_site(websocket_version=2)
    body = {"application": {"version": "2.4"}, "board": {"type": "toy"}}
    headers = {"Device-Id": "AA:BB"}
    status, answer = await site.ask(path, method="POST", json=body, headers=headers)
    assert status == 200
    assert answer["websocket"] == {
        "url": "ws://127.0.0.1:1234/xiaozhi/v1/",
        "token": "",
        "version": 2,
    }
    (record,) = site.registry.devices()
    assert (record.identity, record.board, record.firmware) == ("aa:bb", "toy", "2.4")
    status, answer = await site.ask(path)
    assert (status, answer["websocket"]["version"]) == (200, 2)
    assert len(site.registry.devices()) == 1


async def test_bad_bodies_get_a_reason(open_site: OpenSite) -> None:
    site = await open_site()
    status, answer = await site.ask("/xiaozhi/ota/", method="POST", data=b"{oops")
    assert status == 400
    assert "not JSON" in answer["error"]
    status, answer = await site.ask("/xiaozhi/ota/", method="POST", data=b"{" * 70_000)
    assert status == 413
    squeezed = {"Content-Encoding": "gzip"}
    status, _ = await site.ask("/xiaozhi/ota/", method="POST", data=b"\x1f\x8b", headers=squeezed)
    assert status == 400
    status, answer = await site.ask("/nowhere")
    assert (status, answer["error"]) == (404, "Not Found")
    status, _ = await site.ask("/healthz", method="DELETE")
    assert status == 405


async def test_health_follows_the_agent(open_site: OpenSite) -> None:
    site = await open_site()
    for state, status, word in (
        ("loading", 200, "ok"),
        ("ready", 200, "ok"),
        ("failed: no model", 503, "failed"),
    ):
        site.agent[0] = state
        assert await site.ask("/healthz") == (
            status,
            {"status": word, "agent": state, "sessions": 0},
        )


async def test_devices_and_metrics(open_site: OpenSite) -> None:
    site = await open_site()
    site.registry.seen("aa", board="toy")
    site.connected.add("aa")
    _, answer = await site.ask("/api/devices")
    (device,) = answer["devices"]
    assert (device["identity"], device["board"], device["connected"]) == ("aa", "toy", True)
    _, text = await site.ask("/metrics")
    assert "harken_sessions 0.0" in text


async def test_tokens_guard_pages_and_the_bootstrap_gives_none_away(open_site: OpenSite) -> None:
    site = await open_site(tokens=(TOKEN,))
    shown = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/metrics", "/api/devices"):
        status, answer = await site.ask(path)
        assert status == 401
        assert "token" in answer["error"]
        assert (await site.ask(path, headers={"Authorization": "Bearer wrong"}))[0] == 401
        assert (await site.ask(path, headers=shown))[0] == 200
    assert (await site.ask("/healthz"))[0] == 200
    stranger = {"Device-Id": "aa"}
    _, answer = await site.ask("/xiaozhi/ota/", headers=stranger)
    assert answer["websocket"]["token"] == ""
    assert site.registry.devices() == []
    _, answer = await site.ask("/xiaozhi/ota/", headers={**stranger, **shown})
    assert answer["websocket"]["token"] == TOKEN
    assert [record.identity for record in site.registry.devices()] == ["aa"]
    _, text = await site.ask("/metrics", headers=shown)
    assert 'harken_connections_refused_total{reason="token"} 4.0' in text


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
async def test_pages_of_other_sites_may_not_ask(
    open_site: OpenSite, headers: dict[str, str]
) -> None:
    site = await open_site()
    status, answer = await site.ask("/xiaozhi/ota/", headers=headers)
    assert status == 403
    assert "may not ask" in answer["error"]


async def test_every_answer_is_sealed_against_browsers(open_site: OpenSite) -> None:
    site = await open_site()
    for path in ("/healthz", "/nowhere"):
        async with site.http.get(site.url + path) as answer:
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"


async def test_a_registry_that_fails_is_told_without_details_and_lets_devices_boot(
    open_site: OpenSite,
) -> None:
    site = await open_site()
    site.registry.close()
    status, answer = await site.ask("/api/devices")
    assert status == 503
    assert answer["error"] == "this page cannot be had now [start]"
    status, answer = await site.ask("/xiaozhi/ota/", headers={"Device-Id": "aa"})
    assert (status, answer["websocket"]["version"]) == (200, 3)


@pytest.mark.parametrize(
    "started",
    [
        b"",
        b"GET /hea",
        b"POST /xiaozhi/ota/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{",
    ],
)
async def test_who_holds_a_connection_open_is_cut_off(open_site: OpenSite, started: bytes) -> None:
    site = await open_site(connection_s=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(started)
    async with asyncio.timeout(20):
        try:
            while await reader.read(1_000):
                pass
        except ConnectionResetError:
            pass
    writer.close()
    assert (await site.ask("/healthz"))[0] == 200


async def test_one_request_a_connection(open_site: OpenSite) -> None:
    site = await open_site()
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    writer.write(request + request)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_a_port_in_use_says_how_to_choose_another(open_site: OpenSite) -> None:
    site = await open_site()
    second = HttpDoor(build_app_for_nothing(site), "127.0.0.1", site.port)
    with pytest.raises(StartError, match=f":{site.port}") as caught:
        await second.start()
    assert "--http-port" in caught.value.hint
    await second.close()


def build_app_for_nothing(site: Site) -> Any:
    return build_app(
        Gate(
            server=ServerSettings(),
            loopback=True,
            websocket_url=str,
            registry=site.registry,
            metrics=site.metrics,
            agent_state=str,
            connected=set,
        )
    )
