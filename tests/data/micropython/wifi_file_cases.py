"""`wifi.json`: what it may hold, and what is said about one that is wrong. Runs in MicroPython."""

from harken_device.errors import ConfigError
from harken_device.hal import wifi_file


def refused(content):
    """What is said about a file with this content."""
    with open("wifi.json", "wb") as file:
        file.write(content)
    try:
        found = wifi_file.read()
    except ConfigError as error:
        return str(error)
    raise AssertionError("%r gave %r" % (content[:40], found))


def case_a_good_file():
    for content, expected in (
        (b'{"ssid": "home", "password": "12345678"}', ("home", "12345678")),
        (b'{"ssid": "open"}', ("open", "")),
        (b'{"ssid": "open", "password": ""}', ("open", "")),
        (b'{"ssid": "%s", "password": "%s"}' % (b"x" * 32, b"f" * 64), ("x" * 32, "f" * 64)),
        (b'{"ssid": "caf\xc3\xa9", "channel": 3}', ("caf\u00e9", "")),
    ):
        with open("wifi.json", "wb") as file:
            file.write(content)
        assert wifi_file.read() == expected, content


def case_a_missing_file_is_asked_for():
    try:
        wifi_file.read()
    except ConfigError as error:
        assert "no wifi.json" in str(error) and "ssid" in str(error)
    else:
        raise AssertionError("read")


def case_what_is_no_object_is_refused():
    for content in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'"home"',
        b"\xff\xfe\x00",
        b'{"ssid":' * 100,
        b'{"a":' * 5000,
        b"{}" + b" " * 2000,
        b"\x00" * 64,
    ):
        assert "no JSON object" in refused(content), content[:20]


def case_a_bad_name_is_named():
    for ssid in (b'""', b"7", b"null", b"[]", b'"%s"' % (b"x" * 33), b'"%s"' % (b"\xc3\xa9" * 17)):
        assert "`ssid`" in refused(b'{"ssid": ' + ssid + b"}"), ssid
    assert "`ssid`" in refused(b'{"SSID": "home"}')


def case_a_bad_password_is_named_and_never_told():
    for password in (
        b'"hunter2"',
        b'"%s"' % (b"hunter2" * 10),
        b"null",
        b"12345678",
        b'["hunter2"]',
    ):
        said = refused(b'{"ssid": "home", "password": ' + password + b"}")
        assert "`password`" in said and "hunter2" not in said and "1234" not in said, said
