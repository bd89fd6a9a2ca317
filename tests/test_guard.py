"""The network guard, in processes of its own: once installed it stays."""

from __future__ import annotations

import os
import socket
import textwrap
from collections.abc import Callable

import pytest

from helpers.each import each
from helpers.running import run_python
from helpers.warm import Warm
from rung.errors import Offline
from rung.guard import Guard, offline
from rung.hosts import zone_of
from rung.types import Zone


@pytest.fixture
def guarded(warm: Warm | None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs code in a process that installs the guard; what that prints."""
    for name in [name for name in os.environ if name.endswith("_OFFLINE")]:
        monkeypatch.delenv(name)

    def run(code: str, **env: str) -> str:
        quiet = "import warnings; warnings.simplefilter('ignore', ResourceWarning)\n"
        ended, out, err = run_python(warm, quiet + textwrap.dedent(code), **env)
        assert (ended, err) == (0, "")
        return out.strip()

    return run


PRELUDE = """
import asyncio, socket
from rung.errors import Offline
from rung.guard import install
from rung.types import Zone

def verdict(call):
    try:
        call()
    except Offline as error:
        return "refused"
    except OSError:
        return "tried"
    return "done"
"""


@each(
    ("address", "zone"),
    [
        ("127.0.0.1", Zone.HOST),
        ("127.8.9.10", Zone.HOST),
        ("::1", Zone.HOST),
        ("::ffff:127.0.0.1", Zone.HOST),
        ("0.0.0.0", Zone.HOST),
        ("::", Zone.HOST),
        ("localhost", Zone.HOST),
        ("LocalHost", Zone.HOST),
        ("localhost.", None),
        ("127.0.0.1.", None),
        ("127.1", None),
        ("2130706433", None),
        ("0177.0.0.1", None),
        ("localhost%2e", None),
        ("::1%lo", None),
        ("10.0.0.7", Zone.LAN),
        ("172.16.0.1", Zone.LAN),
        ("172.32.0.1", Zone.INTERNET),
        ("192.168.1.1", Zone.LAN),
        ("::ffff:192.168.1.1", Zone.LAN),
        ("169.254.169.254", Zone.LAN),
        ("fe80::1%eth0", Zone.LAN),
        ("fd12::1", Zone.LAN),
        ("100.64.0.1", Zone.INTERNET),
        ("8.8.8.8", Zone.INTERNET),
        ("::ffff:8.8.8.8", Zone.INTERNET),
        ("64:ff9b::7f00:1", Zone.INTERNET),
        ("2606:4700::1111", Zone.INTERNET),
        ("255.255.255.255", Zone.INTERNET),
        ("example.org", None),
        ("localhost.example.org", None),
        ("127.0.0.1.example.org", None),
        ("0x7f.1", None),
        ("", None),
    ],
)
def test_an_address_has_a_zone_and_a_name_has_none(address, zone):
    assert zone_of(address) is zone


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", False), ("0", False), ("False", False), ("no", False), ("1", True), ("yes please", True)],
)
@pytest.mark.parametrize("switch", ["RUNG_OFFLINE", "HF_HUB_OFFLINE"])
def test_either_switch_says_offline_and_a_strange_value_counts_as_on(monkeypatch, switch, value, expected):
    monkeypatch.delenv("RUNG_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv(switch, value)
    assert offline() is expected


@each(
    ("reach", "hosts", "name", "allowed"),
    [
        (Zone.HOST, None, "example.org", False),
        (Zone.HOST, {"example.org"}, "example.org", False),
        (Zone.HOST, None, "localhost.", False),
        (Zone.HOST, None, "127.1", False),
        (Zone.LAN, None, "nas.local", False),
        (Zone.LAN, {"nas.local"}, "NAS.local.", True),
        (Zone.LAN, {"nas.local"}, "other.local", False),
        (Zone.LAN, None, "192.168.1.2", True),
        (Zone.LAN, None, "8.8.8.8", False),
        (Zone.INTERNET, None, "example.org", True),
        (Zone.INTERNET, {"api.example.org"}, "example.org", False),
        (Zone.INTERNET, {"api.example.org"}, "api.example.org", True),
    ],
)
@each("kind", [str, str.encode])
def test_a_name_is_looked_up_only_where_the_reach_and_the_hosts_allow(reach, hosts, name, allowed, kind):
    guard = Guard(reach, None if hosts is None else frozenset(hosts))
    if allowed:
        guard("socket.getaddrinfo", (kind(name), 443, 0, 0, 0))
    else:
        with pytest.raises(Offline, match="lies beyond the reach"):
            guard("socket.getaddrinfo", (kind(name), 443, 0, 0, 0))


def test_every_way_out_is_refused_at_reach_host(guarded):
    """connect, connect_ex, sendto, sendmsg, and each look-up, a connect by name among them."""
    assert guarded(
        PRELUDE
        + """
install(Zone.HOST)
tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
far = ("192.0.2.1", 9)
print(*map(verdict, [
    lambda: tcp.connect(far),
    lambda: tcp.connect_ex(far),
    lambda: tcp.connect(("example.org", 9)),
    lambda: udp.sendto(b"x", far),
    lambda: udp.sendto(b"x", ("example.org", 9)),
    lambda: udp.sendmsg([b"x"], [], 0, ("example.org", 9)),
    lambda: udp.sendto(b"x", 0, far),
    lambda: udp.sendmsg([b"x"], [], 0, far),
    lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 9)),
    lambda: socket.create_connection(("192.168.1.1", 9)),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: socket.gethostbyname("example.org"),
    lambda: socket.gethostbyname_ex("example.org"),
    lambda: socket.gethostbyaddr("192.0.2.1"),
    lambda: socket.getnameinfo(far, 0),
]))
"""
    ) == " ".join(["refused"] * 15)


@pytest.mark.slow
def test_loopback_and_unix_sockets_stay_open_at_reach_host(guarded, tmp_path):
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        port = server.getsockname()[1]
        assert (
            guarded(
                PRELUDE
                + f"""
install(Zone.HOST)
def asynchronous():
    async def go():
        _, writer = await asyncio.open_connection("127.0.0.1", {port})
        writer.close()
        await writer.wait_closed()
    asyncio.run(go())
def unix():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect({str(path)!r})
print(*map(verdict, [
    lambda: socket.create_connection(("localhost", {port})).close(),
    asynchronous,
    unix,
    lambda: socket.getaddrinfo(None, 80),
    lambda: socket.create_server(("", 0)).close(),
]))
"""
            )
            == "done done done done done"
        )


@pytest.mark.slow
def test_asyncio_is_refused_as_well(guarded):
    assert (
        guarded(
            PRELUDE
            + """
install(Zone.HOST)
print(verdict(lambda: asyncio.run(asyncio.wait_for(asyncio.open_connection("192.0.2.1", 9), 20))),
      verdict(lambda: asyncio.run(asyncio.wait_for(asyncio.open_connection("example.org", 9), 20))))
"""
        )
        == "refused refused"
    )


@pytest.mark.slow
def test_a_second_install_only_tightens(guarded):
    code = PRELUDE + "install(Zone.{})\ninstall(Zone.{})\nprint(verdict(lambda: socket.getaddrinfo('example.org', 1)))"
    assert guarded(code.format("HOST", "INTERNET")) == "refused"
    assert guarded(code.format("INTERNET", "HOST")) == "refused"


@pytest.mark.slow
def test_the_environment_tightens_what_the_code_allowed(guarded):
    code = PRELUDE + "install(Zone.INTERNET)\nprint(verdict(lambda: socket.getaddrinfo('example.org', 1)))"
    assert guarded(code, RUNG_OFFLINE="1") == "refused"


@pytest.mark.slow
def test_the_refusal_names_the_line_that_asked(guarded, tmp_path):
    """Also through the standard library's own HTTP client."""
    (tmp_path / "app.py").write_text(
        textwrap.dedent("""\
            import urllib.request

            def leak():
                urllib.request.urlopen("http://192.0.2.1/")
            """)
    )
    said = guarded(
        f"""
        import sys, urllib.error
        from rung.guard import install
        from rung.types import Zone
        install(Zone.HOST)
        sys.path.insert(0, {str(tmp_path)!r})
        import app
        try:
            app.leak()
        except urllib.error.URLError as error:
            print(error.reason)
        """
    )
    assert f"192.0.2.1 lies beyond the reach 'host', and {tmp_path / 'app.py'}:4 asked for it" in said


def test_a_wrong_call_keeps_its_own_error(guarded):
    assert (
        guarded(
            PRELUDE
            + """
install(Zone.HOST)
for args in [(), ("example.org",), ((),), ((1, 2),)]:
    try:
        socket.socket().connect(*args)
    except TypeError:
        print("TypeError", end=" ")
"""
        )
        == "TypeError TypeError TypeError TypeError"
    )


def test_the_guard_is_light():
    """Importing it brings in none of the heavy rooms, and asyncio least of all."""
    heavy = "{'asyncio', 'subprocess', 'huggingface_hub', 'llama_cpp', 'openai'}"
    code = f"import sys, rung.guard; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(None, code) == (0, "[]\n", "")
