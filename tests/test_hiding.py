"""What is taken for a key is hidden whatever it is called, and what a configuration ordinarily says stays readable."""

from __future__ import annotations

import tomllib
from pathlib import Path

import rung
from helpers.each import each
from rung.hiding import HIDDEN, hide, hide_all, looks_like_key, variable

MODELS = Path(rung.__file__).parents[2] / "models"
HEX = "9217f5db79a29953eb74d5343926648285ec7e67"


@each(
    "key",
    [
        "sk-live-abc123",
        "sk-1",
        "sk_live_51abcDEF",
        "sk-ant-api03-abcdefghijklmnopqrst",
        "sk-proj-abcdefghijklmnopqrst",
        "rk_live_abc",
        "pk_test_abc",
        "csk-abcdef",
        "ghp_abcdefghijklmnopqrst",
        "github_pat_11ABCDEFG",
        "hf_abcdefgh",
        "gsk_abcdefgh",
        "xai-abcdefgh",
        "pplx-abcdefgh",
        "nvapi-abcdefgh",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA-1234567890abcdefghijklmno",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln",
        "Bearer abc123",
        "basic dXNlcjpwYXNz",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1",
        "3f8a" * 8,
        "4Hd82kSl29dKq8fJs7Al3kD9",
        "-----BEGIN PRIVATE KEY-----\nabc",
    ],
)
def test_a_key_is_hidden_whatever_it_is_called(key):
    assert looks_like_key(key)
    for shown in (hide(key), hide_all(key, "note"), hide_all({"x": [{"y": key}]}), hide_all({key: 1})):
        assert key not in str(shown)
    assert variable(key) == HIDDEN


@each(
    ("written", "shown"),
    [
        ("https://me:hunter2@api.example.com/v1", "https://(hidden)@api.example.com/v1"),
        ("https://token@api.example.com", "https://(hidden)@api.example.com"),
        ("https://h/v1?api_key=hunter2&v=2024-05-01", "https://h/v1?api_key=(hidden)&v=2024-05-01"),
        ("https://h/v1?sig=a%2Fb#token=x", "https://h/v1?sig=(hidden)#token=(hidden)"),
        ("https://h/v1?q=averylongvalueofnoshape", "https://h/v1?q=(hidden)"),
        ("http://h/sk-live-abcdefghijklmnop/v1", "http://h/(hidden)/v1"),
        ("socks5://a:b@proxy:1080", "socks5://(hidden)@proxy:1080"),
        ("use http://a:b@h/ or http://h/", "use http://(hidden)@h/ or http://h/"),
        ("the key sk-live-abcdefghijklmnop is old", "the key (hidden) is old"),
    ],
)
def test_of_a_url_or_a_sentence_only_the_secret_is_hidden(written, shown):
    assert hide(written) == shown


@each(
    "value",
    [
        "smollm2-135m",
        "qwen2.5-coder-1.5b",
        "gpt-5.4-mini",
        "gpt-4o-2024-08-06",
        "ft:gpt-4o-mini-2024-07-18:acme:custom:A9cd3fgh",
        "anthropic/claude-3-5-sonnet-20241022",
        "meta-llama/Llama-4-Scout-17B-16E-Instruct",
        "hf:ggml-org/gemma-3-1b-it-GGUF/gemma-3-1b-it-Q4_K_M.gguf",
        f"hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf@{HEX}",
        "bartowski/SmolLM2-135M-Instruct-GGUF",
        "DeepSeek-R1-0528-Qwen3-8B-Q4_K_M.gguf",
        f"sha256:{HEX}{HEX[:24]}",
        f"/home/ann/.cache/huggingface/hub/models--a--b/snapshots/{HEX}/x.gguf",
        f"~/models/sha256-{HEX}{HEX[:24]}.gguf",
        r"C:\models\x.gguf",
        "http://127.0.0.1:8000/v1",
        "https://api.example.com:8443/openai/deployments/gpt-4o/v1?api-version=2024-05-01",
        "http://[::1]:11434/v1",
        "basic",
        "a basic understanding",
        "sketch",
        "task-1",
        "risk-free",
        "OPENAI_API_KEY",
        "2026-11-26T04:00:00Z",
        "",
    ],
)
def test_what_a_configuration_ordinarily_says_stays(value):
    assert hide(value) == value
    assert hide_all(value, "model") == value


@each("name", ["OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET", "MY_KEY_2", "hf_token", "_x", "KEY"])
def test_the_name_of_a_variable_may_be_said(name):
    assert variable(name) == name


@each("name", ["sk-live-abc123", "sk_live_abc123", "MY KEY", "1KEY", "", "KEY\n", None, 5, ["KEY"]])
def test_what_is_not_the_name_of_a_variable_is_not_repeated(name):
    assert variable(name) == HIDDEN


@each("key", ["api_key", "auth_token", "Authorization", "client_secret", "passwd", "password", "cookie"])
def test_what_is_called_like_a_secret_is_hidden_whatever_its_shape(key):
    for value in ("hunter2", ["hunter2"], {"value": "hunter2"}):
        assert "hunter2" not in str(hide_all({key: value}))


def test_numbers_flags_and_settings_that_are_only_called_alike_stay():
    values = {"max_tokens": 7, "token_limit": "max_tokens", "stays_here": True, "price": {"input": 1.0}, "none": None}
    assert hide_all(values) == values
    assert hide_all({"api_key": {"env": "OPENAI_API_KEY"}}) == {"api_key": {"env": "OPENAI_API_KEY"}}


def _values(value, key=""):
    if isinstance(value, dict):
        for inner, item in value.items():
            yield from _values(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, key)
    else:
        yield key, value


def test_nothing_in_the_catalogue_is_taken_for_a_key():
    files = sorted(MODELS.rglob("*.toml"))
    found = [pair for file in files for pair in _values(tomllib.loads(file.read_text(encoding="utf-8")))]
    assert len(found) > 100
    assert [pair for pair in found if hide_all(pair[1], pair[0]) != pair[1]] == []


def test_a_long_text_is_looked_through_in_no_time():
    for text in ("a" * 200_000, "a1" * 100_000, "sk-" * 60_000, "http://" * 30_000, "?a=" * 60_000, "eyJ" * 60_000):
        hide(text)
