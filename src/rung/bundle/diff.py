"""What changes from one kit to the next, without installing either."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from rung.bundle.install import File, Manifest, Refused, archive, read_manifest
from rung.errors import ConfigError

_TEXTS = ("rung.toml", "rung.lock")


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes.

    Args:
        packages: a clause for each package that came, went or changed.
        weights: likewise for weights.
        machine: what the kit asks of a machine, where that changed.
        files: other files that changed, the licences and the bill of materials among them.
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
    """What changes from the kit `old` to the kit `new`.

    Raises:
        ConfigError: one of them is no kit, or is damaged where this has to read.
    """
    try:
        before, after = read_manifest(old), read_manifest(new)
        texts, later = _texts(old, before), _texts(new, after)
    except (Refused, OSError) as error:
        raise ConfigError(str(error), mend="run `rung bundle verify` on both") from None
    machines = zip(before.machine._asdict().items(), after.machine._asdict().values(), strict=True)
    config = "".join(
        "".join(difflib.unified_diff(texts[name], later[name], f"old/{name}", f"new/{name}")) for name in _TEXTS
    )
    return Difference(
        packages=_packages(before, after),
        weights=_clauses(_by_path(before, "weights"), _by_path(after, "weights")),
        machine=tuple(f"{key}: {a} -> {b}" for (key, a), b in machines if a != b),
        files=_clauses(_by_path(before, "file"), _by_path(after, "file")),
        config=config,
    )


def _texts(folder: Path, manifest: Manifest) -> dict[str, list[str]]:
    with archive(folder, manifest) as members:
        found = {}
        for file, source in members:
            if file.path in _TEXTS:
                found[file.path] = source.read().decode("utf-8", "replace").splitlines(keepends=True)
            if len(found) == len(_TEXTS):
                return found
    raise Refused(f"{folder} holds no {' and no '.join(_TEXTS)}")


def _by_path(manifest: Manifest, kind: str) -> dict[str, File]:
    return {file.path: file for file in manifest.files if file.kind == kind}


def _clauses(old: dict[str, File], new: dict[str, File]) -> tuple[str, ...]:
    found = [f"{path} is gone" for path in old if path not in new]
    found += [f"{path} is new" for path in new if path not in old]
    found += [f"{path} changed" for path in old if path in new and old[path].sha256 != new[path].sha256]
    return tuple(sorted(found))


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
    return tuple(sorted(found))


def _named(wheel: File) -> tuple[str, str]:
    name, version = wheel.path.rpartition("/")[2].split("-")[:2]
    return name.lower().replace("_", "-"), version
