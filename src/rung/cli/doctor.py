"""`rung doctor`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.codes import Exit
from rung.cli.options import Json
from rung.sizes import readable
from rung.visible import line

if TYPE_CHECKING:
    from rung.machine.checkup import Checkup, Fitting
    from rung.machine.findings import Finding
    from rung.machine.leaving import Leaving, Way
    from rung.machine.trial import TierTrial

EXAMPLES = """\b
Examples:
  rung doctor
  rung doctor --json > acceptance.json
  rung doctor --offline && rung ask --file report.txt "Summarise."

\b
Exit codes: 0 a local tier can run, 1 one can but something is wrong, 4 none
can. With --offline: 0 nothing could leave this machine, 1 something could.
"""
_SIGNS = {"ok": " ", "note": "!", "problem": "x"}
_Row = tuple[str, str, str, str]


def doctor(
    context: typer.Context,
    json: Json = False,
    quick: Annotated[bool, typer.Option("--quick", help="Hash no model file and load no model.")] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Only show what could leave this machine, and fail if anything could."),
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Read this configuration and no other.")
    ] = None,
) -> int:
    """Show what this machine can run locally, what prevents it, and what could leave the machine.

    Hashes the file of each local tier, and loads it for one token. Opens no connection.
    """
    from rung import guard
    from rung.types import Zone

    guard.install(Zone.HOST)
    return _gate(context, config) if offline else _whole(context, config, quick=quick)


def _gate(context: typer.Context, config: Path | None) -> int:
    from rung.machine.leaving import leaving

    found = leaving(config)
    if context.obj.output.json:
        status = "ok" if found.sealed else "problem"
        context.obj.output.object({"status": status, **_outside(found), "findings": _listed(found.findings)})
    else:
        verdict = "nothing could leave this machine" if found.sealed else "a prompt could leave this machine"
        if not found.sealed and not any(way.open for way in found.ways):
            verdict = "it can't be ruled out that something could leave this machine"
        rows = [*map(_finding, found.findings), *map(_way, found.ways), (" " if found.sealed else "x", "", verdict, "")]
        context.obj.output.answer(_table(rows))
    return 0 if found.sealed else Exit.UNEXPECTED


def _whole(context: typer.Context, config: Path | None, *, quick: bool) -> int:
    from rung.cli.progress import ClimbProgress
    from rung.limits import Cancel
    from rung.machine.checkup import check

    output, cancel = context.obj.output, Cancel()
    context.obj.interrupts.on(cancel.set)
    with ClimbProgress(output.talks) as progress:
        found = check(config, quick=quick, report=progress.draw, cancel=cancel)
    if output.json:
        output.object(_record(found))
    else:
        # if there was a trial, it reports why a tier's model can't be loaded
        fitting = [m for m in found.models if m.context is not None or not (m.tier and found.trials)]
        rows = [*map(_finding, found.findings), *map(_way, found.leaving.ways), *map(_model, fitting)]
        output.answer(_table([*rows, *map(_trial, found.trials)]))
    if found.well:
        return 0
    return Exit.UNEXPECTED if found.runs else Exit.UNAVAILABLE


def _record(found: Checkup) -> dict[str, Any]:
    """The object of `--json`."""
    import platform
    from datetime import UTC, datetime

    from rung import __version__

    return {
        "status": "ok" if found.well else "problem",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "rung": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "llama-cpp-python": found.build and found.build.version,
            "llama.cpp": found.build and found.build.inside,
            **_packages(),
        },
        **_outside(found.leaving),
        "findings": _listed(found.findings),
        "models": _listed(found.models),
        "tiers": [{"status": "problem" if it["problem"] else "ok", **it} for it in _listed(found.trials)],
    }


def _outside(found: Leaving) -> dict[str, Any]:
    return {"sealed": found.sealed, "outside": _listed(found.ways)}


def _listed(found: Iterable[Any]) -> list[dict[str, Any]]:
    from dataclasses import asdict

    return [asdict(it) for it in found]


def _packages() -> dict[str, str]:
    """What rung depends on, and the installed version of each."""
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    found = {}
    try:
        needed = [re.split(r"[^\w.-]", line)[0] for line in requires("rung") or () if "extra ==" not in line]
    except PackageNotFoundError:  # run from a folder, not installed
        return {}
    for name in needed:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # left out on purpose, or not for this system
            pass
    return found


def _table(rows: list[_Row]) -> str:
    """Sign, topic, text and hint, one row each."""
    width = max(len(topic) for _, topic, _, _ in rows)
    lines = []
    for sign, topic, text, hint in rows:
        lines.append(line(f"{sign} {topic:{width}}  {text}"))
        if hint:
            lines.append(line(f"  {'':{width}}  -> {hint}"))
    return "\n".join(lines)


def _finding(found: Finding) -> _Row:
    return _SIGNS[found.level], found.topic, found.text, found.hint


def _way(way: Way) -> _Row:
    where = f"{way.tier}, {way.destination or 'an unknown place'} ({way.zone})"
    if way.zone == "host":
        return "!", "outside", f"{where}: {way.why}", way.hint
    rejected = {"none": "nothing", "issues": "what was wrong", "issues+answer": "what was wrong and the answer"}
    said = [
        f"{'could go out' if way.open else 'nothing goes out'}, because {way.why}",
        "masked" if way.redacted else "not masked",
        f"after a rejected answer it is sent {rejected[way.feedback]}",
        *(["store: false"] if way.store is False else []),
        *([f"{way.key} is {'' if way.key_set else 'not '}set"] if way.key else []),
    ]
    return "!" if way.open else " ", "outside", f"{where}: {'; '.join(said)}", way.hint


def _model(model: Fitting) -> _Row:

    what = f"tier {model.name}" if model.tier else model.name
    if model.context is None or model.bytes is None:
        return "x", "model", f"{what}: {model.reason}", model.hint
    room = f"{readable(model.bytes)}, context up to {model.context:,} tokens, {model.slots} calls together"
    return " ", "model", f"{what}: {room}", model.hint


def _trial(trial: TierTrial) -> _Row:
    steps = []
    if trial.sha256 is not None and trial.hash_seconds is not None:
        pinned = "as pinned" if trial.pinned else "which nobody pinned"
        steps.append(f"sha256 {trial.sha256[:12]}… {pinned} ({trial.hash_seconds:.1f} s)")
    if trial.load_seconds is not None and trial.token_seconds is not None:
        steps += [f"loaded ({trial.load_seconds:.1f} s)", f"answered ({trial.token_seconds:.1f} s)"]
    told = ", ".join([*steps, *trial.notes, *([trial.problem] if trial.problem else [])])
    return "x" if trial.problem else " ", "tried", f"tier {trial.tier}: {told}", trial.hint
