"""The rig's gateway takes nothing from its user's configuration but what it is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from harken.config.settings import Settings
from harken.errors import ConfigError
from harken_hil.demo.cli import demo
from harken_hil.demo.settings import RigSettings

if TYPE_CHECKING:
    from pathlib import Path

THEIRS = {
    "PATH": "/bin",
    "HARKEN_MODELS": "/models",
    "HARKEN_CONFIG": "/nonexistent.toml",
    "HARKEN_SERVER__HTTP_PORT": "1",
    "HARKEN_SERVER__TOKENS": "0123456789abcdef",
    "HARKEN_SESSION__MAX_TURN_S": "7",
    "HARKEN_AGENT__LLM__API_KEY": "key",
    "HARKEN_NONSENSE__KEY": "x",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[server]\nhttp_port = 1\ntokens = ["0123456789abcdef"]\npublic_host = "example.org"\n'
        'max_devices = 1\n[session]\nidle_timeout_s = 9\n[models]\ndirectory = "/elsewhere"\n'
        '[log]\nturns = "/nonexistent/turns"\n'
        '[agent.llm]\nengine = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
    )
    return path


def test_without_a_file_everything_is_as_by_default() -> None:
    settings = RigSettings.of(None, THEIRS)
    assert settings.load() == Settings()
    assert settings.environment == {"PATH": "/bin", "HARKEN_MODELS": "/models"}


def test_of_a_file_the_agent_and_the_session_count(file: Path) -> None:
    settings = RigSettings.of(file, {**THEIRS, "HARKEN_NONSENSE__KEY": ""}).load()
    assert settings.agent.llm.engine == "openai"
    assert settings.agent.llm.api_key == "key", "a key does not belong into a file"
    assert (settings.session.idle_timeout_s, settings.session.max_turn_s) == (9, 7)
    default = Settings()
    assert settings.server == default.server
    assert settings.models == default.models
    assert settings.log == default.log


def test_a_wrong_file_is_refused_at_once(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[agent.llm]\nengin = 1\n")
    with pytest.raises(ConfigError, match=r"agent\.llm\.engin"):
        RigSettings.of(wrong, {})
    result = CliRunner().invoke(demo, ["--config", str(tmp_path / "none.toml"), "--json"])
    assert isinstance(result.exception, ConfigError)


def test_the_help_says_what_the_exit_status_means() -> None:
    shown = " ".join(CliRunner().invoke(demo, ["--help"]).output.split())
    assert "misheard" in shown
    assert "--config" in shown
