import numpy as np
import pandas as pd
import pytest

from deepfake_lab.evaluation.plots.segments import score_over_time


def test_shows_scores_and_truth_of_the_first_partial_spoofs():
    table = pd.DataFrame(
        {
            "key": np.repeat([f"u{n}" for n in range(7)], 3),
            "split": "test",
            "start_s": np.tile([0.0, 0.16, 0.32], 7),
            "score": np.arange(21.0),
            "label": np.tile([0, 1, 1], 7),
            "onset_s": np.repeat([np.nan, *[0.2] * 6], 3),
        }
    )
    figure = score_over_time(table, 0.5)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["u1", "u2", "u3", "u4"]
    shaded, steps = figure.axes[1].patches[:2], figure.axes[1].patches[2]
    assert [patch.get_x() for patch in shaded] == pytest.approx([0.16, 0.32])
    assert steps.get_data().values.tolist() == [6.0, 7.0, 8.0]
