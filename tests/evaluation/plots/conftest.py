import io

import matplotlib
import numpy as np
import pytest


def read(figure):
    """All words of a figure."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.fixture
def words():
    return read


@pytest.fixture
def draw():
    """Draws a figure and returns its pixels; there must be something to see."""

    def draw(figure):
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=40)
        pixels = matplotlib.image.imread(io.BytesIO(picture.getvalue()))
        assert np.ptp(pixels[..., :3]) > 0.5
        return pixels

    return draw
