"""What the world sends and what attacks showed, kind by kind, and the tests that hold each kind.

Behind `::` stands how the names of the tests begin, where a module has others, too.

| kind | what must hold | tests |
|---|---|---|
| 1 | what can be enforced is; what isn't is named | llama/test_enforced_kinds.py, llama/test_enforced_weights.py |
| 2 | a thought is not part of the answer | core/test_thoughts.py, llama/test_thinking.py |
| 3 | quoted is what a person would call the same text | core/test_quoting.py |
| 4 | numbers are decimal | core/test_numbers.py |
| 5 | formats mean to the decoder what they mean to the type | llama/test_enforced_weights.py |
| 6 | a schema given back is not an answer | core/test_echo.py |
| 7 | a check's words reach the model, and a check has limits | core/test_check_code.py, core/test_check_programs.py |
| 8 | one whole value with something around it is read | core/test_around.py |
| 9 | plain text is refused for little, and not at all on request | core/test_plain_text.py |
| 10 | a field called like the wrapping | core/test_contract.py::test_a_union_may_have |
| 10 | templates that take parts only, or write JSON | llama/test_prompt.py::test_a_template_that_takes_parts |
| 10 | decoder and validator agree on patterns | llama/test_enforced_kinds.py::test_decoder_and_validator_agree |
| 10 | more choices than the prompt has room for | core/test_many_choices.py |
| 11 | feedback doesn't lead astray | core/test_gate.py::test_each_hop_has_its_own_feedback |
| 12 | strict about the text, the end and the money only | openai_tier/test_quirks.py, openai_tier/test_compression.py |
| 13 | what an endpoint refused is left out and remembered | openai_tier/test_refusals.py |
| 15 | a deadline still gets an answer | core/test_share.py |
| 16 | short patience shuts no endpoint | openai_tier/test_breaker.py::test_impatient_callers |
| 17 | a failing endpoint is asked twice | openai_tier/test_refusals.py::test_a_broken_endpoint |
| 18 | a repair that costs is not made unasked | core/test_share.py::test_a_repair_that_costs |
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
| 33 | a draft is shown, marked and taken away | cli/test_cli_drafts.py |
| 34 | a sentence that helps | config/test_config_people.py, openai_tier/test_quirks.py::test_no_credit |
| 35 | a first call needn't wait for what can be loaded before | core/test_share.py::test_warm |
| 36 | a conversation over several commands | cli/test_cli_continue.py |

Harmed inputs of six sorts, without an end: test_fuzz.py.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from helpers.each import each

TESTS = Path(__file__).parent
ROWS = re.findall(r"^\| (\d+) \|.*\| ([\w/., :]+) \|$", __doc__, re.MULTILINE)


def test_every_kind_has_a_row():
    assert list(dict.fromkeys(int(kind) for kind, _ in ROWS)) == [*range(1, 14), *range(15, 19), *range(20, 37)]


@pytest.mark.slow
@each(("kind", "tests"), ROWS)
def test_every_kind_has_tests(kind, tests):
    for named in tests.split(", "):
        module, _, beginning = named.partition("::")
        tree = ast.parse((TESTS / module).read_text(encoding="utf-8"))
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert any(name.startswith(beginning or "test_") for name in names), named
