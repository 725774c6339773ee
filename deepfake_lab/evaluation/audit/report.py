"""An audit as people read it: tables on the terminal, and one page that holds its pictures in itself."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from deepfake_lab.data.files import write_whole
from deepfake_lab.evaluation.audit import plots
from deepfake_lab.evaluation.audit.audit import Audit, Shortcuts
from deepfake_lab.evaluation.audit.shortcuts import joint
from deepfake_lab.evaluation.audit.tables import (
    SHORTCUT_MARK,
    contents_table,
    overlap_table,
    shortcut_table,
    system_table,
    tables,
)
from deepfake_lab.evaluation.pages.document import markdown_table, picture
from deepfake_lab.evaluation.pages.html import Alarming, Page, Picture, Section, Table, render
from deepfake_lab.types import SPLITS, Split


def write_page(audit: Audit, path: Path) -> None:
    """Writes the page: one file that needs no other."""
    write_whole(path, render(_page(audit)))


def _page(audit: Audit) -> Page:
    """What the page says."""
    fit, reserved = all(one.fit for one in audit.verdicts), any(one.reserved for one in audit.verdicts)
    shortcuts: list[Table | Picture] = [_marked(shortcut_table(audit))]
    if audit.plain.probes:
        caption = "Below the line a classifier that hears nothing else tells real from fake: a shortcut."
        shortcuts.append(picture(plots.equal_errors(audit), caption, "Equal error rate of each cue"))
        shortcuts.append(_marked(system_table(audit)))
        shortcuts += [drawn for when, part in audit.parts for drawn in _distributions(part, when)]
    return Page(
        title=f"Audit of {audit.name}",
        alarm="bad" if not fit else "doubt" if reserved else "fine",
        verdict=" ".join(one.answer for one in audit.verdicts),
        reasons=[f"Not fit for {one.purpose}: {reason}" for one in audit.verdicts for reason in one.reasons],
        warnings=audit.reservations,
        sections=[
            Section("What was looked at", [contents_table(audit)], _scope(audit)),
            Section("Shortcuts", shortcuts),
            Section("Overlap", [overlap_table(audit)]),
        ],
    )


def _scope(audit: Audit) -> str:
    """How much was looked at, and how."""
    utterances = sum(part.bonafide + part.spoof for part in audit.contents)
    scope = f"{utterances:,} utterances, {len(audit.plain.cues):,} of them listened to"
    scope += f"; treatment: {audit.treatment}" if audit.treatment else ""
    return scope + (f"; overlap with {audit.against}" if audit.against else "")


def _marked(table: Table) -> Table:
    """A table whose shortcuts are not to be overlooked."""
    rows = [[Alarming(cell) if cell.endswith(SHORTCUT_MARK) else cell for cell in row] for row in table.rows]
    return Table(table.title, table.header, rows, note=table.note)


def _distributions(part: Shortcuts, when: str) -> list[Picture]:
    """The cues that part the classes best, where a split can be probed."""
    split = _deciding(part)
    if split is None:
        return []
    title = f"Distributions in {split}, {when}: the cues that part the classes best"
    return [picture(plots.distributions(part, split), f"{title}.", title)]


def _deciding(part: Shortcuts) -> Split | None:
    """The split whose cues are drawn: test, if it can be probed."""
    found = joint(part.probes)
    return next((split for split in reversed(SPLITS) if split in found), None)


def markdown(audit: Audit) -> str:
    """Verdicts and figures, for the tracking page of the run."""
    lines = [f"**{verdict.text}**\n" for verdict in audit.verdicts]
    lines += [f"- {reservation}" for reservation in audit.reservations]
    for table in tables(audit):
        lines += [f"\n**{table.title}**\n", markdown_table(table.header, table.rows), f"\n{table.note}"]
    return "\n".join(lines)


def print_audit(audit: Audit) -> None:
    """Prints tables and verdicts."""
    console = Console()
    for table in tables(audit, intervals=audit.treated is None):
        shown = RichTable(*table.header, title=table.title, title_justify="left")
        shown.columns[0].no_wrap = True
        for row in table.rows:
            shown.add_row(*row, style="bold red" if any(cell.endswith(SHORTCUT_MARK) for cell in row) else None)
        console.print(shown)
        console.print(f"{table.note}\n", style="dim", highlight=False, markup=False)
    for verdict in audit.verdicts:
        style = "bold red" if not verdict.fit else "yellow" if verdict.reserved else "green"
        console.print(verdict.text, style=style, highlight=False, markup=False)
    for reservation in audit.reservations:
        console.print(f"! {reservation}", style="yellow", highlight=False, markup=False)
