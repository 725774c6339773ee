"""One page that holds its pictures in itself: no scripts, nothing to fetch, readable on paper and aloud."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

Alarm = Literal["fine", "doubt", "bad"]


class Alarming(str):
    """Words in a table that are not to be overlooked."""

    def __html__(self) -> str:
        """As templates write it."""
        return Markup('<strong class="alarming">{}</strong>').format(str(self))


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
        title: what it holds.
        header: names of the columns.
        rows: cells.
        folded: whether a reader must open it, as something long.
        note: how to read it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    note: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """A picture with words for those who see it and for those who do not.

    Attributes:
        png: the file.
        width: on the screen, in CSS pixels; a file with more pixels stays sharp on paper.
        caption: what to look for.
        alt: what it shows.
    """

    png: bytes
    width: int
    caption: str
    alt: str
    kind: ClassVar[str] = "picture"

    @property
    def uri(self) -> str:
        """The file as an address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Listing:
    """Text in a fixed pitch: a command, a file."""

    title: str
    text: str
    folded: bool = False
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Section:
    """A heading, and what stands below it."""

    title: str
    parts: Sequence[Table | Picture | Listing]
    text: str = ""


@dataclass(frozen=True)
class Page:
    """What a page says, the most important first.

    Attributes:
        title: what it is about.
        alarm: how the verdict looks.
        verdict: a sentence that sums up everything.
        reasons: what belongs to it, a sentence each.
        warnings: what a reader must know before using any number.
        sections: everything else; those without a part are left out.
    """

    title: str
    alarm: Alarm
    verdict: str
    reasons: Sequence[str]
    warnings: Sequence[str]
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The page as HTML. Every text is escaped."""
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(page=page)
