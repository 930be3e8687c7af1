"""The command: its subcommands, and the output and exit code where one fails."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from shlex import quote

import click

from guardgraph.cli.exit_code import ExitCode, code_of_error
from guardgraph.cli.output import write_json
from guardgraph.state import GuardgraphError, RunUnfinished, StorageCorrupt, ThreadBusy, UnknownThread, WrongKey

__all__ = ("cli", "main")

_UNWRITABLE = frozenset((errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC))
_COMMANDS = {
    "research": ("research:research_command", "Answer a question from documents, with citations."),
    "run": ("run:run_command", "Run a task through a graph of your own."),
    "resume": ("resume:resume_command", "Go on after a crash, with an answer, or with more."),
    "cancel": ("cancel:cancel_command", "End a run with what it has."),
    "threads": ("threads:threads_group", "Inspect and manage stored threads."),
    "effects": ("effects:effects_group", "Inspect and resolve side effects."),
    "board": ("board:board_group", "Inspect the boards that teams share."),
    "budget": ("budget:budget_group", "Show and set what a tenant or a thread may spend."),
    "reputation": ("reputation:reputation_group", "Inspect the reputation of bidders in auctions, or forget it."),
    "breakers": (
        "breakers:breakers_group",
        "List circuits of what fails too often, or close them.",
    ),
    "costs": ("costs:costs_command", "List what attempts have cost so far."),
    "graph": ("graph:graph_group", "Inspect graphs."),
    "eval": ("evals:eval_group", "Score graphs end to end."),
    "doctor": ("doctor:doctor_command", "Check the installation, the database and the keys."),
}
"""The module below `guardgraph.cli` and the name of each command, and the first line of its help."""


class _LazyGroup(click.Group):
    """The group of all commands; the module of each is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        return getattr(import_module(f"guardgraph.cli.{module}"), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='\b\nExample:\n  guardgraph research "How do I limit what a team spends?" docs README.md',
)
@click.version_option(package_name="guardgraph")
def cli() -> None:
    """Run guarded teams of agents, and inspect their runs.

    Exit codes: 0 an answer was written (maybe a degraded one), 1 error, 2 bad input or usage, 3 a guard left no answer
    (or the run was cancelled), 4 waiting for a human, 5 an eval got worse, 6 stored data is damaged, 130 stopped by
    Ctrl-C (it can be resumed).
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (those of the process by default) and return its exit code.

    An error of guardgraph's is one line on stderr, or one JSON object on stdout where `--json` is given; any other
    exception is raised. If stdout cannot be written, the error is one line on stderr, too.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _done(given, as_json="--json" in given)
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        with suppress(OSError):
            sys.stdout.close()  # or Python would fail once more at exit
        return _failed("", f"cannot write to stdout: {error.strerror}", ExitCode.ERROR, as_json=False)


def _done(given: list[str], *, as_json: bool) -> int:
    try:
        done = cli.main(given, prog_name="guardgraph", standalone_mode=False)
        return int(done) if isinstance(done, int) else 0
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except GuardgraphError as error:
        return _failed(type(error).__name__, _one_line(error) + _advice(error), code_of_error(error), as_json=as_json)
    except click.ClickException as error:
        if not as_json and isinstance(error, click.UsageError):
            error.show()
            return ExitCode.BAD_INPUT
        return _failed("UsageError", error.format_message(), ExitCode.BAD_INPUT, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return _failed("Interrupted", "stopped by Ctrl-C", ExitCode.INTERRUPTED, as_json=as_json)
    except BrokenPipeError:  # the reader of stdout has gone
        sys.stderr.close()
        return ExitCode.ERROR


def _failed(kind: str, message: str, code: ExitCode, *, as_json: bool) -> int:
    if as_json:
        write_json({"error": kind, "message": message})
    else:
        click.echo(f"guardgraph: {message}", err=True)
    return code


def _advice(error: GuardgraphError) -> str:
    """Return what to do about an error of the library in terms of the command."""
    match error:
        case WrongKey():
            return " (--key-file FILE, or GUARDGRAPH_KEY)"
        case RunUnfinished() | ThreadBusy():
            thread, waits = quote(error.thread_id), " --wait SECONDS" if isinstance(error, ThreadBusy) else ""
            return f" (`guardgraph resume {thread}{waits}`, `guardgraph cancel {thread}`)"
        case UnknownThread(has_checkpoints=False):
            return " (of another tenant: --tenant ID, or GUARDGRAPH_TENANT)"
        case StorageCorrupt(thread_id=str(name), checkpoint_id=str()):
            return f" (`guardgraph threads verify {quote(name)}`, `guardgraph threads repair {quote(name)}`)"
        case _:
            return ""


def _one_line(error: GuardgraphError) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
