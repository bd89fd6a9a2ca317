"""Free memory is what the narrowest limit leaves, not what the machine has."""

from __future__ import annotations

import sys

import pytest

from rung.tiers.llama.headroom import free_memory

GIB = 1 << 30


@pytest.fixture
def groups(tmp_path):
    """Makes folders as the kernel shows them: a map from folder to its files."""

    def make(membership: str, tree: dict[str, dict[str, object]]):
        for folder, files in tree.items():
            (tmp_path / "fs" / folder).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (tmp_path / "fs" / folder / name).write_text(f"{content}\n")
        (tmp_path / "self").write_text(membership)
        return free_memory(groups=tmp_path / "fs", membership=tmp_path / "self")

    return make


def v2(limit, used, cache=0):
    return {"memory.max": limit, "memory.current": used, "memory.stat": f"anon 1\ninactive_file {cache}\nactive_file 0"}


def test_without_limits_it_is_what_the_machine_has_free(groups):
    found = groups("0::/\n", {"": {}})
    assert found.limited_by == "this machine"
    assert found.available > 0


def test_a_container_has_what_its_limit_leaves(groups):
    found = groups("0::/app\n", {"app": v2(GIB // 4, GIB // 8)})
    assert found.available == GIB // 8
    assert found.limited_by == "the control group's limit"


def test_cached_files_in_a_container_count_as_free(groups):
    assert groups("0::/app\n", {"app": v2(GIB // 4, GIB // 4, GIB // 16)}).available == GIB // 16


def test_the_narrowest_of_all_groups_above_counts(groups):
    tree = {"a": v2(GIB // 8, 0), "a/b": v2("max", 0), "a/b/c": v2(GIB // 4, 0)}
    assert groups("0::/a/b/c\n", tree).available == GIB // 8


def test_the_soft_limit_of_version_2_counts_too(groups):
    assert groups("0::/a\n", {"a": v2("max", 0) | {"memory.high": GIB // 8}}).available == GIB // 8


def test_in_a_container_that_sees_only_its_own_root_the_root_counts(groups):
    assert groups("0::/docker/abc\n", {"": v2(GIB // 8, 0)}).available == GIB // 8


def test_limits_of_version_1_count(groups):
    files = {
        "memory.limit_in_bytes": GIB // 4,
        "memory.usage_in_bytes": GIB // 4,
        "memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB // 16}",
    }
    found = groups("9:cpu,cpuacct:/x\n4:memory:/x/y\n0::/\n", {"memory/x/y": files})
    assert found.available == GIB // 16


def test_a_group_of_version_1_without_a_limit_limits_nothing(groups):
    files = {"memory.limit_in_bytes": 9223372036854771712, "memory.usage_in_bytes": 1}
    assert groups("4:memory:/x\n", {"memory/x": files}).limited_by == "this machine"


def test_an_overdrawn_group_has_nothing_left(groups):
    assert groups("0::/a\n", {"a": v2(GIB // 8, GIB // 4)}).available == 0


@pytest.mark.parametrize("membership", ["", "nonsense\n", "0::/../../..\n", "a:b\n::\n"])
def test_what_can_not_be_read_limits_nothing(groups, membership):
    assert groups(membership, {"a": {"memory.max": "many"}}).limited_by == "this machine"


def test_this_machine_can_be_asked():
    found = free_memory()
    assert found.available > 1 << 20
    if sys.platform == "win32":
        assert found.address_space is None
