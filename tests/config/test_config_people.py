"""What people write into a configuration, and the sentence that helps them.

| kind | tests |
|---|---|
| 34: paths of Windows | `test_a_path_of_windows_...` |
| 34: a byte order mark | `test_a_byte_order_mark_...` |
| 34: a branch, an address of the hub as a model | `test_a_branch_...`, `test_an_address_...` |
"""

from __future__ import annotations

import pytest
from config_files import project

from helpers.each import each
from rung.config import load
from rung.errors import ConfigError, StoreError
from rung.parsing import parse_toml
from rung.store import resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@each(
    "path",
    [
        r"C:\models\x.gguf",
        r"C:\Users\me\x.gguf",
        r"C:\temp\new.gguf",
        r"C:\new",
        r"models\tiny.gguf",
        r"D:\best\file.gguf",
    ],
)
def test_a_path_of_windows_in_double_quotes_is_told_of_single_quotes(path):
    with pytest.raises(ConfigError, match="single quotes"):
        parse_toml(f'model = "{path}"'.encode(), "rung.toml")
    assert parse_toml(f"model = '{path}'".encode(), "rung.toml") == {"model": path}


@each("text", ["Q:\nA: {x}", "Be brief.\nThank you.", "a\tb", "x: y\n", "One file:\nx.gguf, please."])
def test_a_text_of_several_lines_is_no_path(text):
    written = text.replace("\n", "\\n").replace("\t", "\\t")
    assert parse_toml(f'system = "{written}"'.encode(), "rung.toml") == {"system": text}


def test_a_byte_order_mark_is_left_out(places):
    project(places, '\ufeffreach = "lan"\n', trusted=True)
    assert load(places=places).reach.value.name == "LAN"


def test_a_branch_in_the_place_of_a_commit_is_told_what_to_write_and_where_it_stands():
    with pytest.raises(StoreError) as raised:
        resolve("hf:owner/repo/file.gguf@main")
    assert "can move" in str(raised.value)
    assert "instead of 'main'" in raised.value.hint
    assert "https://huggingface.co/owner/repo/commits/main" in raised.value.hint


@each(
    ("address", "says"),
    [
        ("https://huggingface.co/owner/repo/resolve/main/file.gguf", "hf:owner/repo/file.gguf@COMMIT"),
        ("https://huggingface.co/owner/repo/blob/main/q/file.gguf", "hf:owner/repo/q/file.gguf@COMMIT"),
        (f"https://huggingface.co/owner/repo/resolve/{COMMIT}/file.gguf", f"hf:owner/repo/file.gguf@{COMMIT}"),
        ("https://huggingface.co/owner/repo", "hf:owner/repo/FILE.gguf@COMMIT"),
        ("https://huggingface.co/owner/repo/resolve/main/file.gguf?download=true", "hf:owner/repo/file.gguf@COMMIT"),
        ("huggingface.co/owner/repo", "hf:owner/repo/FILE.gguf@COMMIT"),
        ("hf.co/owner/repo:Q4_K_M", "hf:owner/repo/FILE.gguf@COMMIT"),
        ("http://127.0.0.1:8000/v1", "base_url"),
        ("https://example.org/file.gguf", "base_url"),
    ],
)
def test_an_address_in_the_place_of_a_model_is_told_how_models_are_named(address, says):
    with pytest.raises(StoreError) as raised:
        resolve(address)
    assert says in raised.value.hint


def test_an_address_is_not_repeated_because_it_may_hold_a_key():
    with pytest.raises(StoreError) as raised:
        resolve("https://me:hf_CANARY@huggingface.co/owner/repo/resolve/main/file.gguf?token=CANARY")
    assert "CANARY" not in str(raised.value)
