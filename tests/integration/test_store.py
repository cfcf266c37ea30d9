"""The model store against a real package index on loopback, well behaved and not."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import re
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest

from harken.errors import ModelError, ModelHashError, ModelMissingError
from harken_models.download import download
from harken_models.index import PackageIndex, PipSettings, pip_settings
from harken_models.lock import exclusive
from harken_models.manifest import load_manifest, parse_manifest
from harken_models.store import Store, default_root

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from harken_models.manifest import Manifest

pytestmark = pytest.mark.integration

WHEEL = "toy_models-1.0-py3-none-any.whl"


def wheel(weights: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("toy/big.bin", weights)
        archive.writestr("toy/small.json", b'{"a": 1}')
        archive.writestr("toy/other.bin", b"other" * 100)
    return packed.getvalue()


WEIGHTS = bytes(range(256)) * 4096
PACKED = wheel(WEIGHTS)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest(archive: bytes = PACKED, weights: bytes = WEIGHTS, where: str = "") -> Manifest:
    source = f'url = "{where}"' if where else 'package = "Toy_Models"\nversion = "1.0"'
    return parse_manifest(f"""
[archives.toy]
{source}
file = "{WHEEL}"
size = {len(archive)}
sha256 = "{sha(archive)}"
[models.toy]
task = "t"
about = "a"
licence = "MIT"
archive = "toy"
weights = "big.bin"
files = [
  {{ path = "toy/big.bin", size = {len(weights)}, sha256 = "{sha(weights)}" }},
  {{ path = "toy/small.json", size = 8, sha256 = "{sha(b'{"a": 1}')}" }},
]
[models.other]
task = "t"
about = "a"
licence = "MIT"
archive = "toy"
weights = "other.bin"
files = [{{ path = "toy/other.bin", size = 500, sha256 = "{sha(b"other" * 100)}" }}]
""")


@dataclass
class Index:
    """What the server does, and what it was asked.

    Attributes:
        body: of the wheel.
        cut_after: bytes after which a transfer breaks off, one number a request, then none.
        ranges: whether it knows Range requests.
        status: of the file, where it is no success.
        as_json: the kind of its pages.
    """

    body: bytes = PACKED
    cut_after: list[int] = field(default_factory=list[int])
    ranges: bool = True
    status: int = 200
    wrong_range: bool = False
    as_json: bool = True
    asked: list[str] = field(default_factory=list[str])
    url: str = ""

    def settings(self, *, timeout_s: float = 5.0) -> PipSettings:
        return PipSettings((f"{self.url}/simple",), timeout_s=timeout_s)


class Handler(http.server.BaseHTTPRequestHandler):
    index: Index

    def do_GET(self) -> None:
        if self.path == "/simple/toy-models/":
            self.page()
        elif self.path == f"/files/{WHEEL}":
            self.file()
        else:
            self.send_error(404)

    def page(self) -> None:
        link = f"../../files/{WHEEL}#sha256=0"
        if self.index.as_json:
            kind = "application/vnd.pypi.simple.v1+json"
            text = json.dumps({"files": [{"url": "x-9.whl"}, {"url": link}]})
        else:
            kind = "text/html; charset=utf-8"
            text = f"<!DOCTYPE html><a href='x-9.whl'>x</a><a href='{link}'>toy</a>"
        self.reply(200, kind, text.encode())

    def file(self) -> None:
        index = self.index
        asked = self.headers.get("Range", "")
        index.asked.append(asked)
        if index.status != 200:
            self.send_error(index.status)
            return
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", asked)
        if match and index.ranges:
            start = int(match[1])
        body = index.body[start:]
        self.send_response(206 if start else 200)
        if start:
            told = start + 1 if index.wrong_range else start
            last, size = len(index.body) - 1, len(index.body)
            self.send_header("Content-Range", f"bytes {told}-{last}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = index.cut_after.pop(0) if index.cut_after else len(body)
        self.wfile.write(body[:cut])
        if cut < len(body):
            self.close_connection = True

    def reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving(index: Index) -> Generator[Index]:
    handler = type("BoundHandler", (Handler,), {"index": index})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        index.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def index() -> Generator[Index]:
    with serving(Index()) as running:
        yield running


def pull(store: Store, index: Index, *names: str) -> list[str]:
    return store.pull(names or ("toy",), lambda *_: None, index.settings())


def leftovers(root: Path) -> list[str]:
    """Everything in the store that is no installed file and no lock."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if (path.is_file() and path.suffix in {".part", ""}) or path.name == ".new"
    )


@pytest.mark.parametrize("as_json", [True, False])
def test_a_pulled_model_is_there_whole(tmp_path: Path, index: Index, as_json: bool) -> None:
    index.as_json = as_json
    store = Store(tmp_path, manifest())
    seen: list[int] = []
    pulled = store.pull(["toy"], lambda _a, done, _s: seen.append(done), index.settings())
    assert pulled == ["toy"]
    assert store.weights("toy").read_bytes() == WEIGHTS
    assert (store.locate("toy") / "small.json").read_bytes() == b'{"a": 1}'
    assert store.verify("toy") == "present"
    assert seen[-1] == len(PACKED)
    assert seen == sorted(seen)
    assert leftovers(tmp_path) == []


def test_pulling_again_asks_nobody(tmp_path: Path, index: Index) -> None:
    store = Store(tmp_path, manifest())
    pull(store, index)
    index.asked.clear()
    assert pull(store, index) == []
    assert index.asked == []


def test_models_of_one_archive_cost_one_download(tmp_path: Path, index: Index) -> None:
    store = Store(tmp_path, manifest())
    assert pull(store, index, "toy", "other", "toy") == ["toy", "other"]
    assert len(index.asked) == 1


def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="harken models pull toy"):
        Store(tmp_path, manifest()).locate("toy")


def test_an_unknown_model_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean toy"):
        Store(tmp_path, manifest()).locate("tpy")


def test_a_broken_transfer_goes_on_where_it_stopped(tmp_path: Path, index: Index) -> None:
    index.cut_after = [100_000, 50_000]
    store = Store(tmp_path, manifest())
    pull(store, index)
    assert store.verify("toy") == "present"
    assert index.asked == ["", "bytes=100000-", "bytes=150000-"]


def test_a_later_pull_continues_an_earlier_one(tmp_path: Path, index: Index) -> None:
    part = tmp_path / "parts" / f"{WHEEL}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(PACKED[:300_000])
    store = Store(tmp_path, manifest())
    pull(store, index)
    assert index.asked == ["bytes=300000-"]
    assert store.verify("toy") == "present"


def test_a_server_without_ranges_starts_anew(tmp_path: Path, index: Index) -> None:
    index.ranges = False
    index.cut_after = [100_000]
    store = Store(tmp_path, manifest())
    pull(store, index)
    assert store.verify("toy") == "present"
    assert index.asked == ["", "bytes=100000-"]


def test_an_earlier_part_that_was_wrong_is_fetched_anew(tmp_path: Path, index: Index) -> None:
    part = tmp_path / "parts" / f"{WHEEL}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * 300_000)
    store = Store(tmp_path, manifest())
    pull(store, index)
    assert index.asked == ["bytes=300000-", ""]
    assert store.verify("toy") == "present"


@pytest.mark.parametrize("body", [PACKED[:-1] + b"x", PACKED + b"more", b"x" * len(PACKED)])
def test_wrong_bytes_are_refused_and_removed(tmp_path: Path, index: Index, body: bytes) -> None:
    index.body = body
    store = Store(tmp_path, manifest())
    with pytest.raises(ModelHashError, match="not what the manifest names"):
        pull(store, index)
    assert leftovers(tmp_path) == []
    with pytest.raises(ModelMissingError):
        store.locate("toy")


def test_a_right_archive_with_a_wrong_file_is_refused(tmp_path: Path, index: Index) -> None:
    store = Store(tmp_path, manifest(weights=WEIGHTS[::-1]))
    with pytest.raises(ModelHashError, match=r"big\.bin"):
        pull(store, index)
    with pytest.raises(ModelMissingError):
        store.locate("toy")
    assert not list((tmp_path / "toy").iterdir())


def broken_off(archive_size: int, index: Index, tmp_path: Path) -> None:
    """Download with no waiting between attempts."""
    archive = manifest().archives["toy"]
    settings = index.settings()
    part = tmp_path / "x.part"
    url = next(PackageIndex(settings, settings.web()).urls(archive))
    download(archive, url, part, settings.web(), lambda *_: None, pause=lambda _: None)


def test_a_server_that_always_breaks_off_is_given_up_and_the_part_kept(
    tmp_path: Path, index: Index
) -> None:
    index.cut_after = [1000, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ModelError, match=r"broke off after 1,000 of .* goes on where it stopped"):
        broken_off(len(PACKED), index, tmp_path)
    assert (tmp_path / "x.part").stat().st_size == 1000


def test_another_range_than_asked_is_not_appended(tmp_path: Path, index: Index) -> None:
    index.wrong_range = True
    index.cut_after = [1000]
    with pytest.raises(ModelError, match="another range"):
        broken_off(len(PACKED), index, tmp_path)
    assert (tmp_path / "x.part").read_bytes() == PACKED[:1000]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_told_at_once(tmp_path: Path, index: Index, status: int) -> None:
    index.status = status
    with pytest.raises(ModelError, match=f"HTTP {status}"):
        broken_off(len(PACKED), index, tmp_path)
    assert len(index.asked) == 1


def test_a_busy_server_is_asked_again(tmp_path: Path, index: Index) -> None:
    index.status = 503
    with pytest.raises(ModelError, match="HTTP 503"):
        broken_off(len(PACKED), index, tmp_path)
    assert len(index.asked) == 4


def test_nobody_listens_there(tmp_path: Path) -> None:
    with serving(Index()) as gone:
        settings = gone.settings()
    with pytest.raises(ModelError, match=r"not found in the package index .*pip config list"):
        Store(tmp_path, manifest()).pull(["toy"], lambda *_: None, settings)


def test_an_index_without_the_package(tmp_path: Path, index: Index) -> None:
    settings = PipSettings((f"{index.url}/elsewhere",))
    with pytest.raises(ModelError, match="404"):
        Store(tmp_path, manifest()).pull(["toy"], lambda *_: None, settings)


def test_a_folder_of_wheels_serves(tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / WHEEL).write_bytes(PACKED)
    store = Store(tmp_path / "store", manifest())
    settings = PipSettings((), find_links=(str(links),))
    assert store.pull(["toy"], lambda *_: None, settings) == ["toy"]
    assert store.verify("toy") == "present"


def test_a_local_index_serves_before_a_remote_one(tmp_path: Path, index: Index) -> None:
    page = tmp_path / "simple" / "toy-models"
    page.mkdir(parents=True)
    (page / "index.html").write_text(f"<a href='../../{WHEEL}#sha256=1'>toy</a>")
    (tmp_path / WHEEL).write_bytes(PACKED)
    settings = PipSettings((f"{index.url}/simple", (tmp_path / "simple").as_uri()))
    store = Store(tmp_path / "store", manifest())
    store.pull(["toy"], lambda *_: None, settings)
    assert index.asked == []


def test_a_url_serves_without_an_index(tmp_path: Path, index: Index) -> None:
    store = Store(tmp_path, manifest(where=f"{index.url}/files/{WHEEL}"))
    assert store.pull(["toy"], lambda *_: None, PipSettings(())) == ["toy"]


def test_a_url_of_another_scheme_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, manifest(where=f"ftp://127.0.0.1/{WHEEL}"))
    with pytest.raises(ModelError, match="'ftp' URL"):
        store.pull(["toy"], lambda *_: None, PipSettings(()))


def test_a_changed_file_is_noticed_and_restored(tmp_path: Path, index: Index) -> None:
    store = Store(tmp_path, manifest())
    pull(store, index)
    weights = store.weights("toy")
    weights.write_bytes(WEIGHTS[:-1] + b"!")
    os.utime(weights, ns=(1, 1))
    with pytest.raises(ModelHashError, match="harken models pull toy"):
        store.locate("toy")
    assert store.verify("toy") == "damaged"
    assert pull(store, index) == ["toy"]
    assert store.weights("toy").read_bytes() == WEIGHTS


def test_a_touched_file_is_rehashed_not_fetched(tmp_path: Path, index: Index) -> None:
    store = Store(tmp_path, manifest())
    pull(store, index)
    os.utime(store.weights("toy"), ns=(1, 1))
    index.asked.clear()
    assert pull(store, index) == []
    assert index.asked == []
    assert store.weights("toy").is_file()


def test_verify_sees_what_the_stamp_does_not(tmp_path: Path, index: Index) -> None:
    store = Store(tmp_path, manifest())
    pull(store, index)
    weights = store.weights("toy")
    status = weights.stat()
    weights.write_bytes(WEIGHTS[::-1])
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.locate("toy").is_dir()
    assert store.verify("toy") == "damaged"


def test_a_new_manifest_replaces_the_old_version(tmp_path: Path, index: Index) -> None:
    pull(Store(tmp_path, manifest()), index)
    weights = b"new" * 1000
    index.body = wheel(weights)
    store = Store(tmp_path, manifest(index.body, weights))
    with pytest.raises(ModelMissingError):
        store.locate("toy")
    pull(store, index)
    assert store.weights("toy").read_bytes() == weights
    assert len(list((tmp_path / "toy").iterdir())) == 1


def test_what_a_killed_pull_left_does_no_harm(tmp_path: Path, index: Index) -> None:
    half = tmp_path / "toy" / ".new"
    half.mkdir(parents=True)
    (half / "big.bin").write_bytes(b"half")
    store = Store(tmp_path, manifest())
    with pytest.raises(ModelMissingError):
        store.locate("toy")
    pull(store, index)
    assert store.weights("toy").read_bytes() == WEIGHTS


def test_two_pulls_at_once_download_once(tmp_path: Path, index: Index) -> None:
    results: list[list[str]] = []
    stores = [Store(tmp_path, manifest()) for _ in range(4)]
    threads = [threading.Thread(target=lambda s=s: results.append(pull(s, index))) for s in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [[], [], [], ["toy"]]
    assert len(index.asked) == 1


def test_a_lock_that_is_not_let_go_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with exclusive(path), pytest.raises(ModelError, match="has been pulling"), exclusive(path, 0.2):
        pass


def test_a_store_that_cannot_be_written(tmp_path: Path, index: Index) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot be written.*HARKEN_MODELS"):
        pull(Store(tmp_path / "file" / "store", manifest()), index)


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARKEN_MODELS", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_root() == tmp_path / "chosen"
    monkeypatch.delenv("HARKEN_MODELS")
    assert default_root() == tmp_path / "cache" / "harken" / "models"


def test_pip_says_where_packages_come_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = http://127.0.0.1:9/a\ntimeout = 7\n"
        "[download]\nextra-index-url = http://127.0.0.1:9/b\n http://127.0.0.1:9/c\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    settings = pip_settings()
    assert settings.indexes[0] == "http://127.0.0.1:9/a"
    assert set(settings.indexes[1:]) >= {"http://127.0.0.1:9/b", "http://127.0.0.1:9/c"}
    assert settings.find_links == (str(tmp_path),)
    assert settings.timeout_s == 7
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert pip_settings().indexes == ()


def test_the_committed_manifest_is_sound() -> None:
    found = load_manifest()
    assert {"whisper-tiny", "smollm2-135m", "piper-joe", "silero-vad", "okay-nabu"} <= set(
        found.models
    )
    for model in found.models.values():
        assert model.licence
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in model.files)
        assert "http" not in msgspec.json.encode(found.archive_of(model)).decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('archive = "toy"', 'archive = "gone"'), "no archive 'gone'"),
        (('weights = "big.bin"', 'weights = "no.bin"'), "not among its files"),
        (("toy/small.json", "other/big.bin"), "two files of one name"),
        (("size = 8", 'size = "8"'), "cannot be read"),
        (("size = 8", "size = 8, extra = 1"), "cannot be read"),
    ],
)
def test_an_unsound_manifest_is_refused(change: tuple[str, str], said: str) -> None:
    text = """
[archives.toy]
file = "toy.whl"
size = 1
sha256 = "0"
[models.toy]
task = "t"
about = "a"
licence = "MIT"
archive = "toy"
weights = "big.bin"
files = [{ path = "toy/big.bin", size = 1, sha256 = "0" }, { path = "toy/small.json", size = 8, sha256 = "0" }]
"""  # noqa: E501
    assert parse_manifest(text).models["toy"].name == "toy"
    with pytest.raises(ModelError, match=said):
        parse_manifest(text.replace(*change))
