"""A page also as Markdown and on a terminal, for what is read in a repository and printed by a command."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from markupsafe import Markup
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table as RichTable

from deepfake_lab.data.files import write_whole
from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.pages.html import Page, Picture, Section, Table, render

_WIDE: Final = 140  # columns of a terminal below which tables would be torn
_DPI: Final = 144
_CSS_DPI: Final = 96


class Link(str):
    """Words in a table that lead somewhere."""

    address: str

    def __new__(cls, text: str, address: str) -> Link:
        """Words, and where they lead."""
        link = super().__new__(cls, text)
        link.address = address
        return link

    def __html__(self) -> str:
        """As templates write it."""
        return Markup('<a href="{}">{}</a>').format(self.address, str(self))


def picture(figure: Figure, caption: str, alt: str) -> Picture:
    """A figure as a part of a page."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return Picture(file.getvalue(), round(figure.get_figwidth() * _CSS_DPI), caption, alt)


def write_page(page: Page, folder: Path, name: str) -> None:
    """Leaves `NAME.html`, `NAME.md` and, for the latter, the pictures in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, part in _pictures(page, name):
        write_whole(folder / file, part.png)
    for suffix, text in ((".html", render(page)), (".md", to_markdown(page, name))):
        write_whole(folder / f"{name}{suffix}", text)


def to_markdown(page: Page, name: str) -> str:
    """The page as Markdown, with the pictures that `write_page` leaves under a name."""
    files = {id(part): file for file, part in _pictures(page, name)}
    lines = [f"# {page.title}", f"**{page.verdict}**", " ".join(page.reasons), _listed(page.warnings)]
    for section in filter(_has_parts, page.sections):
        lines += [f"## {section.title}", section.text]
        for part in section.parts:
            match part:
                case Table():
                    lines += [part.title, markdown_table(part.header, part.rows), part.note]
                case Picture():
                    lines += [f"![{part.alt}]({files[id(part)]})", part.caption]
                case _:
                    lines += [part.title, f"```\n{part.text}\n```"]
    return "\n\n".join(line for line in lines if line) + "\n"


def print_page(page: Page) -> None:
    """Prints the page, without the pictures and what is folded."""
    console = Console()
    console = console if console.width >= _WIDE else Console(width=_WIDE)
    console.print(page.verdict, style="bold", highlight=False, markup=False)
    for text in page.reasons:
        console.print(text, highlight=False, markup=False)
    for text in page.warnings:
        console.print(f"! {text}", style="yellow", highlight=False, markup=False)
    for section in filter(_has_parts, page.sections):
        parts = [part for part in section.parts if not isinstance(part, Picture) and not part.folded]
        for part in parts:
            if isinstance(part, Table):
                table = RichTable(*part.header, title=section.title, title_justify="left")
                for row in part.rows:
                    table.add_row(*row)
                console.print(table)
            else:
                console.print(f"{part.title}\n{part.text}", highlight=False, markup=False, soft_wrap=True)
        if parts and section.text:
            console.print(f"{section.text}\n", style="dim", highlight=False, markup=False)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown; the first column names the rows."""
    lines = [header, ("---", *["---:"] * (len(header) - 1)), *([_cell(one) for one in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(estimate: Estimate, digits: int = 2) -> str:
    """An error rate and its interval in per cent."""
    value, (low, high) = estimate
    return "-" if math.isnan(value) else f"{100 * value:.{digits}f} ({100 * low:.1f} to {100 * high:.1f})"


def points(estimate: Estimate) -> str:
    """A difference of error rates and its interval, in points."""
    return percent(estimate, digits=1)


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if math.isnan(seconds):
        return "-"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _has_parts(section: Section) -> bool:
    return bool(section.parts)


def _pictures(page: Page, name: str) -> Iterator[tuple[str, Picture]]:
    """Pictures of a page and the names of their files."""
    found = [part for section in page.sections for part in section.parts if isinstance(part, Picture)]
    for number, part in enumerate(found):
        yield (f"{name}.png" if len(found) == 1 else f"{name}-{number}.png"), part


def _listed(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _cell(text: str) -> str:
    return f"[{text}]({text.address})" if isinstance(text, Link) else text.replace("|", r"\|")
