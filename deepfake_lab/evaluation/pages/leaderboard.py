"""A leaderboard as people read it: the words, the picture and the tables, as Markdown and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from deepfake_lab.data.files import write_whole
from deepfake_lab.evaluation.bootstrap import bound_without_errors
from deepfake_lab.evaluation.breakdown import FEW_GROUPS
from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.leaderboard import Candidate, Leaderboard, in_words, to_frame
from deepfake_lab.evaluation.pages.document import duration, percent, picture, write_page
from deepfake_lab.evaluation.pages.html import Listing, Page, Section, Table
from deepfake_lab.evaluation.plots.style import BLUE, ORANGE

CAUTION: Final = (
    "The rows report what each detector is worth on test. Nothing may be chosen by them: whoever takes the first row "
    "has trained on test, and its figure promises too much. Choose by dev, which has chosen the epochs already."
)
CAPTION: Final = (
    "Mean of the seeds, whose number is in brackets, 95 % interval, and a tick for each seed. Hollow: shown to be "
    "worse than the first row. A full mark right of the dotted line is not shown to be worse."
)
COST: Final = (
    "Real-time factor: time to score one window alone on the CPU, over its length. Times are medians over the seeds, "
    "of the whole process: start, training, evaluation, report; processor time sums over cores and is disturbed less "
    "by other work on the machine. A run that was cut off and taken up again does not count."
)


def leaderboard_page(board: Leaderboard, title: str, left_out: Mapping[str, str], command: str) -> Page:
    """What a leaderboard says.

    Args:
        board: numbers.
        title: of the page.
        left_out: what was not tried, and why.
        command: which does it again.
    """
    verdict, *reasons = in_words(board)
    failed = [failure for one in board.candidates for failure in one.failures]
    drawn = [picture(figure(board), CAPTION, "EER of each detector with its interval")] if board.rows else []
    warnings = list(_warnings(board))
    return Page(
        title=title,
        alarm="doubt" if len(warnings) > 1 or not board.rows else "fine",
        verdict=verdict,
        reasons=reasons,
        warnings=warnings,
        sections=[
            Section("Results", [*drawn, _results(board)], _reading(board)),
            Section("Cost", [_costs(board)] if board.rows else [], COST),
            Section("Runs", [_runs(board)] if board.rows else []),
            Section(
                "Failed runs", [Listing(one.title, one.output) for one in failed], "retry=true takes them up again."
            ),
            Section("Left out", [Table("", ("what", "why"), list(left_out.items()))] if left_out else []),
            Section("Do it again", [Listing("", command)]),
        ],
    )


def write_leaderboard(board: Leaderboard, page: Page, folder: Path) -> None:
    """Leaves `leaderboard.md`, `leaderboard.html`, `leaderboard.csv` and the picture in a folder."""
    write_page(page, folder, "leaderboard")
    write_whole(folder / "leaderboard.csv", to_frame(board).to_csv(index=False))


def figure(board: Leaderboard) -> Figure:
    """EER on test of each row with its interval: of all systems, and of those that training lacks."""
    rows = board.rows
    drawn = Figure(figsize=(8.4, 1.6 + 0.5 * len(rows)), layout="constrained")
    axes = drawn.subplots()
    series = [("eer", "all systems", BLUE, "o", 0.0)]
    if board.unseen:
        series = [("eer", "all systems", BLUE, "o", -0.14), ("unseen", "unseen systems", ORANGE, "s", 0.14)]
    for name, label, colour, marker, shift in series:
        for place, row in enumerate(rows):
            value, (low, high) = row.estimates[name]
            axes.plot([100 * low, 100 * high], [place + shift] * 2, color=colour, linewidth=2)
            seeds = [100 * rate for rate in row.seeds[name]]
            axes.plot(seeds, [place + shift] * len(seeds), "|", color=colour, markersize=11, clip_on=False)
            (point,) = axes.plot(100 * value, place + shift, marker, color=colour, markeredgewidth=1.8, clip_on=False)
            point.set_markerfacecolor("white" if row.worse and name == "eer" else colour)
        axes.plot([], [], marker, color=colour, linestyle="-", linewidth=2, label=label)
    if any(row.worse for row in rows):
        axes.plot([], [], "o", color=BLUE, markerfacecolor="white", markeredgewidth=1.8, label="shown to be worse")
    axes.axvline(100 * rows[0].estimates["eer"].value, color="0.6", linewidth=1, linestyle=":", zorder=0)
    axes.set_yticks(range(len(rows)), [f"{row.candidate.name} ({len(row.candidate.trained)})" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("EER on test (%), mean of the seeds (their number) and 95 % interval")
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    drawn.legend(loc="outside upper center", ncols=3, frameon=False)
    return drawn


def _results(board: Leaderboard) -> Table:
    names = ("eer", "unseen") if board.unseen else ("eer",)
    unseen = ("EER %, unseen",) if board.unseen else ()
    header = ("detector", "seeds", "EER %", "against the first row", *unseen, "dev EER %", "minDCF", "Cllr (bits)")
    rows = []
    for row in board.rows:
        all_systems, *new = (percent(row.estimates[name]) for name in names)
        costs = (_plain(row.estimates[name]) for name in ("min_dcf", "cllr"))
        stands = row.verdict if row is not board.rows[0] else "-"
        name, done = row.candidate.name, _seeds(row.candidate)
        rows.append((name, done, all_systems, stands, *new, percent(row.estimates["dev"]), *costs))
    blank = ("-",) * (len(header) - 4)
    rows += [(one.name, _seeds(one), "-", "no run finished", *blank) for one in board.candidates if not one.trained]
    return Table("", header, rows)


def _warnings(board: Leaderboard) -> Iterator[str]:
    """What a reader must know before using a number."""
    yield CAUTION
    if failed := sum(len(one.failures) for one in board.candidates):
        yield f"{failed} runs failed, see below."
    if missing := [f"{one.name} ({left})" for one in board.candidates if (left := _left(one))]:
        yield f"Not done yet, with the number of runs: {', '.join(missing)}."
    if alone := [row.candidate.name for row in board.rows if len(row.candidate.trained) == 1]:
        yield f"One seed does not tell what another would give, so these intervals are too narrow: {', '.join(alone)}."
    if board.rows and board.groups < FEW_GROUPS:
        yield f"Test has {board.groups} groups of a class, fewer than {FEW_GROUPS}: intervals are too narrow."


def _reading(board: Leaderboard) -> str:
    """How to read the table."""
    said = [
        "On test, mean of the seeds, with 95 % intervals over seeds and trials together (bootstrap over groups, "
        "Student's distribution over seeds)."
    ]
    if len(board.rows) > 1:
        said.append(
            "Against the first row: difference of the EER in points over the same trials, and its p-value after Holm's "
            "correction; its interval is not corrected. The first row is first by some luck too, which lets the others "
            "look a little worse than they are."
        )
    if board.unseen:
        said.append(f"Unseen: {', '.join(board.unseen)}, against all bona fide trials.")
    if any(row.estimates[name].value == 0 for row in board.rows for name in ("eer", "unseen") if name in row.estimates):
        bound = 100 * bound_without_errors(board.groups)
        said.append(f"No error among {board.groups} groups says that the EER is below {bound:.1f} % (95 %).")
    return " ".join(said)


def _costs(board: Leaderboard) -> Table:
    header = ("detector", "parameters", "real-time factor", "training, wall", "training, processor")
    rows = []
    for row in board.rows:
        one = row.candidate
        times = [duration(one.median("wall_s")), duration(one.median("processor_s"))]
        rows.append((one.name, _number(one.parameters, ",.0f"), _number(one.real_time_factor, ".4f"), *times))
    return Table("", header, rows)


def _runs(board: Leaderboard) -> Table:
    rows = []
    for row in board.rows:
        for one, *found in zip(row.candidate.trained, row.seeds["eer"], row.seeds["dev"], strict=True):
            rates = [f"{100 * rate:.2f}" for rate in found]
            rows.append((one.run, *rates, duration(one.wall_s), duration(one.processor_s), one.link))
    header = ("run", "EER %", "dev EER %", "wall", "processor", "MLflow")
    return Table(f"{len(rows)} runs", header, rows, folded=True)


def _seeds(candidate: Candidate) -> str:
    done = len(candidate.trained)
    return str(done) if done == candidate.planned else f"{done} of {candidate.planned}"


def _left(candidate: Candidate) -> int:
    return candidate.planned - len(candidate.trained) - len(candidate.failures)


def _plain(estimate: Estimate) -> str:
    value, (low, high) = estimate
    return "-" if math.isnan(value) else f"{value:.3f} ({low:.2f} to {high:.2f})"


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
