"""An audit as people read it: tables on the terminal, and one page that holds its pictures in itself."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Final

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table as RichTable

from deepfake_lab.data.files import whole
from deepfake_lab.evaluation.audit import plots
from deepfake_lab.evaluation.audit.audit import Audit, Shortcuts
from deepfake_lab.evaluation.audit.shortcuts import joint
from deepfake_lab.evaluation.audit.tables import (
    SHORTCUT_MARK,
    Table,
    contents_table,
    overlap_table,
    shortcut_table,
    system_table,
    tables,
)
from deepfake_lab.types import SPLITS, Split

_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .3rem; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #d0d7de; padding-bottom: .2rem; }
.verdict { border-left: .4rem solid; padding: .5rem 1rem; margin: .7rem 0; background: #f6f8fa; }
.no { border-color: #d1242f; } .but { border-color: #bf8700; } .yes { border-color: #1a7f37; }
.verdict ul { margin: .2rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #d8dee4; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.shortcut { background: #ffebe9; font-weight: 600; }
.note { color: #57606a; font-size: .9rem; }
img { max-width: 100%; height: auto; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="note">$subtitle</p>
$verdicts
$body
</body>
</html>
""")


def write_page(audit: Audit, path: Path) -> None:
    """Writes the page: one file that needs no other."""
    subtitle = "".join(
        [
            f"{sum(part.bonafide + part.spoof for part in audit.contents):,} utterances, ",
            f"{len(audit.plain.cues):,} of them listened to",
            f"; treatment: {audit.treatment}" if audit.treatment else "",
            f"; overlap with {audit.against}" if audit.against else "",
        ]
    )
    body = [_html_table(contents_table(audit)), _html_table(shortcut_table(audit))]
    if audit.plain.probes:
        body.append(_image(plots.equal_errors(audit), "Equal error rate of each cue"))
        body.append(_html_table(system_table(audit)))
        body += [_distributions(part, when) for when, part in audit.parts]
    body.append(_html_table(overlap_table(audit)))
    page = _PAGE.substitute(
        title=html.escape(f"Audit of {audit.name}"),
        subtitle=html.escape(subtitle),
        verdicts=_verdicts(audit),
        body="\n".join(body),
    )
    with whole(path) as partial:
        partial.write_text(page, encoding="utf-8")


def markdown(audit: Audit) -> str:
    """Verdicts and figures, for the tracking page of the run."""
    lines = [f"**{verdict.text}**\n" for verdict in audit.verdicts]
    lines += [f"- {reservation}" for reservation in audit.reservations]
    for table in tables(audit):
        lines += [f"\n**{table.title}**\n", _line(table.header), _line(("---",) * len(table.header))]
        lines += [*map(_line, table.rows), f"\n{table.note}"]
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


def _deciding(part: Shortcuts) -> Split | None:
    """The split whose cues are drawn: test, if it can be probed."""
    found = joint(part.probes)
    return next((split for split in reversed(SPLITS) if split in found), None)


def _distributions(part: Shortcuts, when: str) -> str:
    split = _deciding(part)
    if split is None:
        return ""
    title = f"Distributions in {split}, {when}: the cues that part the classes best"
    return f"<h2>{html.escape(title)}</h2>\n{_image(plots.distributions(part, split), title)}"


def _verdicts(audit: Audit) -> str:
    blocks = []
    for verdict in audit.verdicts:
        kind = "no" if not verdict.fit else "but" if verdict.reserved else "yes"
        answer = f"<strong>{html.escape(verdict.answer)}</strong>"
        because = f" Because{_list(verdict.reasons)}" if verdict.reasons else ""
        blocks.append(f'<div class="verdict {kind}">{answer}{because}</div>')
    if audit.reservations:
        blocks.append(f"<h2>Reservations</h2>{_list(audit.reservations)}")
    return "\n".join(blocks)


def _list(entries: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(entry)}</li>' for entry in entries)}</ul>"


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header)
    rows = "\n".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in table.rows)
    return (
        f"<h2>{html.escape(table.title)}</h2>\n"
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n'
        f'<p class="note">{html.escape(table.note)}</p>'
    )


def _html_cell(cell: str) -> str:
    kind = ' class="shortcut"' if cell.endswith(SHORTCUT_MARK) else ""
    return f"<td{kind}>{html.escape(cell)}</td>"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _image(figure: Figure, description: str) -> str:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    data = base64.b64encode(picture.getvalue()).decode()
    return f'<p><img src="data:image/png;base64,{data}" alt="{html.escape(description)}"></p>'
