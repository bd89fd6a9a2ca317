"""The report at the end of a job, and the question after an estimate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rung.batch.manifest import JobCounts, JobManifest
from rung.cli.codes import Exit
from rung.cli.output import Output
from rung.console import ask, is_terminal
from rung.ledger.schema import dollars


def tell(manifest: JobManifest, out: Path, rejects: Path, output: Output, *, pages: Sequence[Path]) -> int:
    """Report the end of a job. Returns the exit code.

    Args:
        manifest: of the job.
        out: the file of accepted rows.
        rejects: the file of all other rows.
        output: where to report.
        pages: the pages for review.
    """
    counts = manifest.counts()
    waiting = sum(counts.open.values())
    if output.json:
        output.object(_as_object(manifest, counts, out, rejects, pages))
    for page in pages:
        output.say(f"the page for review is {page}")
    output.say(sums(counts))
    if not output.json:
        output.answer(str(out))
    if counts.rejected or counts.bad:
        output.say(f"rows without an accepted answer are in {rejects}, with the reasons")
    if waiting:
        output.say("the same command goes on from here")
    return Exit.UNRESOLVED if counts.rejected or counts.bad or waiting else Exit.OK


def sums(counts: JobCounts) -> str:
    """A sentence that shows how the rows add up."""
    waiting = sum(counts.open.values())
    parts = [f"{counts.accepted:,} accepted", f"{counts.rejected:,} rejected", f"{counts.bad:,} bad"]
    parts += [f"{waiting:,} not yet asked"] if waiting else []
    money = f"; ${dollars(counts.spent):f} spent" if counts.counted else ""
    held = counts.counted - counts.spent
    if held:
        money += f", and ${dollars(held):f} counted for calls whose end is unknown"
    return f"{counts.rows:,} rows = {' + '.join(parts)}{money}"


def agreed(output: Output) -> bool:
    """Whether the person wants to continue. Without a terminal nobody can be asked."""
    again = "what the sample answered is kept; run it with --yes, or without --estimate, to go on"
    if not is_terminal(sys.stdin):
        output.say(again)
        return False
    ask("Go on with the rest? [y]es, [n]o: ")
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    output.say(again)
    return False


def _as_object(
    manifest: JobManifest, counts: JobCounts, out: Path, rejects: Path, pages: Sequence[Path]
) -> dict[str, object]:
    waiting = sum(counts.open.values())
    return {
        "status": "incomplete" if waiting else "complete",
        "rows": counts.rows,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "bad": counts.bad,
        "open": waiting,
        "cost_usd": float(dollars(counts.spent)),
        "counted_usd": float(dollars(counts.counted)),
        "out": str(out),
        "rejects": str(rejects) if counts.rejected or counts.bad else None,
        "manifest": str(manifest.path),
        "pages": [str(page) for page in pages],
    }
