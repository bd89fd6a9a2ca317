"""The bill of materials of a kit, as CycloneDX 1.6 JSON, and the licence texts that its wheels carry.

Nothing in it depends on when or where the kit was made. The serial number is derived from the components.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from rung.bundle.wheels import LLAMA, Wheel
from rung.config.lock import LockedTier

_LICENCE = re.compile(r"[^/]+\.dist-info/(?:licenses/(?P<new>.+)|(?P<old>(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*))")
_HUB = re.compile(r"hf:(?P<owner>[^/]+)/(?P<repo>[^/]+)/.+@(?P<revision>[0-9a-f]{40})")
_INDEX = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)")
_SPDX = re.compile(r"[\w.+-]+")


def bill(wheels: Sequence[Wheel], tiers: Sequence[LockedTier], commit: str | None) -> bytes:
    """The bill of materials.

    Args:
        wheels: wheels of the kit.
        tiers: tiers whose weights the kit has.
        commit: commit of the llama.cpp in llama-cpp-python; `None` if nobody knows.
    """
    components = [_package(wheel, commit) for wheel in wheels]
    components += [_weights(tier) for tier in {tier.sha256: tier for tier in tiers}.values()]
    mark = hashlib.sha256(json.dumps(components, sort_keys=True).encode()).hexdigest()
    version = next(wheel.version for wheel in wheels if wheel.name == "rung")
    values = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, mark)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "kit", "name": "rung-kit", "version": version}},
        "components": components,
    }
    return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def licences(wheels: Iterable[Wheel]) -> dict[str, bytes]:
    """The licence texts in the wheels, by path."""
    found = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel.path) as archive:
            for name in archive.namelist():
                match = _LICENCE.fullmatch(name)
                if match and not name.endswith("/"):
                    found[f"licences/{wheel.name}/{match['new'] or match['old']}"] = archive.read(name)
    return found


def _package(wheel: Wheel, commit: str | None) -> dict[str, Any]:
    purl = f"pkg:pypi/{wheel.name}@{wheel.version}"
    component = {
        "type": "library",
        "bom-ref": purl,
        "name": wheel.name,
        "version": wheel.version,
        "purl": purl,
        "hashes": _hashes(hashlib.sha256(wheel.path.read_bytes()).hexdigest()),
        "licenses": _licences(wheel),
    }
    if wheel.name == LLAMA and commit:
        component["components"] = [_llama_cpp(commit)]
    return component


def _llama_cpp(commit: str) -> dict[str, Any]:
    # a build from a source archive reports its version as dirty
    purl = f"pkg:github/ggml-org/llama.cpp@{commit.removesuffix('-dirty')}"
    licences = [{"license": {"id": "MIT"}}]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": "llama.cpp",
        "version": commit,
        "purl": purl,
        "licenses": licences,
    }


def _licences(wheel: Wheel) -> list[dict[str, Any]]:
    expression = wheel.metadata["License-Expression"]
    if expression:
        return [{"expression": expression}]
    text = str(wheel.metadata["License"] or "").strip()
    # some packages put the whole text into this field
    names = [text] if text and len(text) < 80 else []
    classified = (str(it).split(" :: ") for it in wheel.metadata.get_all("Classifier", []))
    names = names or [parts[-1] for parts in classified if parts[0] == "License"]
    return [{"license": {"name": name}} for name in names]


def _weights(tier: LockedTier) -> dict[str, Any]:
    hub, index = _HUB.fullmatch(tier.source), _INDEX.search(tier.source)
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"sha256:{tier.sha256}",
        "name": tier.model,
        "hashes": _hashes(tier.sha256),
        "properties": [{"name": "rung:source", "value": tier.source}],
    }
    if tier.licence:
        component["licenses"] = [{"license": {("id" if _spdx(tier.licence) else "name"): tier.licence}}]
    if hub:
        component |= {
            "publisher": hub["owner"],
            "version": hub["revision"],
            "purl": f"pkg:huggingface/{quote(hub['owner'])}/{quote(hub['repo'])}@{hub['revision']}",
        }
    elif index:
        component |= {
            "publisher": index["name"],
            "version": index["version"],
            "purl": f"pkg:pypi/{index['name']}@{index['version']}",
        }
    return component


def _spdx(licence: str) -> bool:
    return bool(_SPDX.fullmatch(licence)) and not licence.startswith("LicenseRef-")


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]
