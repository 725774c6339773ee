"""`python -m deepfake_lab.report`: tables about what the lab holds and what runs have found."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from deepfake_lab.config import CONF, compose, launch, resolved
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.evaluation.cards import ModelCard

WHAT = ("models",)
"""The reports that there are."""


def report(composed: DictConfig) -> None:
    """Prints a report.

    Raises:
        LabError: there is no such report or model.
    """
    config = resolved(composed)
    if config["what"] not in WHAT:
        raise LabError(f"what={config['what']}: no such report. Choose from {', '.join(WHAT)}.")
    _report_models(config)


def _report_models(config: dict[str, Any]) -> None:
    """Model cards: every model with its usual front-end, unless some are named."""
    from rich.console import Console
    from rich.table import Table

    cards = list(_cards(config["models"] or sorted(path.stem for path in (CONF / "model").glob("*.yaml"))))
    sizes = list(cards[0][2].real_time_factor)
    names = ("front-end", "parameters", "MMAC / s", *(f"RTF, batch {size}" for size in sizes), "reach (s)")
    table = Table("model", *names, title=f"Models on this {cards[0][2].device}", title_justify="left")
    for column in table.columns:
        column.no_wrap = True
    for model, frontend, card in cards:
        cells = [f"{card.macs_per_second / 1e6:,.1f}", *(f"{card.real_time_factor[size]:.4f}" for size in sizes)]
        reach = "-" if math.isnan(card.receptive_field_s) else f"{card.receptive_field_s:.2f}"
        table.add_row(model, frontend, f"{card.parameters:,}", *cells, reach)
    Console(width=max(100, Console().width)).print(table)
    print(
        "MMAC / s: million multiply-accumulates for a second of audio, without Fourier transforms.\n"
        "RTF: time to score a window over the window's length.\n"
        "Reach: what convolutions hear around a frame; recurrences, attention and pooling hear the whole recording."
    )


def _cards(models: list[str]) -> Iterator[tuple[str, str, ModelCard]]:
    from rich.console import Console
    from rich.progress import track

    from deepfake_lab.checkpoint import build_detector
    from deepfake_lab.evaluation.cards import card_of

    for model in track(models, "measuring", console=Console(stderr=True), transient=True):
        composed = compose("run", [f"model={model}"])
        config: Any = OmegaConf.to_container(composed.model, resolve=True)
        frontend = str(config["frontend"]["_target_"]).rpartition(".")[2]
        yield model, frontend, card_of(build_detector(config))


def main() -> None:
    """Entry point."""
    launch("report", report)


if __name__ == "__main__":
    main()
