"""`rung bundle`."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Json

if TYPE_CHECKING:
    from rung.bundle import Kit, KitOrder

_Folder = Annotated[Path, typer.Argument(metavar="KIT", help="The folder of a kit.")]
_SIZE = re.compile(r"(?P<number>\d+)\s*(?P<unit>[kKMG]i?B|B|)")


def commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(rich_markup_mode=None, epilog="Example: rung bundle create kit")
    group.callback()(_bundle)
    group.command(
        "create",
        short_help="Make a kit for a machine without a network.",
        epilog="Example: rung bundle create /media/stick/kit --platform manylinux_2_28_x86_64 --python 3.12",
    )(create)
    group.command("verify", short_help="Check a kit.", epilog="Example: rung bundle verify kit")(verify)
    group.command("diff", short_help="Compare two kits.", epilog="Example: rung bundle diff kit-1 kit-2")(diff)
    return group


def _bundle() -> None:
    """Carry rung, its packages and its models to a machine without a network; docs/airgap.md shows how."""


def create(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The kit's folder, which must not exist yet.")],
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Pack this configuration and no other.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="TAG", help="For this platform, like manylinux_2_28_x86_64.")
    ] = None,
    python: Annotated[str | None, typer.Option(metavar="X.Y", help="For this version of Python.")] = None,
    part_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Cut the archive into parts of this size; just under 4GiB.")
    ] = None,
    wheel: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Pack this wheel, llama-cpp-python's for example.")
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Take all packages from this folder, and ask no index.")
    ] = None,
    cpu: Annotated[
        str | None, typer.Option(metavar="FLAGS", help="Instruction sets to build for, like avx2,fma,f16c; or every.")
    ] = None,
    native: Annotated[
        bool, typer.Option("--native", help="Pack llama-cpp-python as it is built here, for processors like this one.")
    ] = False,
    base: Annotated[
        Path | None, typer.Option(metavar="OLD", help="Leave out weights that this kit already has.")
    ] = None,
    json: Json = False,
) -> None:
    """Pack configuration, models, rung and its packages, and an installer that needs no network.

    Making a kit may fetch packages: asking for a kit is consent to that. RUNG_OFFLINE and the system's policy forbid
    it. With --wheels nothing is fetched.
    """
    from rung import guard
    from rung.bundle import KitOrder, Platform
    from rung.bundle import create as make
    from rung.bundle.creating import PART_SIZE
    from rung.config import load
    from rung.types import Zone

    guard.install(Zone.HOST)
    order = KitOrder(
        platform=Platform.parse(platform, python),
        part_size=PART_SIZE if part_size is None else _bytes(part_size),
        wheels=tuple(wheel or ()),
        folder=wheels,
        base=base,
        native=native,
        cpu=None if cpu is None else tuple(flag for flag in cpu.replace(" ", "").split(",") if flag),
    )
    _demand_network(order)
    output = context.obj.output
    kit = make(out, load(config), order, cancel=context.obj.interrupts.cancel(), tell=output.say)
    if output.json:
        output.object({"status": "ok", **_told(kit)})
        return
    output.answer(str(kit.path))
    machine = kit.manifest.machine
    output.say(
        f"for CPython {machine.python} on {machine.tag}, glibc {machine.glibc or '-'}, "
        f"processor: {', '.join(machine.cpu) or 'any'} ({machine.cpu_stated_by})"
    )
    output.say(f"sha256 of its manifest: {kit.manifest.sha256}; sign that (docs/airgap.md), then carry the folder over")


def verify(context: typer.Context, kit: _Folder, json: Json = False) -> int:
    """Hash everything in a kit and compare it with its manifest. Exit code 1 if something is wrong."""
    from rung import guard
    from rung.bundle import verify as check
    from rung.types import Zone

    guard.install(Zone.HOST)
    manifest, wrong = check(kit)
    output = context.obj.output
    if output.json:
        sha256 = None if manifest is None else manifest.sha256
        output.object({"status": "damaged" if wrong else "ok", "manifest_sha256": sha256, "problems": wrong})
    elif not wrong and manifest is not None:
        output.answer(f"ok: {len(manifest.files)} files, manifest {manifest.sha256}")
    for text in wrong:
        output.say(f"rung: {text}")
    return int(bool(wrong))


def diff(
    context: typer.Context,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The folder of a kit.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The folder of the next one.")],
    json: Json = False,
) -> None:
    """Show which packages, weights, settings and requirements changed from one kit to the next."""
    from rung import guard
    from rung.bundle import diff as compare
    from rung.types import Zone

    guard.install(Zone.HOST)
    found = compare(old, new)
    output = context.obj.output
    if output.json:
        output.object({"status": "same" if found.none else "differs", **asdict(found)})
        return
    groups = (
        ("packages", found.packages),
        ("weights", found.weights),
        ("machine", found.machine),
        ("files", found.files),
        ("config", tuple(found.config.splitlines())),
    )
    lines = [line for head, texts in groups if texts for line in (f"{head}:", *(f"  {text}" for text in texts))]
    output.answer("\n".join(lines) or "nothing changed")


def _bytes(size: str) -> int:
    from rung.errors import ConfigError

    match = _SIZE.fullmatch(size.strip())
    if match is None:
        raise ConfigError(f"{size!r} is not a size", hint="write it like 2GiB or 700MB")
    unit = match["unit"] or "B"
    step = 1024 if "i" in unit else 1000
    power = "BKMG".index(unit[0].upper())
    return int(match["number"]) * int(step**power)


def _demand_network(order: KitOrder) -> None:
    """Check that packages may be fetched, if any must be.

    Raises:
        Offline: the environment or the policy forbids it.
    """
    from rung.config import farthest
    from rung.errors import Offline
    from rung.types import Zone

    limit = farthest()
    if order.folder is None and limit.value < Zone.INTERNET:
        raise Offline(
            f"the packages would have to be fetched, and {limit.origin} limits the reach to {limit.value}",
            hint="give a folder that holds them with --wheels",
        )


def _told(kit: Kit) -> dict[str, Any]:
    manifest = kit.manifest
    return {
        "path": str(kit.path),
        "manifest_sha256": manifest.sha256,
        "machine": manifest.machine._asdict(),
        "base": manifest.base,
        "parts": [part._asdict() for part in manifest.parts],
        "files": len(manifest.files),
    }
