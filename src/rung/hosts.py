"""Which host a text names, and how far away it is. URLs, policies, the guard and found addresses share this reading."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection

from rung.types import Zone

LOCALHOST = "localhost"
_LOOPBACK = ("127.0.0.1", "::1")
_LAN = tuple(
    ipaddress.ip_network(net)
    for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
)
_LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(\.{_LABEL})*\.?", re.ASCII)
_SCOPE = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)
_ANY = "*."
_PLACE = re.compile(r"(?P<host>\[[^\[\]@]*\]|[^\[\]@:]*)(?::(?P<port>[0-9]{0,5}))?", re.ASCII)


def canonical(host: str) -> str | None:
    """The one spelling of a host, so that two texts name the same host only if they are equal.

    An address gets its shortest form, and an IPv4 address inside an IPv6 one becomes IPv4. A name is in lower case and
    in ASCII (IDNA), without a final dot. `localhost.` and `127.0.0.1.` keep theirs, because with it they are names that
    a resolver is asked for, and not this machine. Short and octal forms of IPv4 (`127.1`, `0x7f.1`, `2130706433`) are
    names like any other, since what they lead to depends on who reads them.

    Args:
        host: a name or an address, without port and user. An IPv6 address may have brackets.

    Returns:
        `None` if it can't be a host, for example because of white space, control characters or percent signs.
    """
    bracketed = host.startswith("[") and host.endswith("]")
    address = _address(host[1:-1] if bracketed else host)
    if bracketed and not isinstance(address, ipaddress.IPv6Address) and ":" not in host:
        return None
    if address is not None:
        return str(address)
    name = host.lower()
    if not name.isascii():
        name = _ascii(name)
    if not _NAME.fullmatch(name):
        return None
    plain = name.removesuffix(".")
    return name if plain == LOCALHOST or _address(plain) is not None else plain


def place(netloc: str) -> tuple[str, int | None] | None:
    """Host and port of a URL. They are read so strictly that no other reader can see another host there.

    Args:
        netloc: text between `//` and the path.

    Returns:
        The host in its canonical form, and the port if there is one; `None` if the text is anything else.
    """
    found = _PLACE.fullmatch(netloc)
    host = canonical(found["host"]) if found else None
    if found is None or host is None:
        return None
    return host, int(found["port"]) if found["port"] else None


def zone_of(host: str) -> Zone | None:
    """How far away a host is.

    The shared range 100.64.0.0/10 counts as the internet, because the machine there belongs to an operator or an
    overlay network.

    Args:
        host: an IPv4 or IPv6 literal, or a name.

    Returns:
        `None` for every name but `localhost`, because only a look-up could tell.
    """
    name = canonical(host)
    if name == LOCALHOST:
        return Zone.HOST
    address = None if name is None else _address(name)
    if address is None:
        return None
    # a connection to the unspecified address reaches this machine
    if address.is_loopback or address.is_unspecified:
        return Zone.HOST
    return Zone.LAN if any(address in net for net in _LAN) else Zone.INTERNET


def addresses(host: str) -> tuple[str, ...]:
    """The addresses to connect to, if that takes no look-up; empty for a name that must be looked up.

    `localhost` is never looked up, because a resolver may give another machine for it.

    Args:
        host: host in its canonical form.
    """
    if host == LOCALHOST:
        return _LOOPBACK
    address = _address(host)
    if address is None:
        return ()
    if address.is_unspecified:
        return (_LOOPBACK[address.version == 6],)
    return (str(address),)


def pattern(text: str) -> str | None:
    """A host, or all hosts below a domain (`*.example.com`), in the form that `covers` compares.

    Args:
        text: text as a person wrote it.

    Returns:
        `None` if it is neither.
    """
    name = canonical(text.removeprefix(_ANY))
    if name is None or not text.startswith(_ANY):
        return name
    return _ANY + name if _address(name) is None else None


def covers(patterns: Collection[str], host: str) -> bool:
    """Whether one of the patterns names a host.

    Args:
        patterns: patterns as `pattern` returns them.
        host: host in its canonical form.
    """
    if host in patterns:
        return True
    if _address(host) is not None:
        return False
    labels = host.split(".")
    return any(_ANY + ".".join(labels[n:]) in patterns for n in range(1, len(labels)))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped if address.scope_id is None else None
        # only for a link-local address does it matter by which interface it is reached
        if address.scope_id is not None and not (address.is_link_local and _SCOPE.fullmatch(address.scope_id)):
            return None
    return address


def _ascii(name: str) -> str:
    """A name as DNS is asked for it; empty if it would become another name than the one that was written."""
    try:
        encoded = name.encode("idna")
        same = encoded.decode("idna") == unicodedata.normalize("NFC", name)
    except UnicodeError:
        return ""
    return encoded.decode("ascii") if same else ""
