"""One spelling for each host: what is equal names the same host, and what isn't proven to be this machine isn't it."""

from __future__ import annotations

import pytest

from helpers.each import each
from rung.hosts import addresses, canonical, covers, pattern, zone_of
from rung.types import Zone


@each(
    ("written", "name"),
    [
        ("API.Example.COM", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("localhost", "localhost"),
        ("LOCALHOST", "localhost"),
        ("localhost.", "localhost."),
        ("127.0.0.1.", "127.0.0.1."),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("[FD00:0::1]", "fd00::1"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("gpu_box", "gpu_box"),
    ],
)
def test_a_host_has_one_spelling(written, name):
    assert canonical(written) == name
    assert canonical(name) == name


@each(
    "written",
    [
        "",
        ".",
        "localhost..",
        "a..b",
        "-a",
        "local host",
        "localhost\n",
        "\tlocalhost",
        "localhost\x00",
        "localhost%2e",
        "127.0.0.1%20",
        "user@localhost",
        "localhost:80",
        "a/b",
        "a\\b",
        "[localhost]",
        "[127.0.0.1]",
        "[::1",
        "::1%lo",
        "::ffff:127.0.0.1%lo",
        "fe80::1%et h0",
        "*",
        "straße.example",
        "127。0。0。1",
        "\u200blocalhost",
        "a" * 300,
    ],
)
def test_what_can_be_read_in_two_ways_is_not_a_host(written):
    assert canonical(written) is None
    assert zone_of(written) is None
    assert addresses(written) == ()


@each(
    "written",
    [
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.01",
        "localhost.",
        "127.0.0.1.",
        "ip6-localhost",
    ],
)
def test_what_only_a_resolver_could_take_for_this_machine_is_a_foreign_name(written):
    assert zone_of(written) is None
    assert addresses(str(canonical(written))) == ()


@pytest.mark.parametrize("written", ["ｌocalhost", "１２７.0.0.1", "ⓛocalhost"])
def test_letters_that_only_look_alike_are_not_this_machine(written):
    assert zone_of(written) is None


@each(
    ("host", "found"),
    [
        ("localhost", ("127.0.0.1", "::1")),
        ("0.0.0.0", ("127.0.0.1",)),
        ("::", ("::1",)),
        ("127.8.9.1", ("127.8.9.1",)),
        ("10.0.0.7", ("10.0.0.7",)),
        ("example.com", ()),
    ],
)
def test_nobody_is_asked_for_the_address_of_this_machine(host, found):
    assert addresses(host) == found
    assert all(zone_of(address) == zone_of(host) for address in found)


@each(
    ("allowed", "host", "covered"),
    [
        ("api.example.com", "api.example.com", True),
        ("API.example.com.", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("*.Example.com.", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "api.example.com.evil.org", False),
        ("*.example.com", "evilexample.com", False),
        ("[FD00:0::1]", "fd00::1", True),
        ("::ffff:10.0.0.7", "10.0.0.7", True),
        ("10.0.0.7", "10.0.0.70", False),
        ("bücher.example", "xn--bcher-kva.example", True),
    ],
)
def test_a_pattern_covers_a_host_however_either_is_written(allowed, host, covered):
    assert covers({str(pattern(allowed))}, host) is covered


@each("text", ["*", "*.", "*.*.com", "a.*.com", "*.10.0.0.1", "api.example.com:443", "https://a.com"])
def test_what_is_neither_a_host_nor_a_domain_is_not_a_pattern(text):
    assert pattern(text) is None


def test_every_zone_is_that_of_the_canonical_spelling():
    for written in ("[::1]", "LOCALHOST", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1", "0.0.0.0"):
        assert zone_of(written) == zone_of(str(canonical(written))) == Zone.HOST
