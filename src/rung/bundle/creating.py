"""Making a kit: a folder that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from rung.bundle import install, natives, parts, sbom
from rung.bundle.install import File, Machine, Manifest, Part, Refused, read_manifest
from rung.bundle.parts import Item
from rung.bundle.platforms import Platform
from rung.bundle.wheels import EVERY, LLAMA, PORTABLE, WantedWheels, Wheel, gather
from rung.config import Config
from rung.config.lock import Lock, differences, lock, lock_path, read_lock
from rung.config.tasks import FOLDER
from rung.errors import ConfigError, StoreError
from rung.files import full, read_bounded
from rung.limits import Cancel
from rung.store import Hub, Store, resolve, user_store
from rung.store.entries import shipped_catalogue
from rung.store.layout import NO_SPACE, Named, Pulled
from rung.writing import sync

PART_SIZE = (4 << 30) - (64 << 10)
"""Bytes of a part of the archive: a file on a FAT stick must be smaller than 4 GiB."""
_LEAST_PART = 1 << 16
_MOST_OF_TASK = 16 << 20
"""Largest file of a task in bytes. It bounds schemas, which are the largest of these files."""


@dataclass(frozen=True, slots=True)
class KitOrder:
    """What kit to make.

    Args:
        platform: the platform that it runs on.
        part_size: size in bytes of each part of the archive, except the last.
        wheels: wheels that the person gives, with or without that of llama-cpp-python.
        folder: folder of all other wheels; `None` asks the package index.
        base: folder of another kit. Its weights are left out of this one.
        native: whether llama-cpp-python is taken as it is installed here, built for this processor.
        cpu: instruction sets that the build uses, as the kernel spells them, or `EVERY`; `None` leaves the choice to
            rung.
    """

    platform: Platform
    part_size: int = PART_SIZE
    wheels: tuple[Path, ...] = ()
    folder: Path | None = None
    base: Path | None = None
    native: bool = False
    cpu: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit that was made.

    Args:
        path: its folder.
        manifest: its manifest.
    """

    path: Path
    manifest: Manifest


def create(
    out: Path,
    config: Config,
    order: KitOrder,
    *,
    cancel: Cancel,
    tell: Callable[[str], None] = lambda _: None,
) -> Kit:
    """Make a kit from the configuration in force.

    Args:
        out: the kit's folder, which must not exist yet.
        config: configuration whose tiers are packed.
        order: what kit to make.
        cancel: ends it. Nothing is left then.
        tell: told about steps that take long.

    Raises:
        ConfigError: the order can't be carried out, or the lock belongs to other files.
        StoreError: weights or wheels can't be found, or the disk is full.
        Cancelled: `cancel` was set.
    """
    out = full(out, "the kit's folder").absolute()
    if out.exists():
        raise ConfigError(f"{out} is there already", hint="name a folder that isn't, or remove it")
    if order.part_size < _LEAST_PART:
        raise ConfigError(f"parts of {order.part_size} bytes are too small", hint="write for example --part-size 2GiB")
    base = _base(order)
    pinned = _pinned(config, cancel)
    try:
        with _fresh(out) as fresh, _scratch(fresh) as scratch:
            wheels = _wheels(order, scratch, cancel, tell)
            machine, commit = _machine(order, wheels, scratch)
            items = _items(config, pinned, wheels, commit, base, scratch, tell)
            tell("packing")
            _check_space(fresh, items)
            made, files = parts.write(items, fresh, order.part_size, cancel)
            manifest = _finish(fresh, _version(wheels), machine, base, made, files)
    except Refused as refused:
        raise ConfigError(
            f"the installer would refuse this kit: {refused}", hint="give other wheels with --wheel or --wheels"
        ) from None
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StoreError(f"no space left for {out}", hint="free some, or name a folder on another disk") from error
        raise StoreError(f"{error.filename or out}: {(error.strerror or str(error)).lower()}") from error
    return Kit(out, manifest)


def _pinned(config: Config, cancel: Cancel) -> Lock:
    """The lock beside the configuration, with which the files must agree. If there is none, a lock of the files."""
    path = lock_path(config)
    if not path.exists():
        return lock(config, cancel=cancel)
    pinned = read_lock(path)
    if differ := differences(pinned, config, cancel=cancel):
        raise ConfigError(f"{path} differs: {'; '.join(differ)}", hint="undo that, or run `rung models lock` anew")
    return pinned


def _base(order: KitOrder) -> Manifest | None:
    if order.base is None:
        return None
    try:
        return read_manifest(order.base)
    except Refused as refused:
        raise ConfigError(str(refused), hint="name the folder of a kit with --base") from None


def _wheels(order: KitOrder, scratch: Path, cancel: Cancel, tell: Callable[[str], None]) -> list[Wheel]:
    cpu = PORTABLE.get(order.platform.machine, ()) if order.cpu is None else order.cpu
    wanted = WantedWheels(order.platform, order.wheels, order.folder, order.native, cpu, scratch, cancel, tell)
    wheels = gather(wanted)
    names = install.Names()
    for wheel in wheels:
        # what the installer would refuse is refused here, before any library of the kit is loaded
        with wheel.path.open("rb") as source:
            install.look_into(source, wheel.path.name, wheel.path.stat().st_size, names)
    return wheels


def _machine(order: KitOrder, wheels: list[Wheel], scratch: Path) -> tuple[Machine, str | None]:
    """What the kit requires of a machine, and the commit of llama.cpp."""
    platform = order.platform
    llama = next(wheel for wheel in wheels if wheel.name == LLAMA)
    probed = natives.probe(llama.path, scratch) if platform.here else None
    if probed is None and order.cpu is None and not platform.here:
        raise ConfigError(
            f"which instruction sets {llama.path.name} needs can't be read here",
            hint="name them: --cpu avx2,fma,f16c,bmi2, or --cpu '' for any processor",
        )
    named = () if order.cpu is None or order.cpu == EVERY else order.cpu
    stated = set(named) | set(probed.flags if probed else ())
    by = "asked of the library itself" if probed else "stated by whoever made the kit" if order.cpu else "nothing"
    least = natives.glibc(wheels) if platform.system == "Linux" else ""
    if platform.glibc is not None and least and int(least.partition(".")[2]) > platform.glibc:
        raise ConfigError(
            f"a wheel needs glibc {least}, but {platform.tag} has 2.{platform.glibc}",
            hint="build llama-cpp-python on such a system and give it with --wheel",
        )
    machine = Machine(
        tag=platform.tag,
        system=platform.system,
        machine=platform.machine,
        python=platform.python,
        cpu=sorted(stated),
        cpu_stated_by=f"{by}; built for the processor of the machine that made it" if order.native else by,
        glibc=least,
        libraries=natives.shared(wheels) if platform.system == "Linux" else [],
    )
    return machine, probed.commit if probed else None


def _items(
    config: Config,
    pinned: Lock,
    wheels: list[Wheel],
    commit: str | None,
    base: Manifest | None,
    scratch: Path,
    tell: Callable[[str], None],
) -> list[Item]:
    """Everything in the order of the archive, with the weights last."""
    source = next(file for file in config.files if file.tiers)
    items = [
        Item("rung.toml", "file", source.path.read_bytes(), source.sha256),
        Item("rung.lock", "file", pinned.text().encode()),
        Item("sbom.cdx.json", "file", sbom.bill(wheels, pinned.tier, commit)),
    ]
    items += [Item(path, "file", content) for path, content in sorted(sbom.licences(wheels).items())]
    items += _tasks(config, tell)
    items += [Item(f"wheels/{wheel.path.name}", "wheel", wheel.path) for wheel in wheels]
    store = user_store()
    there = {file.sha256 for file in base.files if file.kind == "weights"} if base else set()
    on_the_way = Store(scratch / "models", store.catalogue)
    for tier in pinned.tier:
        if tier.model.startswith("hf:"):
            on_the_way.record(Hub.parse(tier.model), Pulled(sha256=tier.sha256, size=tier.size))
        elif (own := _own(tier.model, store)) is not None:
            # its origin is a path of this machine: private, and different each time
            on_the_way.give_name(tier.model, own.model_copy(update={"origin": "a kit"}))
    names = sorted((scratch / "models").rglob("*.json"))
    items += [Item(path.relative_to(scratch).as_posix(), "name", path.read_bytes()) for path in names]
    weights = {
        tier.sha256: Item(
            f"models/blobs/sha256-{tier.sha256}.gguf",
            "weights",
            resolve(tier.model, store=store).path,
            tier.sha256,
            tier.sha256 not in there,
        )
        for tier in pinned.tier
    }
    return items + [weights[sha256] for sha256 in sorted(weights)]


def _own(model: str, store: Store) -> Named | None:
    """What a name means that only this user knows: it was given to a file, or is an entry of their own catalogue."""
    entry = store.catalogue.get(model)
    if entry is None:
        return store.named(model)
    if model in shipped_catalogue():
        return None
    return Named(sha256=entry.sha256, size=entry.size, origin="", licence=entry.licence, context=entry.context)


def _tasks(config: Config, tell: Callable[[str], None]) -> list[Item]:
    """The tasks of the configuration: what is needed to ask them, and none of the data beside them."""
    items = []
    for task in config.tasks.every():
        if isinstance(task, ConfigError):
            raise task
        files, missing = task.files()
        for reference in missing:
            tell(f"{reference} of the task {task.name!r} is outside its folder, and is not packed")
        for path in files:
            content = read_bounded(path, _MOST_OF_TASK, "the task's file")
            items.append(Item(f"{FOLDER}/{task.name}/{path.relative_to(task.path).as_posix()}", "file", content))
    return items


def _version(wheels: list[Wheel]) -> str:
    return next(wheel.version for wheel in wheels if wheel.name == "rung")


def _check_space(folder: Path, items: list[Item]) -> None:
    needed, free = sum(item.size for item in items if item.carried), shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(
            f"no space left for the kit: {needed:,} bytes are needed, {free:,} are free",
            hint="free some, or name a folder on another disk",
        )


def _finish(
    folder: Path, version: str, machine: Machine, base: Manifest | None, made: list[Part], files: list[File]
) -> Manifest:
    """Write the files beside the parts."""
    installer = Path(install.__file__).read_bytes()
    values = {
        "format": install.FORMAT,
        "rung": version,
        "machine": machine._asdict(),
        "base": base.sha256 if base else None,
        "installer": hashlib.sha256(installer).hexdigest(),
        "parts": [part._asdict() for part in made],
        "files": [file._asdict() for file in files],
    }
    content = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    sha256 = hashlib.sha256(content).hexdigest()
    for name, piece in (
        (install.MANIFEST, content),
        (f"{install.MANIFEST}.sha256", f"{sha256}  {install.MANIFEST}\n".encode()),
        ("install.py", installer),
    ):
        with (folder / name).open("wb") as file:
            file.write(piece)
            file.flush()
            sync(file.fileno())
    return read_manifest(folder)


@contextmanager
def _fresh(out: Path) -> Iterator[Path]:
    """A folder that gets the name `out` if all goes well. What killed processes left is removed first."""
    for old in out.parent.glob(f".{out.name}.*.new"):
        if not psutil.pid_exists(int(old.suffixes[-2][1:])):
            shutil.rmtree(old, ignore_errors=True)
    fresh = out.with_name(f".{out.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _scratch(fresh: Path) -> Iterator[Path]:
    path = fresh / "scratch"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
