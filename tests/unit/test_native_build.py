"""What the native build promises without a compiler: its record, its sources, its refusals."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "firmware" / "harken_device" / "native"
# Byte 2 of a native `.mpy`: the architecture above two bits of version.
PROCESSORS = {"x64": 2, "armv6m": 4, "armv7emsp": 7}


@pytest.fixture
def native_build(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "firmware" / "native"))
    for name in ("sources", "toolchain", "record", "modules", "run"):
        importlib.import_module(f"native_build.{name}")
    return importlib.import_module("native_build")


def record() -> dict[str, dict[str, Any]]:
    text = (NATIVE / "BUILD.json").read_text("utf-8")
    loaded: dict[str, dict[str, Any]] = json.loads(text)
    return loaded


def test_every_committed_file_is_the_recorded_one() -> None:
    for name, entry in record()["files"].items():
        data = (ROOT / name).read_bytes()
        assert len(data) == entry["bytes"], name
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], name


def test_every_module_is_there_for_every_processor() -> None:
    expected = {f"{processor}/{module}.mpy" for processor in PROCESSORS
                for module in ("harken_core", "harken_opus")}  # fmt: skip
    assert {path.relative_to(NATIVE).as_posix() for path in NATIVE.rglob("*.mpy")} == expected
    recorded = {name for name in record()["files"] if name.endswith(".mpy")}
    assert recorded == {f"firmware/harken_device/native/{name}" for name in expected}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_module_lies_where_its_processor_belongs(processor: str) -> None:
    for path in (NATIVE / processor).glob("*.mpy"):
        head = path.read_bytes()[:3]
        assert head[:2] == b"M\x06"
        assert (head[2] >> 2) & 0x2F == PROCESSORS[processor], path


def test_no_path_of_a_build_machine_is_inside() -> None:
    for name in record()["files"]:
        data = (ROOT / name).read_bytes()
        assert b"/home/" not in data
        assert b".cache/native" not in data
        assert f"{ROOT}/".encode() not in data


@pytest.mark.parametrize(
    ("text", "mirror"),
    [
        ("Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\n", "http://m.example/debian"),
        ("deb http://m.example/debian/ bookworm main\n", "http://m.example/debian/"),
        ("deb [arch=amd64 signed-by=/k.gpg] https://m.example/debian sid main\n",
         "https://m.example/debian"),
        ("deb http://m.example/debian-security s main\ndeb http://n.example/debian b main\n",
         "http://n.example/debian"),
        ("deb http://m.example/ubuntu noble main\n", None),
        ("# deb http://m.example/debian bookworm main\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_mirror_comes_from_the_systems_own_list(
    native_build: Any, text: str, mirror: str | None
) -> None:
    assert native_build.sources.find_mirror(text) == mirror


def archive(path: Path, member: str, text: bytes = b"x") -> str:
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_source_is_unpacked_once_it_is_verified(native_build: Any, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    source = replace(native_build.sources.OPUS, archive="a.tar.gz", folder="a")
    digest = archive(tmp_path / "downloads" / "a.tar.gz", "a/COPYING", b"free")
    folder = native_build.sources.obtain(replace(source, sha256=digest), tmp_path)
    assert (folder / "COPYING").read_bytes() == b"free"


def test_a_replaced_source_is_refused_and_removed(native_build: Any, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    damaged = tmp_path / "downloads" / native_build.sources.OPUS.archive
    archive(damaged, "opus-1.3.1/COPYING")
    with pytest.raises(Exception, match="SHA-256") as caught:
        native_build.sources.obtain(native_build.sources.OPUS, tmp_path)
    assert type(caught.value).__name__ == "BuildError"
    assert not damaged.exists()
    assert not (tmp_path / "sources" / "opus-1.3.1").exists()


def test_a_source_that_leaves_its_folder_is_refused(native_build: Any, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    digest = archive(tmp_path / "downloads" / "a.tar.gz", "../../escaped")
    source = replace(native_build.sources.OPUS, archive="a.tar.gz", folder="a", sha256=digest)
    with pytest.raises(Exception, match="outside its folder") as caught:
        native_build.sources.obtain(source, tmp_path)
    assert type(caught.value).__name__ == "BuildError"
    assert not (tmp_path.parent / "escaped").exists()


def test_what_is_missing_is_named_with_its_command(
    native_build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    every = list(native_build.toolchain.ARCHITECTURES.values())
    with pytest.raises(Exception, match=r"apt-get install .*gcc-arm-none-eabi") as caught:
        native_build.toolchain.require(every, install=True)
    assert type(caught.value).__name__ == "BuildError"


def test_a_program_that_hangs_is_ended(native_build: Any) -> None:
    with pytest.raises(Exception, match="did not end within"):
        native_build.run.run(["sleep", "30"], deadline_s=0.1)
