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


def test_the_keys_of_a_kind_that_declares_them_are_listed_whoever_it_comes_from(program):
    said = program("tiers", "scripted").stdout.decode()
    assert "seconds: number, 0 or more; default 0.0\n    How long each takes.\n" in said
    found = json.loads(program("tiers", "llama", "--json").stdout)
    context = next(key for key in found["keys"] if key["name"] == "context")
    assert found["declared"]
    assert (context["kind"], context["required"]) == ("whole number of tokens, 1 to 16,777,216", False)


def test_a_kind_that_declares_nothing_says_so_and_one_that_there_is_not_names_the_nearest(program):
    done = program("tiers", "broken")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"declares no settings" in done.stderr
    done = program("tiers", "lama")
    assert done.returncode == 2
    assert b"did you mean 'llama'" in done.stderr
