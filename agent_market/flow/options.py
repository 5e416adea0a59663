"""Options that several commands have, named as Freqtrade names them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    list[Path] | None,
    typer.Option(
        "-c", "--config", help="Freqtrade config file; repeatable, later ones win. [config.json]"
    ),
]
DatadirOption = Annotated[
    Path | None, typer.Option("-d", "--datadir", help="Freqtrade data directory.")
]
UserdirOption = Annotated[
    Path | None, typer.Option("--userdir", "--user-data-dir", help="User data directory.")
]
StrategyOption = Annotated[str | None, typer.Option("-s", "--strategy", help="Strategy class.")]
FreqaimodelOption = Annotated[str | None, typer.Option(help="FreqAI model class.")]
TimerangeOption = Annotated[str | None, typer.Option(help="For example 20240101-20240401.")]
