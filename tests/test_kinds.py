"""What attacks on rung showed, kind by kind, and the tests that hold each kind.

| kind | what must hold | tests |
|---|---|---|
| 20 | all that runs on answers and schemas can be stopped | core/test_stoppable.py, core/test_one_way.py |
| 21 | a bad call ends no worker for others | llama/test_bad_calls.py, llama/test_wrong_frames.py, core/test_values.py |
| 22 | a worker that is stopped or wedged is found and replaced | llama/test_wedged_workers.py, llama/test_lanes.py |
| 23 | a file that is named is an ordinary one of bounded size | core/test_files.py, cli/test_cli_files.py |
| 24 | a stdin that nobody closes is named and given up | cli/test_cli_stdin.py |
| 25 | misuse is a sentence | core/test_misuse.py, core/test_values.py |
| 26 | a host has one spelling, a peer is judged | test_hosts.py, openai_tier/test_edges.py, test_guard.py |
| 27 | a kit touches nothing outside its target, and checking it runs none of it | bundle/test_hostile_kits.py |
| 28 | a policy that can't be read is a refusal | config/test_config_edges.py |
| 29 | keys are repeated nowhere | test_hiding.py, config/test_config_edges.py, llama/test_worker_environment.py |
| 30 | money at its edges | openai_tier/test_edges.py, ledger/test_ledger_file.py |
| 31 | a schema that can't be checked is a ContractError | core/test_stoppable.py |
| 32 | checks are bounded, terminals aren't steered | core/test_check_programs.py, cli/test_cli_text.py |

Harmed inputs of six sorts, without an end: test_fuzz.py.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROWS = re.findall(r"^\| (\d+) \|.*\| ([\w/., ]+) \|$", __doc__, re.MULTILINE)


def test_every_kind_has_a_row():
    assert [int(kind) for kind, _ in ROWS] == list(range(20, 33))


@pytest.mark.parametrize(("kind", "modules"), ROWS)
def test_every_kind_has_tests(kind, modules):
    for module in modules.split(", "):
        tree = ast.parse((TESTS / module).read_text(encoding="utf-8"))
        assert any(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in tree.body), module
