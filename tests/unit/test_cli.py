"""The command line: its table, its errors, its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from harken import __version__
from harken.cli import COMMANDS, EXIT_STATUS, cli, exit_status, main
from harken.cli.config import config
from harken.cli.serve import serve
from harken.errors import AuthError, ConfigError, HarkenError, ModelHashError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable


Run = "Callable[..., tuple[int, str, str]]"


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process; returns exit status, stdout and stderr."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("HARKEN_CONFIG", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        out, err = capsys.readouterr()
        code = caught.value.code
        assert code is None or isinstance(code, int)
        return code or 0, out, err

    return run


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from harken.cli import cli\n"
        "result = CliRunner().invoke(cli, ['--help'])\n"
        "print(result.output)\n"
        "heavy = {'aiohttp', 'numpy', 'msgspec', 'picows', 'prometheus_client', 'asyncio'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))\n"
        "print('COMMANDS', [m for m in sys.modules if m.startswith('harken.cli.')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    for name, (_, what) in COMMANDS.items():
        assert f" {name} " in done.stdout
        assert what in done.stdout
    assert "LOADED []" in done.stdout
    assert "COMMANDS []" in done.stdout


def test_the_version(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("--version") == (0, f"harken, version {__version__}\n", "")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_where_the_table_says(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"harken {name}" in result.output or f"cli {name}" in result.output


def test_an_unknown_command_is_a_wrong_command_line(
    run: Callable[..., tuple[int, str, str]],
) -> None:
    status, _, err = run("sevre")
    assert status == 2
    assert "sevre" in err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("x"), 3),
        (StartError("x"), 4),
        (ModelHashError("x"), 5),
        (AuthError("x"), 7),
        (HarkenError("x"), 1),
    ],
)
def test_the_exit_status_is_that_of_the_family(error: HarkenError, status: int) -> None:
    assert exit_status(error) == status


def test_every_family_of_errors_has_a_status() -> None:
    families = {error.code for error in HarkenError.__subclasses__()}
    assert families | {"harken"} == set(EXIT_STATUS)
    assert len(set(EXIT_STATUS.values())) == len(EXIT_STATUS)
    assert 2 not in EXIT_STATUS.values()


def test_an_error_is_one_line_with_code_and_hint(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARKEN_SERVER__HTTP_PRT", "1")
    assert run("config", "check") == (
        3,
        "",
        (
            "harken: there is no setting 'server.http_prt' (environment HARKEN_SERVER__HTTP_PRT);"
            " did you mean HARKEN_SERVER__HTTP_PORT? [config]\n"
        ),
    )


def test_programs_get_the_error_in_json(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARKEN_LOG__LEVEL", "loud")
    status, out, err = run("config", "show", "--json")
    assert (status, out) == (3, "")
    assert json.loads(err) == {
        "error": {
            "code": "config",
            "message": "log.level = 'loud' (environment HARKEN_LOG__LEVEL) is not allowed",
            "hint": "it is one of debug, error, info, warning",
            "retryable": False,
        }
    }


def test_config_show_says_where_from_and_masks(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARKEN_AGENT__LLM__API_KEY", "sk-hunter2")
    path = tmp_path / "my.toml"
    path.write_text("[server]\nhttp_port = 9\n")
    status, out, _ = run("config", "show", "--origin", "--config", str(path))
    assert status == 0
    lines = {line.split(" = ")[0]: line for line in out.splitlines()}
    assert lines["server.http_port"].endswith(f"# file {path}")
    assert " = 9 " in lines["server.http_port"]
    assert lines["agent.llm.api_key"].endswith("# environment HARKEN_AGENT__LLM__API_KEY")
    assert lines["log.level"].endswith("# default")
    assert "hunter2" not in out
    _, out, _ = run("config", "show", "--origin", "--json", "--config", str(path))
    shown = json.loads(out)
    assert shown["server.http_port"] == {"value": 9, "origin": f"file {path}"}
    assert "hunter2" not in out
    _, out, _ = run("config", "show", "--json")
    assert json.loads(out)["server.http_port"] == 8003
    _, out, _ = run("config", "show")
    assert "server.http_port = 8003\n" in out


def test_config_check(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, _ = run("config", "check")
    assert status == 0
    assert "no file; 0 settings" in out
    _, out, _ = run("config", "check", "--json")
    assert json.loads(out) == {"ok": True, "file": "", "changed": 0}
    monkeypatch.setenv("HARKEN_SERVER__HOST", "0.0.0.0")
    status, _, err = run("config", "check")
    assert status == 3
    assert "tokens and TLS" in err


def test_config_alone_is_usable() -> None:
    assert CliRunner().invoke(config, ["--help"]).exit_code == 0


def test_the_reference_has_every_command_flag_and_status() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
    for name in COMMANDS:
        assert f"| `harken {name}" in page
    for family, status in EXIT_STATUS.items():
        assert f"| {status} | `{family}` |" in page
    for option in serve.params:
        assert f"| `{option.opts[0]}" in page
