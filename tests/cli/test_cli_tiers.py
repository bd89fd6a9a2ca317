"""`rung tiers`."""

from __future__ import annotations

import json


def test_the_kinds_that_are_installed_are_listed_with_the_package_that_each_comes_from(program):
    said = program("tiers").stdout.decode().splitlines()
    assert said[0].split() == ["kind", "package", "version", "loads"]
    rows = {line.split()[0]: line.split()[1:] for line in said[1:]}
    assert {"llama", "openai"} <= set(rows)
    assert rows["scripted"] == ["outside-tier", "1.0", "outside_tier:from_config"]
    assert "absent" in rows  # its module isn't there: nothing is loaded for the list


def test_the_same_is_there_as_json(program):
    found = {it["kind"]: it for it in json.loads(program("tiers", "--json").stdout)["kinds"]}
    assert found["llama"]["loads"] == "rung.tiers.llama:from_config"
    assert all(it["package"] and it["version"] for it in found.values())
