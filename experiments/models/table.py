"""Tables and figure of the study: EER of every model and front-end, overall and on the unseen system.

Usage: python table.py FOLDER: the folder of `study.py`; prints Markdown, writes eer.png beside this script.
"""

import csv
import sys
from pathlib import Path

from matplotlib.figure import Figure
from study import FRONTENDS, MODELS, SEEDS, Job

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.evaluation.compare import compare, pooled_estimate
from deepfake_lab.evaluation.report import read_scores
from deepfake_lab.evaluation.scores import of_attacks

UNSEEN = "openprompts/piper"
USUAL = {"attention_crnn": "mel", "lcnn": "lfcc"}
HERE = Path(__file__).parent


def on(table, attack=None):
    """The test trials, or those of one system and all bona fide ones."""
    test = table[table["split"] == "test"]
    return test if attack is None else of_attacks(test, [attack])


class Row:
    """All seeds of a model and a front-end."""

    def __init__(self, folder, model, frontend, seeds=SEEDS):
        frontend = None if USUAL.get(model) == frontend else frontend
        jobs = [Job(model, frontend, seed) for seed in seeds]
        self.folders = [folder / job.name for job in jobs if (folder / job.name / "report" / "metrics.json").is_file()]
        self.tables = [read_scores(one) for one in self.folders]
        self.model = model

    @property
    def parameters(self):
        return sum(one.numel() for one in load_detector(self.folders[0] / "detector.ckpt").parameters())

    def estimate(self, attack=None):
        return pooled_estimate([on(table, attack) for table in self.tables])

    def minutes(self, times):
        spent = [times[one.name] for one in self.folders if one.name in times]
        return sum(spent) / len(spent) / 60

    def against(self, other, attack=None):
        """Difference of EER to another row, as a cell."""
        found, *_ = compare(*([on(table, attack) for table in row.tables] for row in (other, self)), measures=["eer"])
        mark = " **" if found.better else ""
        return f"{cell(found.difference, sign='+')}, p = {found.p_value:.3f}{mark}"


def cell(estimate, sign=""):
    value, (low, high) = estimate
    return f"{100 * value:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def print_table(header, rows):
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def draw(parts):
    """Intervals of EER, a panel a model."""
    figure = Figure(figsize=(8, 0.9 + 0.36 * sum(map(len, parts.values()))), layout="constrained")
    panels = figure.subplots(len(parts), 1, sharex=True, height_ratios=[len(rows) for rows in parts.values()])
    for axes, (title, rows) in zip(panels, parts.items(), strict=True):
        styles = (("all systems", None, "#0072B2", "o", -0.15), ("Piper (unseen)", UNSEEN, "#D55E00", "s", 0.15))
        for name, attack, colour, marker, shift in styles:
            found = [row.estimate(attack) for row in rows.values()]
            values = [100 * one.value for one in found]
            low, high = ([100 * max(one.interval[end], 0) for one in found] for end in (0, 1))
            error = [
                [max(v - b, 0) for v, b in zip(values, low, strict=True)],
                [max(b - v, 0) for v, b in zip(values, high, strict=True)],
            ]
            places = [place + shift for place in range(len(rows))]
            axes.errorbar(values, places, xerr=error, fmt=marker, color=colour, capsize=3, label=name)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_title(title, fontsize=11, loc="left")
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(left=-0.8)
    panels[-1].set_xlabel("EER on test (%), mean of seeds with 95 % interval")
    panels[0].legend(frameon=False, loc="upper right")
    figure.savefig(HERE / "eer.png", dpi=130)


def main():
    folder = Path(sys.argv[1])
    with (folder / "times.csv").open() as file:
        times = {name: float(cpu) for name, _, cpu in csv.reader(file)}
    models = {model: Row(folder, model, None) for model in MODELS}
    parts = {"usual front-ends": models}
    print("## Models, each with its usual front-end\n")
    print_table(
        ("model", "seeds", "EER, all systems", "EER, Piper (unseen)", "parameters", "processor time (min)"),
        [
            (
                name,
                len(row.tables),
                cell(row.estimate()),
                cell(row.estimate(UNSEEN)),
                f"{row.parameters:,}",
                f"{row.minutes(times):.1f}",
            )
            for name, row in models.items()
        ],
    )
    for model, usual in USUAL.items():
        seeds = SEEDS if model == "lcnn" else SEEDS[:1]  # as many of each front-end
        rows = {frontend: Row(folder, model, frontend, seeds) for frontend in FRONTENDS}
        rows = {frontend: row for frontend, row in rows.items() if row.tables}
        parts[model] = rows
        others = {frontend: row for frontend, row in rows.items() if frontend != usual}
        print(f"## {model}, by front-end\n")
        print_table(
            (
                "front-end",
                "seeds",
                "EER, all systems",
                f"minus {usual}",
                "EER, Piper (unseen)",
                f"minus {usual}",
                "processor time (min)",
            ),
            [
                (
                    frontend,
                    len(row.tables),
                    cell(row.estimate()),
                    row.against(rows[usual]) if frontend in others else "",
                    cell(row.estimate(UNSEEN)),
                    row.against(rows[usual], UNSEEN) if frontend in others else "",
                    f"{row.minutes(times):.1f}",
                )
                for frontend, row in rows.items()
            ],
        )
    draw(parts)


if __name__ == "__main__":
    main()
