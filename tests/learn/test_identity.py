"""Who answers: what a recorded answer belongs to."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rung import Cancel
from rung.errors import TierUnavailable
from rung.learn.cassette import key_of
from rung.learn.identity import Identity, identify
from rung.limits import Deadline
from rung.types import Call, Message, Sampling, Shape


def known(kind: str, **settings: object) -> Identity:
    return identify(kind, settings, cancel=Cancel())


def test_what_changes_an_answer_makes_another_identity_and_what_only_changes_its_speed_does_not() -> None:
    base = known("openai", model="m", base_url="http://127.0.0.1:1/v1")
    assert known("openai", model="m", base_url="http://127.0.0.1:1/v1", retries=5, price={"input": 1}) == base
    assert known("openai", model="m", base_url="http://127.0.0.1:2/v1") != base
    assert known("openai", model="other", base_url="http://127.0.0.1:1/v1") != base
    assert known("openai", model="m", base_url="http://127.0.0.1:1/v1", extra_body={"top_k": 1}) != base


def test_a_model_file_is_known_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    one, same, other = (tmp_path / f"{name}.gguf" for name in ("one", "same", "other"))
    for path, content in ((one, b"GGUF one"), (same, b"GGUF one"), (other, b"GGUF two")):
        path.write_bytes(content)
    found = known("llama", model=str(one))
    assert found.weights == hashlib.sha256(b"GGUF one").hexdigest()
    assert known("llama", model=str(same)).digest == found.digest
    assert known("llama", model=str(same), threads=1, slots=2, gpu_layers=0).digest == found.digest
    assert known("llama", model=str(same), chat_template="{{ messages }}").digest != found.digest
    assert known("llama", model=str(other)).digest != found.digest
    said = identify("llama", {"model": str(one)}, {"chat_template": "its hash"}, cancel=Cancel())
    assert said.digest != found.digest


def test_a_model_file_that_is_not_here_is_an_unavailable_tier(tmp_path: Path) -> None:
    with pytest.raises(TierUnavailable):
        known("llama", model=str(tmp_path / "absent.gguf"))


def test_of_another_packages_tier_every_setting_counts() -> None:
    assert known("theirs", slots=1) != known("theirs", slots=2)


def test_the_key_of_a_call_is_what_determines_its_answer() -> None:
    call = Call((Message("user", "Who?"),))
    key = key_of("tier", call)
    same = Call((Message("user", "Who?", reusable=True),), deadline=Deadline.after(9), cancel=Cancel(), rejected="no")
    assert key_of("tier", same) == key
    schema = {"type": "object", "properties": {"a": {}, "b": {}}}
    turned = {"type": "object", "properties": {"b": {}, "a": {}}}
    others = [
        Call((Message("user", "Who? "),)),
        Call((Message("system", "Who?"), Message("user", "Who?"))),
        Call((Message("user", "Who?"),), sampling=Sampling(0.5)),
        Call((Message("user", "Who?"),), sampling=Sampling(stop=("a",))),
        Call((Message("user", "Who?"),), max_tokens=5),
        Call((Message("user", "Who?"),), Shape("json", schema)),
        Call((Message("user", "Who?"),), Shape("json", turned)),
    ]
    keys = {key, key_of("another tier", call), *(key_of("tier", other) for other in others)}
    assert len(keys) == 2 + len(others)
