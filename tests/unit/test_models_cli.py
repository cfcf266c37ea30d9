"""`harken models`, on a store of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from harken.cli import exit_status
from harken.errors import ModelError, ModelHashError, ModelMissingError
from harken_models.cli import models
from harken_models.manifest import load_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARKEN_MODELS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def test_list_shows_every_model_with_licence_size_and_state(root: Path) -> None:
    done = CliRunner().invoke(models, ["list", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["store"] == str(root)
    manifest = load_manifest()
    assert [row["name"] for row in told["models"]] == list(manifest.models)
    for row in told["models"]:
        assert row["state"] == "missing"
        assert row["licence"]
        assert row["size"] == manifest.models[row["name"]].size
        assert row["sha256"].keys() == {file.name for file in manifest.models[row["name"]].files}
        assert all(len(digest) == 64 for digest in row["sha256"].values())


def test_the_table_shows_name_source_licence_and_state(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(models, ["list"])
    manifest = load_manifest()
    lines = done.stdout.splitlines()
    for model in manifest.models.values():
        (line,) = [line for line in lines if f" {model.name} " in line]
        assert manifest.archive_of(model).source in line
        assert model.licence in line
        assert f"{model.size / 1e6:.1f}" in line
        assert "missing" in line


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_verify_fails_where_models_are_missing(root: Path, as_json: list[str]) -> None:
    done = CliRunner().invoke(models, ["verify", *as_json])
    assert isinstance(done.exception, ModelMissingError)
    assert exit_status(done.exception) == 5
    assert all(name in str(done.exception) for name in load_manifest().models)
    assert "missing" in done.stdout


def test_verify_fails_for_a_model_that_was_named_and_is_not_there(root: Path) -> None:
    done = CliRunner().invoke(models, ["verify", "silero-vad"])
    assert isinstance(done.exception, ModelMissingError)
    assert "harken models pull silero-vad" in str(done.exception)
    done = CliRunner().invoke(models, ["verify", "silero-vad", "--json"])
    assert isinstance(done.exception, ModelMissingError)
    assert json.loads(done.stdout)["models"] == {"silero-vad": "missing"}


def test_verify_finds_a_damaged_file(root: Path) -> None:
    model = load_manifest().models["silero-vad"]
    folder = root / model.name / model.digest
    folder.mkdir(parents=True)
    (folder / model.weights).write_bytes(b"not a model")
    done = CliRunner().invoke(models, ["verify"])
    assert isinstance(done.exception, ModelHashError)
    assert "silero-vad: damaged" in done.stdout


def test_pull_that_finds_nothing_says_where_to_look(root: Path) -> None:
    done = CliRunner().invoke(models, ["pull", "silero-vad", "--json"])
    assert isinstance(done.exception, ModelError)
    assert "not found in the package index" in str(done.exception)
    assert "pip config list" in done.exception.hint
    assert done.stdout == ""


def test_pull_of_an_unknown_model_names_the_nearest(root: Path) -> None:
    done = CliRunner().invoke(models, ["pull", "silero"])
    assert isinstance(done.exception, ModelError)
    assert "did you mean silero-vad" in str(done.exception)
