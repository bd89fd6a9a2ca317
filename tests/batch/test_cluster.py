"""A cluster asks the tiers, and the job's own process keeps the manifest; and when Ray may run at all."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import rung
from batch.jobs import Answering, read, rows, run
from rung.batch import on_ray
from rung.batch.climbing import ClimbedRow, Climbs
from rung.batch.on_ray import RayCluster
from rung.batch.working import Asked
from rung.errors import ConfigError, TierCrashed, TierUnavailable
from rung.limits import Cancel


class Near:
    """A cluster in this process. Results come last block first, as those of a real one may."""

    def __init__(self, climbs: Climbs, places: Sequence[int]) -> None:
        self._climbs, self._places = climbs, places
        self.blocks: list[int] = []

    def takes(self, place: int) -> bool:
        return place in self._places

    def block(self, left: int) -> int:
        return 3

    def climb(self, place: int, blocks: Iterator[Sequence[Asked]], stop: Cancel) -> Iterator[ClimbedRow]:
        taken = [list(block) for block in blocks]
        self.blocks += [len(block) for block in taken]
        for block in reversed(taken):
            for claim, question in block:
                live = frozenset((place,))
                yield self._climbs.climb(claim, question, live, lambda *_: None, lambda place: None, Cancel())


def asked_there(
    tmp_path: Path, says: Callable[[str], object], count: int, places: Sequence[int] = (0,)
) -> tuple[list[dict], Near, Answering, Answering]:
    small, big = Answering("small", says), Answering("big", lambda prompt: "no")
    ladder = rung.Ladder(small, big)
    near = Near(Climbs(ladder, {"small": "small", "big": "big"}, ["yes", "no"]), places)
    data = rows(tmp_path / "in.jsonl", [f"q{n}" for n in range(count)])
    found = run(data, tmp_path / "out.jsonl", ladder=ladder, output=["yes", "no"], cluster=near)
    return found, near, small, big


def by_hash(prompt: str) -> str:
    return "yes" if zlib.crc32(prompt.encode()) % 3 else "perhaps"


@pytest.mark.slow
def test_a_cluster_gives_the_same_rows_as_one_process(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    found, near, *_ = asked_there(tmp_path / "one", by_hash, 40, places=(0, 1))
    small, big = Answering("small", by_hash), Answering("big", lambda prompt: "no")
    data = rows(tmp_path / "two" / "in.jsonl", [f"q{n}" for n in range(40)])
    alone = run(data, tmp_path / "two" / "out.jsonl", small, big, output=["yes", "no"])
    plain = [{**row, "seconds": 0} for row in found]
    assert plain == [{**row, "seconds": 0} for row in alone]
    assert max(near.blocks) == 3


def test_a_tier_that_the_cluster_does_not_take_is_asked_here(tmp_path):
    found, near, _, big = asked_there(tmp_path, by_hash, 12, places=(0,))
    sent_up = sum(row["tier"] == "big" for row in found)
    assert len(found) == 12
    assert len(big.asked) == sent_up > 0
    assert sum(near.blocks) == 12


def test_a_row_that_crashes_a_tier_of_the_cluster_is_asked_alone_and_then_goes_up(tmp_path):
    found, near, *_ = asked_there(tmp_path, lambda p: TierCrashed("gone") if p == "q4" else "yes", 7)
    assert [row["tier"] for row in found] == ["small"] * 4 + ["big"] + ["small"] * 2
    assert near.blocks[:3] == [3, 3, 1]
    assert set(near.blocks[3:]) == {1}


def test_a_tier_that_the_cluster_can_not_ask_ends_the_job_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("rung.batch.working._PAUSE", 0.0)
    with pytest.raises(TierUnavailable, match="no model") as raised:
        asked_there(tmp_path, lambda p: TierUnavailable("no model") if p != "q1" else "yes", 4)
    assert "same command" in raised.value.hint
    assert [row["line"] for row in read(tmp_path / "out.jsonl")] == [2]


def test_ray_is_refused_where_it_would_reach_further_than_prompts_may(monkeypatch):
    monkeypatch.setattr(on_ray, "alone", lambda: False)
    with pytest.raises(ConfigError, match="link-local") as raised:
        on_ray.demand_reach(None, rung.Zone.HOST)
    assert "unshare -rn" in raised.value.hint
    on_ray.demand_reach(None, rung.Zone.LAN)
    on_ray.demand_reach("10.0.0.4:6379", rung.Zone.LAN)
    with pytest.raises(ConfigError, match=r"8\.8\.4\.4:6379 lies beyond the reach lan"):
        on_ray.demand_reach("8.8.4.4:6379", rung.Zone.LAN)
    monkeypatch.setattr(on_ray, "alone", lambda: True)
    on_ray.demand_reach(None, rung.Zone.HOST)
    with pytest.raises(ConfigError, match="beyond the reach host"):
        on_ray.demand_reach("head.example.com:6379", rung.Zone.HOST)


def test_without_ray_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="isn't installed") as raised:
        RayCluster(None, lambda place: None, (), 8, None, rung.Zone.INTERNET)
    assert raised.value.hint == 'pip install "rung[ray]"'


def test_blocks_grow_where_there_are_many_rows(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    cluster = RayCluster(None, lambda place: None, (), 8, None, rung.Zone.INTERNET)
    assert [cluster.block(left) for left in (100, 320_000, 1_000_000)] == [16, 16, 50]


def test_a_pipeline_is_left_when_the_job_is_to_stop_and_its_errors_are_sentences():
    stop = Cancel()

    def endless() -> Iterator[int]:
        while True:
            yield 1

    seen = []
    for number in on_ray._watched(endless, stop):
        seen.append(number)
        stop.set()
    assert seen == [1]

    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError("the text of a prompt")

    with pytest.raises(TierUnavailable, match="RuntimeError") as raised:
        list(on_ray._watched(broken, Cancel()))
    assert "prompt" not in str(raised.value)
