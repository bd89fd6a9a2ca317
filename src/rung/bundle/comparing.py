"""What changes from one kit to the next. Neither is installed, and nothing in them is run."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from rung.bundle.install import File, Manifest, Refused, archive, visible
from rung.bundle.verifying import verify
from rung.errors import ConfigError

_TEXTS = ("rung.toml", "rung.lock")
_MOST_TEXT = 1 << 20
"""Largest file in bytes whose lines are compared. A ladder of 100 tiers takes 30 KB."""
_MOST_LINES = 2000
"""Most lines of a file that are compared. The time grows with their square, and these take a second at worst."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes, in words that can't control a terminal.

    Args:
        packages: a clause for each package that was added, removed or changed.
        weights: a clause for each file of weights, likewise.
        machine: what the kit requires of a machine, as far as that changed.
        files: other files that changed, including the licences and the bill of materials.
        config: the changed lines of `rung.toml` and `rung.lock`, as a unified diff.
    """

    packages: tuple[str, ...]
    weights: tuple[str, ...]
    machine: tuple[str, ...]
    files: tuple[str, ...]
    config: str

    @property
    def none(self) -> bool:
        """Whether nothing changes."""
        return not (self.packages or self.weights or self.machine or self.files or self.config)


def diff(old: Path, new: Path) -> Difference:
    """What changes from the kit `old` to the kit `new`. Hashes everything in both first.

    Raises:
        ConfigError: one of them is not a kit, or is damaged.
    """
    before, after = _whole(old), _whole(new)
    try:
        texts, later = _texts(old, before), _texts(new, after)
    except (Refused, OSError) as error:
        raise ConfigError(visible(str(error)), hint="run `rung bundle verify` on both") from None
    machines = zip(before.machine._asdict().items(), after.machine._asdict().values(), strict=True)
    config = [line for name in _TEXTS for line in _lines(texts[name], later[name], name)]
    return Difference(
        packages=_packages(before, after),
        weights=_clauses(_by_path(before, "weights"), _by_path(after, "weights")),
        machine=tuple(visible(f"{key}: {a} -> {b}") for (key, a), b in machines if a != b),
        files=_clauses(_by_path(before, "file"), _by_path(after, "file")),
        config="".join(f"{visible(line)}\n" for line in config),
    )


def _whole(folder: Path) -> Manifest:
    manifest, wrong = verify(folder)
    if manifest is None or wrong:
        raise ConfigError(f"{folder}: {wrong[0]}", hint=f"run `rung bundle verify {folder}`")
    return manifest


def _lines(old: list[str], new: list[str], name: str) -> list[str]:
    if old != new and len(old) + len(new) > _MOST_LINES:
        return [f"{name} changed: {len(old):,} lines became {len(new):,}, too many to compare"]
    return list(difflib.unified_diff(old, new, f"old/{name}", f"new/{name}", lineterm=""))


def _texts(folder: Path, manifest: Manifest) -> dict[str, list[str]]:
    with archive(folder, manifest) as members:
        found = {}
        for file, source in members:
            if file.path in _TEXTS:
                if file.size > _MOST_TEXT:
                    raise Refused(f"{file.path} has {file.size:,} bytes, too many to compare")
                # no other character ends a line, or else a value could look like a line of its own
                found[file.path] = source.read().decode("utf-8", "replace").removesuffix("\n").split("\n")
            if len(found) == len(_TEXTS):
                return found
    raise Refused(f"{folder} holds no {' and no '.join(_TEXTS)}")


def _by_path(manifest: Manifest, kind: str) -> dict[str, File]:
    return {file.path: file for file in manifest.files if file.kind == kind}


def _clauses(old: dict[str, File], new: dict[str, File]) -> tuple[str, ...]:
    found = [f"{path} is gone" for path in old if path not in new]
    found += [f"{path} is new" for path in new if path not in old]
    found += [f"{path} changed" for path in old if path in new and old[path].sha256 != new[path].sha256]
    return tuple(visible(text) for text in sorted(found))


def _packages(before: Manifest, after: Manifest) -> tuple[str, ...]:
    old, new = (
        {name: (version, file.sha256) for file in _by_path(it, "wheel").values() for name, version in [_named(file)]}
        for it in (before, after)
    )
    found = [f"{name} {old[name][0]} is gone" for name in old if name not in new]
    found += [f"{name} {new[name][0]} is new" for name in new if name not in old]
    for name in old.keys() & new.keys():
        if old[name][0] != new[name][0]:
            found.append(f"{name} {old[name][0]} -> {new[name][0]}")
        elif old[name] != new[name]:
            found.append(f"{name} {old[name][0]} is another build")
    return tuple(visible(text) for text in sorted(found))


def _named(wheel: File) -> tuple[str, str]:
    name, version = wheel.path.rpartition("/")[2].split("-")[:2]
    return name.lower().replace("_", "-"), version
