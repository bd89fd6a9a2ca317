"""Where people already have GGUF files: in the caches of other programs, and in folders. Nothing here is written to.

The layouts are those of the Hugging Face hub's cache, Ollama, LM Studio and llama.cpp in 2026.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rung.errors import ConfigError
from rung.files import read_bounded
from rung.parsing import parse_json

_SHARED_OLLAMA = Path("/usr/share/ollama/.ollama/models")
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_OLLAMA = "application/vnd.ollama.image."
_BESIDE = {
    "projector": "it is a projector (mmproj), which lets a model see, and not a model by itself",
    "adapter": "it is an adapter (LoRA), which changes a model, and not a model by itself",
}
_LONGEST_MANIFEST = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that may be a model.

    Args:
        path: absolute.
        name: what its owner calls it. A model name is made from this.
        origin: where it comes from, in words.
        sha256: the hash that its owner states; `None` if nobody does.
    """

    path: Path
    name: str
    origin: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """Something that was passed over.

    Args:
        path: the file or folder.
        reason: why, in a clause.
    """

    path: Path
    reason: str


def known_places(
    environment: Mapping[str, str], home: Path, *, shared_ollama: Path = _SHARED_OLLAMA
) -> Iterator[FoundFile | Passed]:
    """Model files that other programs keep on this machine.

    Args:
        environment: its variables say where those programs keep things.
        home: the person's home folder.
        shared_ollama: where Ollama keeps its models when it runs as a service.
    """

    def chosen(variable: str, *below: str) -> list[Path]:
        # Another program's variable: if it names a home folder that doesn't exist, there is simply nothing.
        named = os.path.expanduser(environment.get(variable, ""))  # noqa: PTH111
        return [Path(named, *below)] if named else []

    cache = (chosen("XDG_CACHE_HOME") or [home / ".cache"])[0]
    hub = chosen("HF_HUB_CACHE") or chosen("HUGGINGFACE_HUB_CACHE") or chosen("HF_HOME", "hub")
    places: list[tuple[Callable[[Path], Iterator[FoundFile | Passed]], list[Path]]] = [
        (_hugging_face, hub or [cache / "huggingface" / "hub"]),
        (_ollama, [*chosen("OLLAMA_MODELS"), home / ".ollama" / "models", shared_ollama]),
        (_lm_studio, [home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]),
        (_llama, [*chosen("LLAMA_CACHE"), cache / "llama.cpp", home / "Library" / "Caches" / "llama.cpp"]),
    ]
    for look, roots in places:
        for root in dict.fromkeys(roots):
            try:
                root.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                yield _unreadable(error)
            else:
                yield from look(root.absolute())


def in_folder(folder: Path, origin: str) -> Iterator[FoundFile | Passed]:
    """Every GGUF file in a folder and the folders below it. Links to files are followed, links to folders are not.

    Args:
        folder: where to look.
        origin: where the files come from, in words.
    """
    refused: list[OSError] = []
    for at, folders, files in os.walk(folder, onerror=refused.append):
        folders.sort()
        yield from (_unreadable(error) for error in refused)
        refused.clear()
        links = [link for name in folders if (link := Path(at, name)).is_symlink()]
        yield from (Passed(link, "it is a link to a folder, which is not followed") for link in links)
        yield from (in_file(Path(at, name), origin) for name in sorted(files) if name.lower().endswith(".gguf"))
    yield from (_unreadable(error) for error in refused)


def in_file(path: Path, origin: str, *, name: str = "") -> FoundFile | Passed:
    """A file that may be a model, unless its path shows that it isn't one.

    Args:
        path: absolute.
        origin: where it comes from, in words.
        name: what its owner calls it; by default the name of the file.
    """
    part = _PART.search(path.name)
    if part and int(part[2]) > 1:
        return Passed(path, f"it is part {int(part[1])} of {int(part[2])} of a model")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return Passed(path, "its path is not UTF-8")
    return FoundFile(path, name or path.name, origin)


def _lm_studio(root: Path) -> Iterator[FoundFile | Passed]:
    return in_folder(root, "LM Studio")


def _llama(root: Path) -> Iterator[FoundFile | Passed]:
    return in_folder(root, "llama.cpp's cache")


def _hugging_face(root: Path) -> Iterator[FoundFile | Passed]:
    """`models--OWNER--REPO/snapshots/COMMIT/FILE` are links to `blobs/HASH`, or files where links can't be made."""
    for repo in sorted(root.glob("models--*")):
        owner = repo.name.removeprefix("models--").replace("--", "/")
        yield from in_folder(repo / "snapshots", f"Hugging Face cache, {owner}")


def _ollama(root: Path) -> Iterator[FoundFile | Passed]:
    """`manifests/HOST/NAMESPACE/MODEL/TAG` say which of `blobs/sha256-HASH` a model is made of."""
    refused: list[OSError] = []
    for at, folders, files in os.walk(root / "manifests", onerror=refused.append):
        folders.sort()
        for file in sorted(files):
            path = Path(at, file)
            model = _ollama_name(path.relative_to(root / "manifests").parts)
            try:
                layers = list(_layers(path))
            except (ConfigError, ValueError, TypeError, KeyError, AttributeError):
                yield Passed(path, "it is not a manifest of Ollama's that can be read")
                continue
            for kind, sha256 in layers:
                blob = root / "blobs" / f"sha256-{sha256}"
                if kind == "model":
                    name = model.removeprefix("library/").removesuffix(":latest")
                    yield FoundFile(blob, name, f"Ollama {model}", sha256)
                elif kind in _BESIDE:
                    yield Passed(blob, f"{_BESIDE[kind]} (Ollama {model})")
    yield from (_unreadable(error) for error in refused)


def _ollama_name(parts: tuple[str, ...]) -> str:
    """Ollama's name of a model: `library/MODEL:TAG`, with the host first if it isn't Ollama's own."""
    *above, tag = parts
    own = above[:1] == ["registry.ollama.ai"]
    return f"{'/'.join(above[1:] if own else above)}:{tag}"


def _layers(manifest: Path) -> Iterator[tuple[str, str]]:
    """Kind and hash of each part that a manifest names."""
    content: Any = parse_json(read_bounded(manifest, _LONGEST_MANIFEST, "the manifest"), str(manifest))
    for layer in content["layers"]:
        digest = _DIGEST.fullmatch(layer["digest"])
        if layer["mediaType"].startswith(_OLLAMA) and digest is not None:
            yield layer["mediaType"].removeprefix(_OLLAMA), digest[1]


def _unreadable(error: OSError) -> Passed:
    return Passed(Path(os.fsdecode(error.filename)), f"it can't be read: {error.strerror}")
