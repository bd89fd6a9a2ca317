"""A site that makes kits of small files, and the other side."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from rung.bundle import Kit, KitOrder, Platform, create
from rung.bundle.install import MANIFEST, archive, read_manifest
from rung.config import load
from rung.limits import Cancel
from rung.store import Hub, user_store
from rung.store.layout import Pulled

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DOCTOR = """
import json, os, sys

def main():
    if sys.argv[1:] == ["doctor", "--json"]:
        found = {"config": os.environ["RUNG_CONFIG"], "models": os.environ["RUNG_MODELS_DIR"]}
        print(json.dumps({"status": "ok", **found}))
    else:
        import helper
        print("rung", helper.VERSION)
"""


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str | bytes], requires: tuple[str, ...] = ()):
    """A wheel of pure Python."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    requirements = "".join(f"Requires-Dist: {it}\n" for it in requires)
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n{requirements}"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in files.items():
            wheel.writestr(zipfile.ZipInfo(file.replace("INFO", info)), content)
        wheel.writestr(zipfile.ZipInfo(f"{info}/METADATA"), metadata)
        wheel.writestr(
            zipfile.ZipInfo(f"{info}/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "")
    return path


@dataclass(frozen=True)
class Site:
    """Where kits are made."""

    root: Path
    wheels: Path

    def wheel(self, name: str, version: str, files: dict[str, str | bytes], requires: tuple[str, ...] = ()) -> Path:
        for old in self.wheels.glob(f"{name}-*.whl"):
            old.unlink()
        return make_wheel(self.wheels, name, version, files, requires)

    def helper(self, version: str) -> None:
        """The one package that rung needs here."""
        self.wheel(
            "helper", version, {"helper.py": f"VERSION = {version!r}\n", "INFO/licenses/LICENSE": "as you like\n"}
        )

    def model(self, number: int, content: bytes) -> str:
        """A model of the hub that was pulled."""
        hub = Hub(repo=f"somebody/model-{number}", file="weights.gguf", revision=COMMIT)
        sha256 = hashlib.sha256(content).hexdigest()
        store = user_store()
        store.blob(sha256).parent.mkdir(parents=True, exist_ok=True)
        store.blob(sha256).write_bytes(content)
        store.record(hub, Pulled(sha256=sha256, size=len(content)))
        return hub.spec

    def configure(self, *models: str) -> Path:
        tiers = "".join(
            f'\n[[tier]]\nname = "tier-{n}"\nkind = "llama"\nmodel = "{model}"\n' for n, model in enumerate(models, 1)
        )
        path = self.root / "rung.toml"
        path.write_text(f'reach = "host"\n{tiers}')
        return path

    def order(self, **changes) -> KitOrder:
        values = {"platform": Platform.parse(None, None), "folder": self.wheels, "part_size": 1 << 17, **changes}
        return KitOrder(**values)

    def kit(self, name: str = "kit", **changes) -> Kit:
        return create(self.root / name, load(self.root / "rung.toml"), self.order(**changes), cancel=Cancel())


def run_installer(kit: Path, *arguments: object, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """`install.py` of a kit, with an empty environment."""
    return subprocess.run(
        [python, "-I", str(kit / "install.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(kit.parent)},
        check=False,
    )


def launch(target: Path) -> str:
    """What the installed rung says."""
    return subprocess.run([target / "rung"], capture_output=True, text=True, check=True).stdout.strip()


def alter(kit: Path, change) -> None:
    """Change a manifest and make its hash fit again."""
    values = json.loads((kit / MANIFEST).read_text())
    change(values)
    content = json.dumps(values).encode()
    (kit / MANIFEST).write_bytes(content)
    (kit / f"{MANIFEST}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n")


@dataclass
class Member:
    """A file of an archive that somebody packs by hand.

    Args:
        path: in the manifest and, where `header` has no other name, in the archive.
        kind: as the manifest says.
        content: its bytes.
        sha256: as the manifest says; `None` for the right one.
        size: as the manifest says; `None` for the right one.
        header: in the archive; `None` for an ordinary file's.
    """

    path: str
    kind: str
    content: bytes
    sha256: str | None = None
    size: int | None = None
    header: tarfile.TarInfo | None = None


def members(kit: Path) -> list[Member]:
    """What a kit holds."""
    manifest = read_manifest(kit)
    with archive(kit, manifest) as files:
        return [Member(file.path, file.kind, source.read()) for file, source in files]


def pack(kit: Path, held: list[Member], *, after: bytes = b"", tar_format: int = tarfile.GNU_FORMAT) -> None:
    """Make a kit hold other files, with all hashes right but those that are given: who signs a kit can do that."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tar_format) as tar:
        for it in held:
            info = it.header or tarfile.TarInfo(it.path)
            info.size = info.size or (len(it.content) if info.isreg() else 0)
            tar.addfile(info, io.BytesIO(it.content))
    content = whole.getvalue() + after
    for old in kit.glob("part-*.tar"):
        old.unlink()
    (kit / "part-001.tar").write_bytes(content)
    files = [
        {
            "path": it.path,
            "size": len(it.content) if it.size is None else it.size,
            "sha256": it.sha256 or hashlib.sha256(it.content).hexdigest(),
            "kind": it.kind,
            "carried": True,
        }
        for it in held
    ]
    part = {"name": "part-001.tar", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    alter(kit, lambda values: values.update(parts=[part], files=files))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but what Python compiles on the way."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
