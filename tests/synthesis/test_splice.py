"""Partial spoofs: what is spliced, and what is said of it."""

from dataclasses import dataclass

import numpy as np
import pytest
from make_openprompts import speech

from deepfake_lab.synthesis.splice import Splice
from deepfake_lab.synthesis.system import Vocoder
from deepfake_lab.synthesis.world import World
from deepfake_lab.types import LabError

RATE = 16_000


@dataclass(frozen=True)
class Constant(Vocoder):
    """Says the same at all times, so that every sample tells who made it."""

    value: float

    def vocode(self, wave, seed):
        return np.full_like(wave, self.value)


@dataclass(frozen=True)
class Absent(Constant):
    """Needs what no machine has."""

    def missing(self):
        return "no weights"


@pytest.fixture(scope="module")
def wave():
    return speech(6.0, 180, 4)[:-5].astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_spans_say_which_samples_are_copied_and_the_others_are_left(wave, seed):
    system = Splice({"constant": Constant(0.3)})
    spliced, spans = system.vocode(wave, seed), system.spans(wave, seed)
    assert 1 <= len(spans) <= 3
    inside = np.zeros(len(wave), bool)
    for span in spans:
        assert 0.15 <= span.end_s - span.start_s <= 1.6
        place = slice(round(span.start_s * RATE), round(span.end_s * RATE))
        inside[place] = True
        core = spliced[place][160:-160]
        assert np.ptp(core) < 1e-6
        assert core[0] == pytest.approx(np.sqrt(np.mean(wave[place] ** 2)), rel=1e-3)  # at the level of what was there
        jumps = np.abs(np.diff(spliced[max(place.start - 1, 0) : place.start + 160])).max()
        assert jumps < np.abs(np.diff(wave)).max() + 0.02  # faded in
    np.testing.assert_array_equal(spliced[~inside], wave[~inside])
    assert inside.mean() < 0.85
    assert spans == system.spans(wave, seed)


def test_number_and_places_vary_with_the_seed(wave):
    found = [Splice({"world": World()}).spans(wave, seed) for seed in range(30)]
    assert {len(spans) for spans in found} == {1, 2, 3}
    assert len({spans[0].start_s for spans in found}) > 15


def test_cuts_are_made_where_it_is_quiet():
    wave = np.tile(np.repeat(np.float32([0.5, 0.01]), 800), 60)  # a pause of 50 ms in every 100 ms
    cuts = [cut for seed in range(20) for span in Splice({"world": World()}).spans(wave, seed) for cut in span]
    quiet = [np.abs(wave[max(round(cut * RATE) - 160, 0) : round(cut * RATE) + 160]).max() < 0.1 for cut in cuts]
    assert np.mean(quiet) > 0.9


def test_vocoders_that_the_machine_lacks_are_left_out(wave):
    absent, there = Absent(0.1), Constant(0.2)
    mixed, alone = (Splice(them) for them in ({"absent": absent, "there": there}, {"there": there}))
    assert mixed.missing() == ""
    assert Splice({"absent": absent}).missing() == "no weights"
    for seed in range(4):
        np.testing.assert_array_equal(mixed.vocode(wave, seed), alone.vocode(wave, seed))


def test_all_vocoders_occur(wave):
    system = Splice({"louder": Constant(0.1), "negative": Constant(-0.1)})
    signs = set()
    for seed in range(12):
        middle = round(sum(system.spans(wave, seed)[0]) / 2 * RATE)
        signs.add(float(np.sign(system.vocode(wave, seed)[middle])))
    assert signs == {-1.0, 1.0}


@pytest.mark.parametrize(
    "settings", [{"vocoders": {}}, {"stretches": (0, 2)}, {"stretches": (3, 2)}, {"length_s": (0.01, 1.0)}]
)
def test_what_makes_no_sense_is_refused(settings):
    with pytest.raises(LabError, match="splice: "):
        Splice(**{"vocoders": {"world": World()}, **settings})


def test_a_system_that_copies_everything_has_no_spans(wave):
    assert World().spans(wave, 0) == []
