import pandas as pd

from deepfake_lab.evaluation.plots.training import learning_curves


def test_the_kept_epoch_is_marked(words, draw):
    curves = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "train/loss": [0.7, 0.5, 0.4],
            "dev/loss": [0.7, 0.6, 0.65],
            "dev/eer": [0.5, 0.1, 0.2],
            "kept": [False, True, False],
        }
    )
    figure = learning_curves(curves)
    losses, errors = figure.axes
    assert [list(line.get_ydata()) for line in losses.lines[:2]] == [[0.7, 0.5, 0.4], [0.7, 0.6, 0.65]]
    assert list(errors.lines[0].get_ydata()) == [50, 10, 20]
    for axes in figure.axes:
        assert list(axes.lines[-1].get_xdata()) == [2, 2]
    assert "epoch 2: kept" in words(figure)
    draw(figure)
    draw(learning_curves(curves[:1]))
