"""Settings: their sources, their order, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harken.config import load
from harken.config.check import check_server, is_loopback
from harken.config.load import MASK, keys
from harken.config.settings import ServerSettings
from harken.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "harken.toml"
        path.write_text(text)
        return path

    return write


def test_defaults_are_complete_and_on_loopback(tmp_path: Path) -> None:
    loaded = load(environment={"XDG_CONFIG_HOME": str(tmp_path)})
    assert loaded.settings.server.host == "127.0.0.1"
    assert set(loaded.origins) == set(keys())
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.file is None


def test_later_sources_win_and_say_so(write: Callable[[str], Path]) -> None:
    path = write("[server]\nhttp_port = 1\nwebsocket_port = 1\nmax_devices = 1\n")
    loaded = load(
        file=path,
        environment={"HARKEN_SERVER__WEBSOCKET_PORT": "2", "HARKEN_SERVER__MAX_DEVICES": "2"},
        flags={"--most": ("server.max_devices", 3), "--host": ("server.host", None)},
    )
    server = loaded.settings.server
    assert (server.http_port, server.websocket_port, server.max_devices) == (1, 2, 3)
    assert loaded.origins["server.http_port"] == f"file {path}"
    assert loaded.origins["server.websocket_port"] == "environment HARKEN_SERVER__WEBSOCKET_PORT"
    assert loaded.origins["server.max_devices"] == "flag --most"
    assert loaded.origins["server.host"] == "default"


@pytest.mark.parametrize("place", ["argument", "variable", "default place"])
def test_the_file_is_found(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "harken"
    folder.mkdir()
    path = folder / "harken.toml"
    path.write_text("[log]\nlevel = 'debug'\n")
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "nowhere")}
    if place == "variable":
        environment["HARKEN_CONFIG"] = str(path)
    if place == "default place":
        environment["XDG_CONFIG_HOME"] = str(tmp_path)
    loaded = load(file=path if place == "argument" else None, environment=environment)
    assert loaded.settings.log.level == "debug"
    assert loaded.file == path


def test_the_environment_is_text_made_fit(tmp_path: Path) -> None:
    environment = {
        "HARKEN_SESSION__IDLE_TIMEOUT_S": "2.5",
        "HARKEN_SERVER__TOKENS": "0123456789abcdef, fedcba9876543210",
        "HARKEN_AGENT__LLM__MAX_TOKENS": "7",
        "XDG_CONFIG_HOME": str(tmp_path),
        "HARKEN_REQUIRE_ALL": "1",
    }
    settings = load(environment=environment).settings
    assert settings.session.idle_timeout_s == 2.5
    assert settings.server.tokens == ("0123456789abcdef", "fedcba9876543210")
    assert settings.agent.llm.max_tokens == 7


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("[server]\nhttp_prt = 1", "server.http_port"),
        ("[sever]\nhost = 'x'", "server"),
        ("[server]\nidle_timeout_s = 3", "session.idle_timeout_s"),
        ("[agent.tts]\nvoise = 'x'", "agent.tts.voice"),
        ("levle = 'x'\n", ""),
    ],
)
def test_an_unknown_key_names_the_nearest(
    write: Callable[[str], Path], text: str, nearest: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file=write(text), environment={})
    assert caught.value.hint == (
        f"did you mean {nearest}?" if nearest else "`harken config show` lists all"
    )
    assert "harken.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("HARKEN_SERVER__HTTP_PRT", "HARKEN_SERVER__HTTP_PORT"),
        ("HARKEN_SERVER_HTTP_PORT", "HARKEN_SERVER__HTTP_PORT"),
        ("HARKEN_AGENT__LLM_MODEL", "HARKEN_AGENT__LLM__MODEL"),
    ],
)
def test_an_unknown_variable_names_the_nearest(variable: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environment={variable: "1", "HARKEN_CONFIG": ""})
    assert caught.value.hint == f"did you mean {nearest}?"


@pytest.mark.parametrize(
    ("text", "what", "allowed"),
    [
        ("[server]\nhttp_port = 70000", "server.http_port = 70000", "from 0 to 65535"),
        ("[server]\nhttp_port = '80'", "server.http_port = '80'", "a whole number"),
        ("[server]\nhttp_port = true", "server.http_port = True", "a whole number"),
        ("[agent.stt]\nengine = 'wisper'", "agent.stt.engine = 'wisper'", "openai, whisper"),
        ("[session]\nidle_timeout_s = nan", "session.idle_timeout_s = nan", "above 0 to 3600"),
        ("[server]\ntokens = 'abcdefghijklmnop'", f"server.tokens = {MASK}", "a list"),
    ],
)
def test_a_wrong_value_names_key_value_origin_and_what_is_allowed(
    write: Callable[[str], Path], text: str, what: str, allowed: str
) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(file=path, environment={})
    message = str(caught.value)
    assert what in message
    assert f"(file {path})" in message
    assert allowed in message


@pytest.mark.parametrize(
    "text", ["a = ", "\x00", "[server]\n[server]", "server = 3", f"x = {'[' * 5000}"]
)
def test_a_broken_file_is_a_config_error(write: Callable[[str], Path], text: str) -> None:
    with pytest.raises(ConfigError, match=r"harken\.toml"):
        load(file=write(text), environment={})


def test_a_file_that_is_not_there_or_too_large_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(file=tmp_path / "none.toml", environment={})
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="larger"):
        load(file=large, environment={})


def test_secrets_are_masked_when_shown() -> None:
    loaded = load(
        environment={
            "HARKEN_AGENT__LLM__API_KEY": "sk-very-secret",
            "HARKEN_CONFIG": "",
            "XDG_CONFIG_HOME": "/nonexistent",
        }
    )
    known = keys()
    assert loaded.value("agent.llm.api_key") == "sk-very-secret"
    assert loaded.shown(known["agent.llm.api_key"]) == MASK
    assert loaded.shown(known["agent.stt.api_key"]) == ""
    assert {name for name, key in known.items() if key.secret} == {
        "server.tokens",
        "agent.stt.api_key",
        "agent.llm.api_key",
        "agent.tts.api_key",
    }


def test_every_key_says_what_it_is_for() -> None:
    assert [key.name for key in keys().values() if not key.meaning] == []


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_what_counts_as_loopback(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_beyond_loopback_wants_tokens_and_tls(tmp_path: Path) -> None:
    pem = tmp_path / "x.pem"
    pem.touch()
    open_door = ServerSettings(host="0.0.0.0")
    with pytest.raises(ConfigError, match="needs tokens and TLS") as caught:
        check_server(open_door)
    assert "server.tokens" in str(caught.value)
    with pytest.raises(ConfigError, match=r"tls_certificate, server\.tls_key not set"):
        check_server(ServerSettings(host="0.0.0.0", tokens=("0123456789abcdef",)))
    with pytest.raises(ConfigError, match=r"server\.tokens not set"):
        check_server(ServerSettings(host="0.0.0.0", tls_certificate=str(pem), tls_key=str(pem)))
    check_server(
        ServerSettings(
            host="0.0.0.0",
            tokens=("0123456789abcdef",),
            tls_certificate=str(pem),
            tls_key=str(pem),
        )
    )
    check_server(ServerSettings())


def test_tls_needs_both_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="together"):
        check_server(ServerSettings(tls_certificate="x"))
    with pytest.raises(ConfigError, match="no such file"):
        check_server(ServerSettings(tls_certificate=str(tmp_path / "a"), tls_key="b"))


def test_the_reference_lists_every_key_with_its_default() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
    rows = {
        cells[1].strip().strip("`"): cells[2].strip()
        for cells in (line.split("|") for line in page.read_text().splitlines())
        if len(cells) > 4 and cells[1].strip().startswith("`")
    }
    from harken.cli.config import as_text

    assert rows == {name: f"`{as_text(key.default)}`" for name, key in keys().items()}
