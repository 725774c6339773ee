"""What the measurements share: taking turns, the table, the numbers as JSON, the exit status, the machine in words."""

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple


class Measurement(NamedTuple):
    """One figure and the bound that it has to keep.

    Attributes:
        what: what was measured.
        value: ratio, time or memory.
        unit: "x" for a ratio, "s" for a time, "MB" or "GB" for memory.
        bound: largest value allowed (smallest, where `at_least`); None where a figure is there to compare with.
        at_least: whether more is better.
        figures: the times or rates behind the value, for people.
    """

    what: str
    value: float
    unit: str
    bound: float | None = None
    at_least: bool = False
    figures: str = ""

    @property
    def verdict(self):
        """`ok`, `FAIL`, or nothing where there is no bound."""
        if self.bound is None:
            return ""
        return "ok" if (self.value >= self.bound if self.at_least else self.value <= self.bound) else "FAIL"


def run_config(overrides):
    """The configuration of `python -m deepfake_lab.run` with these overrides, as plain containers."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from deepfake_lab.config import compose, resolved

    composed = compose("run", overrides, with_hydra=True)
    HydraConfig.instance().set_config(composed)
    with open_dict(composed):
        del composed["hydra"]
    return resolved(composed)


def medians(candidates, repeats, warm_up=2):
    """Median time of each candidate in s. They take turns, so that whatever else the machine does slows all alike."""
    times = {name: [] for name in candidates}
    for _ in range(warm_up + repeats):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            candidate()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[warm_up:]) for name, values in times.items()}


def neighbours(mine, others):
    """Median ratio of figures that took turns, which a drift of the machine's speed changes least; its range."""
    ratios = [one / other for one, other in zip(mine, others, strict=True)]
    return statistics.median(ratios), f"{min(ratios):.2f} to {max(ratios):.2f} x in {len(ratios)} turns"


def table(measurements):
    """The measurements as a Markdown table."""
    rows = [("measured", "value", "bound", "", "figures")]
    for m in measurements:
        bound = "" if m.bound is None else f"{'>=' if m.at_least else '<='} {m.bound:g} {m.unit}"
        rows.append((m.what, f"{m.value:.3f} {m.unit}", bound, m.verdict, m.figures))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def machine():
    """The machine and the versions in one line."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = [line.partition(": ")[2] for line in cpuinfo.splitlines() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchaudio", "pytorch-lightning", "mlflow"))
    return f"{names[0] if names else platform.machine()}, {cores} cores; Python {platform.python_version()}, {versions}"


def report(description, measure):
    """Does what every script here does: measures, prints the table, keeps the numbers where `--json FILE` asks for it.

    Returns:
        Exit status: 1 where a bound is broken.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    file = parser.parse_args().json
    return told(measure(), file)


def told(measurements, file=None):
    """Prints machine and table, and keeps the numbers in a file, if there is to be one.

    Returns:
        Exit status: 1 where a bound is broken.
    """
    print(machine(), table(measurements), sep="\n\n")
    if file:
        file.write_text(json.dumps([m._asdict() for m in measurements], indent=2) + "\n")
    return int(any(m.verdict == "FAIL" for m in measurements))
