"""`rung config`."""

from __future__ import annotations

import json

import pytest

FAR = """
reach = "internet"

[[tier]]
name = "cloud"
kind = "openai"
model = "m"
api_key = { env = "CLOUD_KEY" }
base_url = "https://api.example.com/v1"
"""


def test_every_value_is_shown_with_where_it_came_from(program):
    (program.work / "rung.toml").write_text(
        '[budget]\nseconds = 5\n[[tier]]\nname = "a"\nkind = "llama"\nmodel = "m"\n'
    )
    done = program("config", "show", RUNG_REACH="host")
    lines = {line.split(" = ")[0]: line for line in done.stdout.decode().splitlines()}
    assert done.returncode == 0
    assert lines["reach"].endswith("# default")
    assert lines["budget.seconds"].endswith(f"# project file {program.work / 'rung.toml'}")
    assert lines["tier.a.model"].startswith('tier.a.model = "m"')
    assert lines["models"].endswith("# environment RUNG_MODELS_DIR")


def test_the_same_is_there_as_json(program):
    config = program.config(FAR)
    found = json.loads(program("config", "show", "--config", config, "--json").stdout)
    assert found["values"]["reach"] == {"value": "internet", "from": f"named file {config}"}
    assert found["files"] == [{"path": config, "layer": "named file", "trusted": True}]


def test_no_secret_is_ever_shown(program):
    table = """api_key = "sk-1"
extra_body = { nested = { auth_token = "sk-2" }, headers = [{ Authorization = "sk-3" }] }
base_url = "https://me:sk-4@api.example.com/v1"
max_tokens = 7
"""
    config = program.config('[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\n' + table)
    for more in ([], ["--json"]):
        done = program("config", "show", "--config", config, *more)
        assert done.returncode == 0
        assert b"sk-" not in done.stdout + done.stderr
        assert b"max_tokens" in done.stdout


@pytest.mark.slow
def test_a_key_is_hidden_by_its_shape_whatever_it_is_called_and_wherever_it_stands(program):
    key = "sk-live-CANARY123"
    table = f"""model = "{key}"
base_url = "https://host/v1?sig={key}"
api_key = {{ env = "{key}" }}
proxy = "http://me:{key}@proxy:3128"
extra_body = {{ note = "{key}", list = ["{key}"], "{key}" = 1, url = "https://{key}@host/" }}
"""
    config = program.config(f'[[tier]]\nname = "{key}"\nkind = "openai"\n{table}')
    for more in ([], ["--json"]):
        done = program("config", "show", "--config", config, *more)
        assert done.returncode == 0
        assert b"CANARY" not in done.stdout + done.stderr
        assert b"which is not the name of a variable" in done.stdout
    for command in (["doctor", "--quick"], ["ask", "Who?"], ["tiers"]):
        done = program(*command, "--config", config)
        assert b"CANARY" not in done.stdout + done.stderr


def test_what_is_no_key_is_shown_as_it_stands(program):
    pin = "9217f5db79a29953eb74d5343926648285ec7e67"
    model = f"hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf@{pin}"
    config = program.config(f'[[tier]]\nname = "c"\nkind = "llama"\nmodel = "{model}"\n')
    found = json.loads(program("config", "show", "--config", config, "--json").stdout)
    assert found["values"]["tier.c.model"]["value"] == model


def test_a_key_is_shown_by_the_name_of_its_variable_and_whether_it_is_set(program):
    config = program.config(FAR)
    assert b"$CLOUD_KEY (not set)" in program("config", "show", "--config", config).stdout
    shown = program("config", "show", "--config", config, CLOUD_KEY="sk-1").stdout
    assert b"$CLOUD_KEY (set)" in shown
    assert b"sk-1" not in shown


def test_an_untrusted_project_is_refused_with_what_it_asks_for_and_the_command_that_trusts_it(program):
    path = program.work / "rung.toml"
    path.write_text(FAR)
    done = program("ask", "Who?")
    assert (done.returncode, done.stdout) == (2, b"")
    for word in (str(path), 'reach = "internet"', "CLOUD_KEY", f"rung config trust {path}"):
        assert word in done.stderr.decode()
    shown = program("config", "show")
    assert b'reach = "host"' in shown.stdout
    assert b"is not trusted" in shown.stderr
    trusted = program("config", "trust")
    assert trusted.returncode == 0
    assert b"api.example.com:443" in trusted.stderr
    assert b'reach = "internet"' in program("config", "show").stdout
    assert program("ask", "Who?").returncode != 2
    path.write_text(FAR + "# changed\n")
    assert program("ask", "Who?").returncode == 2


def test_a_file_elsewhere_can_be_trusted_by_its_path(program):
    (program.work / "sub").mkdir()
    (program.work / "sub" / "rung.toml").write_text(FAR)
    done = program("config", "trust", "sub/rung.toml", "--json")
    found = json.loads(done.stdout)
    assert found["path"] == str(program.work / "sub" / "rung.toml")
    assert any("CLOUD_KEY" in grant for grant in found["grants"])


def test_there_must_be_something_to_trust(program):
    done = program("config", "trust")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"no rung.toml" in done.stderr


def test_what_json_doesnt_have_is_shown_as_text(program):
    odd = "m = 1979-05-27\nn = [07:32:00, nan]\no = { p = inf, q = 1979-05-27T07:32:00Z }\n"
    config = program.config(f'[[tier]]\nname = "t"\nkind = ""\n{odd}')
    done = program("config", "show", "--config", config, "--json")
    assert done.returncode == 0, done.stderr

    def refuse(word):
        raise AssertionError(word)

    values = json.loads(done.stdout, parse_constant=refuse)["values"]
    assert values["tier.t.m"]["value"] == "1979-05-27"
    assert values["tier.t.n"]["value"] == ["07:32:00", "nan"]
    assert values["tier.t.o"]["value"] == {"p": "inf", "q": "1979-05-27 07:32:00+00:00"}
    assert b'tier.t.m = "1979-05-27"' in program("config", "show", "--config", config).stdout


def test_the_tiers_stand_between_the_models_sources_and_what_the_system_says(program):
    config = program.config('[[tier]]\nname = "t"\nkind = "llama"\nmodel = "m"\n')
    keys = list(json.loads(program("config", "show", "--config", config, "--json").stdout)["values"])
    assert keys[-4:] == ["tier.t.kind", "tier.t.model", "models", "models.catalogue"]
    assert "models.packages" in keys[:-4]
