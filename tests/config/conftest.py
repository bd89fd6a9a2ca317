"""A person's configuration, in folders of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rung.config import Places

OUTSIDE = Path(__file__).parents[1] / "cli" / "outside"


@pytest.fixture
def places(tmp_path, monkeypatch) -> Places:
    for name in ("RUNG_REACH", "RUNG_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNG_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.syspath_prepend(str(OUTSIDE))
    working = tmp_path / "home" / "project" / "src"
    working.mkdir(parents=True)
    return Places(
        working=working,
        home=tmp_path / "home",
        user=tmp_path / "user" / "rung.toml",
        trusted=tmp_path / "data" / "trusted.json",
        policy=tmp_path / "etc" / "policy.toml",
    )
