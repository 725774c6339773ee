"""Why a recording got its score: what is heard, which parts of it speak for a fake, and the score over time."""

from __future__ import annotations

import textwrap
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from scipy.ndimage import gaussian_filter

from deepfake_lab.evaluation.plots.style import BLUE, GREY, RED, finish
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.serving.explain import Explanation
from deepfake_lab.serving.judge import Judgement
from deepfake_lab.types import SAMPLE_RATE

_FFT, _RANGE_DB = 512, 60.0  # of the spectrogram, below its loudest bin
_SMOOTH_S, _SMOOTH_SHARE = 0.03, 0.015  # standard deviations: in s, and as a share of the bins
_STRONGEST = 0.998  # quantile of the attribution that has the full colour
_STEP_S = 0.1
_TICKS = (8000, 7000, 6000, 5000, 4000, 3000, 2000, 1000, 500, 250, 125)  # in Hz
_LONGEST_NAME = 90
_ATTRIBUTION: Final = LinearSegmentedColormap.from_list(
    "attribution", [(0, to_rgba(RED)), (0.5, to_rgba(RED, 0)), (0.5, to_rgba(BLUE, 0)), (1, to_rgba(BLUE))]
)


def explanation(found: Explanation, judgement: Judgement, name: str) -> Figure:
    """Waveform; spectrogram, with its attribution laid over it; attribution and attention over time; score over time.

    Args:
        found: what is explained.
        judgement: of the same recording.
        name: of the recording.
    """
    start = float(found.times[0])
    end = start + len(found.wave) / SAMPLE_RATE
    figure = Figure(figsize=(11, 9), layout="constrained")
    rows = ("wave", "picture", "parts", "score")
    panels = figure.subplot_mosaic(
        [[row, "bands" if row == "picture" else "."] for row in rows],
        width_ratios=(1, 0.13),
        height_ratios=(0.6, 3, 1, 1),
    )
    panels["wave"].plot(start + np.arange(len(found.wave)) / SAMPLE_RATE, found.wave, color=GREY, linewidth=0.4)
    finish(panels["wave"], "", "", "waveform")
    _picture(panels["picture"], found)
    _by_band(panels["bands"], panels["picture"], found)
    _over_time(panels["parts"], found, end)
    _scores(panels["score"], judgement, end)
    for row in rows:
        panels[row].set_xlim(start, end)
        panels[row].tick_params(labelbottom=row == rows[-1])
    figure.align_ylabels([panels[row] for row in rows])
    figure.suptitle(f"{_shown(name)}\n{_verdict(judgement)}", fontsize=12, parse_math=False)
    caption = textwrap.fill(_caption(found, judgement), 165)
    figure.supxlabel(caption, fontsize=9, x=0.02, ha="left", parse_math=False)
    return figure


def _picture(axes: Axes, found: Explanation) -> None:
    """The spectrogram in grey, and over it what speaks for either side; every bin is equally high."""
    smooth = _smooth(found)
    most = float(np.quantile(np.abs(smooth), _STRONGEST)) or 1.0
    half = _hop(found) / 2
    extent = (found.times[0] - half, found.times[-1] + half, -0.5, len(found.frequencies) - 0.5)
    level = _level(found)
    for values, colours, scale in (
        (level, "gray_r", Normalize(level.max() - _RANGE_DB, level.max() + _RANGE_DB)),  # grey at most
        (smooth, _ATTRIBUTION, Normalize(-most, most)),
    ):
        axes.imshow(values, cmap=colours, norm=scale, extent=extent, origin="lower", aspect="auto")
    finish(axes, "", "", "frequency (Hz)")
    axes.grid(visible=False)
    axes.set_yticks(*_ticks(found.frequencies))


def _by_band(axes: Axes, picture: Axes, found: Explanation) -> None:
    """Sums over time, at the heights of the picture's bins."""
    totals = gaussian_filter(found.attribution.sum(axis=1), _SMOOTH_SHARE * len(found.frequencies))
    bins = np.arange(len(totals))
    for colour, side in ((RED, np.minimum(totals, 0)), (BLUE, np.maximum(totals, 0))):
        axes.fill_betweenx(bins, side, color=colour, linewidth=0)
    finish(axes, "", "", "")
    axes.set_title("score by bin", fontsize=10)
    axes.set_ylim(picture.get_ylim())
    axes.set_yticks(picture.get_yticks(), [])
    axes.axvline(0, color=GREY, linewidth=0.8)


def _over_time(axes: Axes, found: Explanation, end: float) -> None:
    """Sums over bins, in steps, and attention."""
    start = float(found.times[0])
    edges = np.append(start + _STEP_S * np.arange(max(round((end - start) / _STEP_S), 1)), end)
    steps = np.clip(np.searchsorted(edges, found.times, side="right") - 1, 0, len(edges) - 2)
    totals = np.bincount(steps, found.attribution.sum(axis=0), len(edges) - 1)
    axes.bar(edges[:-1], totals, np.diff(edges), align="edge", color=np.where(totals < 0, RED, BLUE))
    axes.axhline(0, color=GREY, linewidth=0.8)
    finish(axes, "", "", f"score by {_STEP_S:g} s")
    if found.attention is not None:
        shares = axes.twinx()
        shares.plot(found.times, 100 * found.attention / _hop(found), color="black", linewidth=0.8)
        shares.set_ylim(bottom=0)
        shares.set_ylabel("attention (% a s)")
        shares.spines[["top"]].set_visible(False)


def _scores(axes: Axes, judgement: Judgement, end: float) -> None:
    """The judgement's scores over time; shaded where it is more probably fake than the threshold."""
    moments = [moment for moment in judgement.moments if moment.start_s < end]
    edges = [*(moment.start_s for moment in moments), moments[-1].end_s]
    for span in judgement.spans:
        axes.axvspan(span.start_s, span.end_s, color=RED, alpha=0.2, linewidth=0)
    axes.stairs([moment.score for moment in moments], edges, color="black", baseline=None)
    axes.axhline(0, color=GREY, linewidth=0.8)
    finish(axes, "", "time (s)", "score over time")


def _hop(found: Explanation) -> float:
    """From one frame to the next, in s; of a single frame, as good as any."""
    return float(found.times[1] - found.times[0]) if len(found.times) > 1 else _STEP_S


def _smooth(found: Explanation) -> FloatArray:
    """Attribution, where neighbours of either sign cancel as they do in the score; sums stay."""
    widths = (_SMOOTH_SHARE * len(found.frequencies), _SMOOTH_S / _hop(found))
    smooth: FloatArray = gaussian_filter(found.attribution, widths)
    return smooth


def _level(found: Explanation) -> FloatArray:
    """Log power at the explanation's bins and frames ``(F, L)``, in dB."""
    middles = np.round((found.times - found.times[0]) * SAMPLE_RATE).astype(np.int64)
    padded = np.pad(found.wave.astype(np.float64), (_FFT // 2, _FFT))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[middles]
    level = 10 * np.log10(np.square(np.abs(np.fft.rfft(frames * np.hanning(_FFT)))) + 1e-10)
    own = np.linspace(0, SAMPLE_RATE / 2, _FFT // 2 + 1)
    return np.stack([np.interp(found.frequencies, own, row) for row in level], axis=1)


def _ticks(frequencies: FloatArray) -> tuple[list[float], list[str]]:
    """Places of round frequencies among bins, and their names: as many as have room."""
    places: list[float] = []
    names: list[str] = []
    for tick in _TICKS:
        place = float(np.interp(tick, frequencies, np.arange(len(frequencies))))
        inside = frequencies[0] <= tick <= frequencies[-1]
        if inside and (not places or places[-1] - place > 0.05 * len(frequencies)):
            places.append(place)
            names.append(f"{tick}")
    return places, names


def _shown(name: str) -> str:
    """A name as the font can write it, its end if it is long."""
    known = get_font(findfont(FontProperties())).get_charmap()
    written = "".join(letter if ord(letter) in known else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return written if len(written) <= _LONGEST_NAME else f"...{written[-_LONGEST_NAME:]}"


def _verdict(judgement: Judgement) -> str:
    reason = f": {judgement.reason}" if judgement.reason else ""
    return f"p_fake {judgement.p_fake:.3f}, {judgement.verdict}{reason}"


def _caption(found: Explanation, judgement: Judgement) -> str:
    """How to read the picture."""
    count = "all" if found.windows == judgement.windows else f"the first {found.windows} of {judgement.windows}"
    return (
        f"What in {count} windows ({len(found.wave) / SAMPLE_RATE:.1f} s) moved their score to {found.score:+.2f} from "
        f"{found.baseline:+.2f}, that of their mean spectrum held still: red towards fake, blue towards real. By "
        f"{found.method}; smoothed here; the sum is wrong by {found.missing:+.2f}. Shaded: p_fake above the threshold. "
        "All this shows what moved the detector, not what is fake."
    )
