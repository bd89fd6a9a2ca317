"""Hiding keys in a configuration's values, before they are shown or repeated in an error: by shape, and by name.

A shape is one that issuers give their keys so that scanners can find them, or a long run of letters and digits that
alternate often. Names of models, checksums in their place, paths, and URLs without credentials stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(hidden)"
"""What is shown instead of a hidden value."""

_ISSUED = (
    r"(?:[sprc]k|csk)[-_](?!(?:api_)?(?:key|token|secret)\b)[\w-]{WORD}"
    r"|(?:gh[oprsu]_|github_pat_|glpat-|hf_|npm_|pypi-|xox[a-z]-|xai-|gsk_|pplx-|nvapi-|r8_|fw_|tgp_|dapi|ya29\.|SG\.)"
    r"(?!(?:api_)?(?:key|token|secret)\b)[\w.-]{LONG}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|AIza[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"
    r"|(?i:bearer|basic)\s+[\w.~+/-]{LONG}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
)
_WHOLE = re.compile(_ISSUED.replace("{WORD}", "+").replace("{LONG}", "{3,}"))
"""A text that is nothing but a key. Here even a short one counts."""
_WITHIN = re.compile(rf"(?<![\w.-])(?:{_ISSUED.replace('{WORD}', '{12,}').replace('{LONG}', '{15,}')})")
"""A key somewhere in a text. It has to be long, so that words with the same beginning stay."""
_BASE64 = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])(?=.*[/+])[A-Za-z0-9/+]{40,}={0,2}")
"""A secret in base 64, like those of AWS."""
_RUN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{20,}(?![A-Za-z0-9])")
_TURNS = re.compile(r"[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])")
_LEAST_TURNS = 4
"""Changes between letters and digits from which a long run counts as random. Of runs of 20 random characters in base
62, all but one in some 400 have that many. Words with a number have one or two."""
_CHECKSUM = re.compile(r"(?:(?<![A-Za-z0-9])sha(?:1|256|512)[:=-]|@)[0-9a-fA-F]{40,128}(?![A-Za-z0-9])")
_PINNED = re.compile(r"sha\d|digest|checksum|revision|commit|fingerprint|etag", re.IGNORECASE)
_SECRET = re.compile(r"key|token$|secret|passw|pwd|credential|authorization|cookie|signature", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/\s?#]*@")
_PARAMETER = re.compile(r"(?<=[?&;#])(?P<name>[^=&;#?\s]*)=(?P<value>[^&;#\s]*)")
_PLAIN = re.compile(r"[\w.:-]{0,12}")
_TOLD = re.compile(
    r"(?:api[-_]?)?(?:key|token|sig|signature|code|auth|secret|pwd|pass(?:word)?|session)", re.IGNORECASE
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def looks_like_key(text: str) -> bool:
    """Whether a text is, or contains, something that looks like a key."""
    return hide(text) != text


def variable(name: object) -> str:
    """The name of an environment variable, to be repeated. It is hidden if it isn't a valid name, since it may be the
    key.

    Args:
        name: text found where a variable's name is expected.
    """
    known = isinstance(name, str) and _VARIABLE.fullmatch(name) is not None and not looks_like_key(name)
    return str(name) if known else HIDDEN


def hide(text: str) -> str:
    """A text with every key in it hidden, and also the user, password and telling parameters of every URL.

    Args:
        text: a value of a configuration, or a sentence that quotes one.
    """
    if _WHOLE.fullmatch(text.strip()) or (_BASE64.fullmatch(text.strip()) and not _is_path(text)):
        return HIDDEN
    if "://" in text:
        text = _PARAMETER.sub(_parameter, _USER.sub(f"{HIDDEN}@", text))
    text = _WITHIN.sub(HIDDEN, text)
    if _is_path(text):
        return text
    kept = [match.span() for match in _CHECKSUM.finditer(text)]

    def judged(match: re.Match[str]) -> str:
        pinned = any(begin <= match.start() and match.end() <= end for begin, end in kept)
        return match[0] if pinned or len(_TURNS.findall(match[0])) < _LEAST_TURNS else HIDDEN

    return _RUN.sub(judged, text)


def hide_all(value: Any, key: str = "") -> Any:
    """A value of a configuration with all keys hidden, and with all values hidden whose names say that they are keys.

    Args:
        value: text, number, list or table.
        key: name of the value; empty if nobody knows it.
    """
    if isinstance(value, Mapping):
        if set(value) == {"env"} and isinstance(value["env"], str):
            return {"env": variable(value["env"])}
        secret = _SECRET.search(key) is not None
        return {hide(str(inner)): HIDDEN if secret else hide_all(item, str(inner)) for inner, item in value.items()}
    if _SECRET.search(key) and isinstance(value, str | list | tuple) and value:
        return HIDDEN
    if isinstance(value, list | tuple):
        return [hide_all(item, key) for item in value]
    if not isinstance(value, str):
        return value
    if _PINNED.search(key) and re.fullmatch(r"[0-9a-fA-F]{7,128}", value):
        return value
    return hide(value)


def _parameter(match: re.Match[str]) -> str:
    plain = _PLAIN.fullmatch(match["value"]) and not _TOLD.search(match["name"])
    return match[0] if plain and not _WHOLE.fullmatch(match["value"]) else f"{match['name']}={HIDDEN}"


def _is_path(text: str) -> bool:
    """Whether a text is the path of a file. Caches name files and folders by their checksums."""
    return text.startswith(("/", "~", "./", "../")) or re.match(r"[A-Za-z]:[\\/]", text) is not None
