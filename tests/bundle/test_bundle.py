"""Kits: made twice they are the same, and what is wrong with one is named."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zipfile

import pytest
from bundle_site import alter, run_installer, tree

from rung.bundle import diff, verify
from rung.bundle.install import MANIFEST, read_manifest
from rung.bundle.platforms import Platform
from rung.bundle.wheels import EVERY, cmake_arguments
from rung.errors import ChecksumMismatch, ConfigError, StoreError
from rung.store import Store, user_store
from rung.store.entries import own_catalogue, shipped_catalogue


@pytest.mark.slow
def test_two_kits_from_one_lock_file_are_the_same_bytes(site):
    first, second = tree(site.kit("one").path), tree(site.kit("two").path)
    assert first == second


@pytest.mark.slow
def test_a_kit_is_cut_into_parts_that_ordinary_tools_can_read(kit, tmp_path):
    manifest = read_manifest(kit)
    assert len(manifest.parts) > 3
    assert {part.size for part in manifest.parts[:-1]} == {1 << 17}
    with joined(kit, tmp_path) as archive:
        assert [member.name for member in archive] == [file.path for file in manifest.files]


@pytest.mark.slow
def test_a_flipped_bit_in_any_file_of_a_kit_is_named(kit):
    assert verify(kit)[1] == []
    for path in sorted(kit.iterdir()):
        good = path.read_bytes()
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 4
        path.write_bytes(bad)
        wrong = verify(kit)[1]
        assert len(wrong) == 1
        assert path.name.removesuffix(".sha256") in wrong[0]
        path.write_bytes(good)
    assert verify(kit)[1] == []


def test_a_missing_part_is_named(kit):
    (kit / "part-002.tar").unlink()
    assert verify(kit)[1] == ["part-002.tar is missing"]


@pytest.mark.slow
def test_weights_that_the_base_has_are_left_out_and_named(site):
    old = site.kit("old")
    site.configure(*(tier_model(site)), site.model(3, b"GGUF" + bytes(100_000)))
    new = site.kit("new", base=old.path)
    carried = {file.path for file in new.manifest.files if file.kind == "weights" and file.carried}
    left_out = {file.path for file in new.manifest.files if file.kind == "weights" and not file.carried}
    assert left_out == {file.path for file in old.manifest.files if file.kind == "weights"}
    assert len(carried) == 1
    assert new.manifest.base == old.manifest.sha256
    assert verify(new.path)[1] == []


@pytest.mark.slow
def test_a_difference_names_packages_weights_and_settings(site):
    old = site.kit("old")
    site.helper("1.1")
    first, _ = tier_model(site)
    site.configure(first, site.model(3, b"GGUF" + bytes(100_000)))
    new = site.kit("new")
    found = diff(old.path, new.path)
    assert found.packages == ("helper 1.0 -> 1.1",)
    assert len(found.weights) == 2
    assert "+model = " in found.config
    assert found.machine == ()
    assert diff(old.path, old.path).none


def test_the_bill_of_materials_names_every_package_and_the_publisher_of_weights(kit, tmp_path):
    with joined(kit, tmp_path) as archive:
        bill = json.load(archive.extractfile("sbom.cdx.json"))
        assert archive.extractfile("licences/helper/LICENSE").read() == b"as you like\n"
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    packages = {it["purl"]: it for it in bill["components"] if it["type"] == "library"}
    assert packages["pkg:pypi/helper@1.0"]["licenses"] == [{"expression": "MIT"}]
    weights = [it for it in bill["components"] if it["type"] == "machine-learning-model"]
    assert {it["publisher"] for it in weights} == {"somebody"}
    assert all(len(it["version"]) == 40 and it["hashes"][0]["alg"] == "SHA-256" for it in weights)
    hashes = {file.sha256 for file in read_manifest(kit).files if file.kind in ("wheel", "weights")}
    assert {it["hashes"][0]["content"] for it in bill["components"]} == hashes


def test_damaged_weights_make_no_kit(site):
    blob = next((user_store().root / "blobs").glob("*"))
    content = bytearray(blob.read_bytes())
    content[1000] ^= 1
    blob.write_bytes(content)
    with pytest.raises(ChecksumMismatch):
        site.kit()
    assert not (site.root / "kit").exists()
    assert not list(site.root.glob(".kit*"))


@pytest.mark.slow
def test_a_lock_of_other_files_makes_no_kit(site):
    from rung.config import load
    from rung.config.lock import lock, lock_path
    from rung.limits import Cancel

    config = load(site.root / "rung.toml")
    lock_path(config).write_text(lock(config, cancel=Cancel()).text())
    site.kit("as-locked")
    first, _ = tier_model(site)
    site.configure(first, site.model(3, b"GGUF" + bytes(100_000)))
    with pytest.raises(ConfigError, match="tier 'tier-2'"):
        site.kit()


@pytest.mark.slow
def test_a_missing_package_is_named(site):
    (site.wheels / "helper-1.0-py3-none-any.whl").unlink()
    with pytest.raises(StoreError, match="helper"):
        site.kit()


def test_a_platform_that_cannot_be_built_here_asks_for_its_wheel(site):
    (site.wheels / "llama_cpp_python-0.3.36-py3-none-any.whl").unlink()
    with pytest.raises(ConfigError, match="llama-cpp-python can't be built here for macosx_11_0_arm64") as caught:
        site.kit(platform=Platform.parse("macosx_11_0_arm64", "3.12"))
    assert "--wheel" in caught.value.hint


@pytest.mark.slow
def test_a_given_wheel_for_another_platform_is_packed_with_what_it_needs_of_a_processor(site):
    platform = Platform.parse("manylinux_2_28_aarch64", "3.12")
    with pytest.raises(ConfigError, match="processor"):
        site.kit(platform=platform)
    machine = site.kit(platform=platform, cpu=("asimddp",)).manifest.machine
    assert (machine.tag, machine.machine, machine.python) == ("manylinux_2_28_aarch64", "aarch64", "3.12")
    assert machine.cpu == ["asimddp"]
    assert "stated" in machine.cpu_stated_by


@pytest.mark.parametrize("tag", ["win_amd64", "linux_riscv64", "../x", ""])
def test_an_unknown_platform_is_refused(tag):
    with pytest.raises(ConfigError, match="platform"):
        Platform.parse(tag, None)


def test_what_is_no_wheel_is_refused(site):
    with zipfile.ZipFile(site.root / "x.whl", "w"):
        pass
    with pytest.raises(ConfigError, match="is not a wheel"):
        site.kit(wheels=(site.root / "x.whl",))


def test_a_kit_is_never_written_over_something(site):
    (site.root / "kit").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        site.kit()


def test_a_portable_build_names_each_instruction_set_on_or_off():
    arguments = cmake_arguments(("avx", "avx2"))
    assert "-DGGML_NATIVE=OFF" in arguments
    assert "-DGGML_AVX2=ON" in arguments
    assert "-DGGML_FMA=OFF" in arguments
    with pytest.raises(ConfigError, match="avx9"):
        cmake_arguments(("avx9",))


def test_a_build_for_every_processor_has_a_library_for_each_and_names_no_instruction_set():
    arguments = cmake_arguments(EVERY).split()
    assert {"-DGGML_BACKEND_DL=ON", "-DGGML_CPU_ALL_VARIANTS=ON", "-DGGML_NATIVE=OFF"} <= set(arguments)
    assert not any("AVX" in argument for argument in arguments)
    with pytest.raises(ConfigError, match="every"):
        cmake_arguments(("every", "avx2"))


def test_a_manifest_of_another_format_is_refused_in_a_sentence(kit):
    alter(kit, lambda values: values.update(format=7))
    assert "has the format 7" in verify(kit)[1][0]
    (kit / MANIFEST).unlink()
    assert MANIFEST in verify(kit)[1][0]


def joined(kit, folder):
    """The archive of a kit as one tar."""
    whole = folder / "whole.tar"
    whole.write_bytes(b"".join((kit / part.name).read_bytes() for part in read_manifest(kit).parts))
    return tarfile.open(whole)


def tier_model(site):
    """The models that the site's tiers have now."""
    import tomllib

    return [tier["model"] for tier in tomllib.loads((site.root / "rung.toml").read_text())["tier"]]


@pytest.mark.slow
def test_a_model_of_the_own_catalogue_has_its_name_on_the_other_side_too(site, monkeypatch):
    monkeypatch.setenv("HOME", str(site.root / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    content = b"GGUF" + bytes(100_000)
    store = user_store()
    sha256 = hashlib.sha256(content).hexdigest()
    store.blob(sha256).parent.mkdir(parents=True, exist_ok=True)
    store.blob(sha256).write_bytes(content)
    own_catalogue().mkdir(parents=True)
    (own_catalogue() / "house.toml").write_text(
        f'name = "house"\nlicence = "MIT"\nsize = {len(content)}\nsha256 = "{sha256}"\n'
        '[[source]]\nkind = "folder"\npath = "/mnt/share"\n'
    )
    site.configure("house")
    target = site.root / "target"
    done = run_installer(site.kit("kit").path, "--target", target)
    assert done.returncode == 0, done.stderr
    (models,) = {path.parent.parent for path in target.rglob("blobs/*.gguf")}
    elsewhere = Store(models, shipped_catalogue()).named("house")
    assert (elsewhere.sha256, elsewhere.licence, elsewhere.origin) == (sha256, "MIT", "a kit")
