"""Redaction from a file."""

from __future__ import annotations

import pytest
from config_files import SMALL, project, put

from rung.config import load
from rung.errors import ConfigError
from rung.redaction import redact

ON = "redact = true\n"


@pytest.mark.parametrize(
    ("top", "tier", "masks"),
    [("", "", False), (ON, "", True), ("", ON, True), (ON, "redact = false\n", False)],
)
def test_a_tier_masks_as_its_table_says_else_as_the_file_says(places, top, tier, masks):
    put(places.user, top + SMALL + tier)
    (rung,) = load(places=places).ladder().rungs
    assert rung.redactor is (redact if masks else None)


def test_a_project_that_nobody_trusts_can_turn_redaction_on_and_not_off(places):
    put(places.user, "redact = true\n" + SMALL)
    project(places, "redact = false\n", trusted=False)
    config = load(places=places)
    assert config.redact.value is True
    with pytest.raises(ConfigError, match="set redact = false"):
        config.ladder()
    put(places.user, SMALL)
    project(places, ON, trusted=False)
    assert load(places=places).redact.value is True
