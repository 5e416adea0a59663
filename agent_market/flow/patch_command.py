"""What the commands that patch configurations have in common."""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.syntax import Syntax

from agent_market.flow import command_line
from agent_market.flow.patching import Plan, carry_out, require_consent

console = Console()

OutputOption = Annotated[
    Path | None, typer.Option(help="The patched copy. [<config>.patched.json beside it]")
]
InplaceOption = Annotated[
    bool, typer.Option("--inplace", help="Patch the file itself, and keep a backup.")
]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do not ask; refused where a person should look.")
]
UnderstandOption = Annotated[
    bool, typer.Option("--i-understand", help="With --yes: also what a person should look at.")
]
WhyOption = Annotated[str, typer.Option(help="For the audit trail.")]
WhoOption = Annotated[str | None, typer.Option(help="For the audit trail. [your user name]")]
ReloadOption = Annotated[
    bool, typer.Option("--reload", help="Let the running bot read its configuration again.")
]


def config_files(config: list[Path] | None) -> list[Path]:
    """Return the files that `-c` names, by default config.json."""
    return config or [Path("config.json")]


def copy_of(file: Path) -> Path:
    """Return where a patched copy goes: `config.json` -> `config.patched.json`."""
    return file.with_suffix(f".patched{file.suffix}")


def settle(plan: Plan, *, yes: bool, understood: bool, who: str | None, why: str) -> None:
    """Show a plan, ask, and carry it out."""
    show_change(plan.diff, plan.points)
    if plan.loses_comments:
        kept = "the backup keeps them" if plan.target == plan.source else "the original keeps them"
        say(f"Comments are not written; {kept}.")
    require_consent(plan.points, yes=yes, understood=understood, ask=ask)
    # Freqtrade takes seconds to import: only once it is needed
    from agent_market.bridge.config_check import check_config

    carry_out(plan, check_config, who=who or getpass.getuser(), why=why)
    say(f"Wrote {plan.target}.")


def reload(config: dict[str, Any]) -> None:
    """Let the running bot read its files again."""
    from agent_market.bridge.running_bot import reload_bot

    say(f"The bot says: {reload_bot(config)}")


def show_change(diff: str, points: Sequence[str]) -> None:
    """Print a diff and what a person should look at."""
    if diff:
        console.print(Syntax(diff, "diff", background_color="default", word_wrap=True))
    for point in points:
        say(f"Look: {point}")


def say(text: str) -> None:
    """Print one line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def ask(question: str) -> bool:
    """Ask on the terminal; the end of the input means no."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        return False


def run(app: Callable[[], None]) -> None:
    """Run a command line that checks configurations; what Freqtrade refuses is in our message."""
    logging.getLogger("freqtrade").setLevel(logging.CRITICAL + 1)
    command_line.run(app)
