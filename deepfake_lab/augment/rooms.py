"""Rooms: speech convolved with impulse responses, recorded or simulated.

Whatever the room, the direct sound comes when it came and the window is as long and as loud as it was.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from deepfake_lab.audio import Wave
from deepfake_lab.augment.augmentation import Range, UtteranceAugmentation, bounds
from deepfake_lab.augment.filters import convolved
from deepfake_lab.augment.recorded_noise import rms
from deepfake_lab.augment.recordings import Collection, Recordings
from deepfake_lab.types import SAMPLE_RATE, LabError

SMALLEST_M = (3.0, 3.0, 2.4)
LARGEST_M = (10.0, 8.0, 4.0)
"""Sides of simulated rooms: length, width, height."""
_WALL_M = 0.5  # smallest distance of mouth and microphone from a wall
_MOST_REFLECTIONS = 40  # of one path; the number of paths grows with the cube
_NOT_DIFFUSE = 1.28  # measured: image sources in a box ring so much longer than the formula for diffuse sound says
_SOUND_M_S = 343.0


class RoomResponse(UtteranceAugmentation):
    """Puts the speaker into a room."""

    def augmented(self, wave: Wave, draw: np.random.Generator) -> Wave:
        """See `UtteranceAugmentation.augmented`."""
        return reverberant(wave, self.response(draw))

    @abstractmethod
    def response(self, draw: np.random.Generator) -> Wave:
        """Draws an impulse response ``(T,)`` at 16 kHz."""


class RecordedRooms(RoomResponse):
    """Rooms out of a collection of impulse responses, or a folder of them.

    Args:
        source: see `Recordings`.
        p: see `UtteranceAugmentation`.

    Raises:
        LabError: see `Recordings`.
    """

    def __init__(self, source: Collection | str | Path, p: float = 0.5) -> None:
        super().__init__(p)
        self.recordings = Recordings(source, ("rir",))

    def response(self, draw: np.random.Generator) -> Wave:
        """See `RoomResponse.response`."""
        return self.recordings.whole(draw)


class SimulatedRooms(RoomResponse):
    """Shoe boxes by the image-source method (pyroomacoustics), a pool of which is made at once and kept in memory.

    Args:
        rooms: how many there are, each with a mouth and a microphone somewhere in it.
        t60_s: range of the reverberation time in s.
        seed: of the pool.
        p: see `UtteranceAugmentation`.

    Raises:
        LabError: there are no rooms, a time is not positive, or pyroomacoustics is not installed.
    """

    def __init__(self, rooms: int = 50, t60_s: Sequence[float] = (0.1, 0.6), seed: int = 0, p: float = 0.5) -> None:
        super().__init__(p)
        if rooms < 1:
            raise LabError(f"augment: rooms={rooms}: simulate at least one.")
        t60_s = bounds("t60_s", t60_s, least=0.02, most=2.0)
        draw = np.random.default_rng(seed)
        self.pool = [simulated(draw, t60_s) for _ in range(rooms)]

    def response(self, draw: np.random.Generator) -> Wave:
        """See `RoomResponse.response`."""
        return self.pool[int(draw.integers(len(self.pool)))]


def reverberant(wave: Wave, response: Wave) -> Wave:
    """Convolves a waveform ``(T,)`` with an impulse response, of which nothing before its peak counts."""
    direct = int(np.argmax(np.abs(response)))
    taps = torch.tensor(response[direct : direct + len(wave)])
    echoes = convolved(torch.tensor(wave)[None], taps[None, None]).squeeze(0).numpy()
    level = rms(echoes)
    return np.asarray(echoes * (rms(wave) / level), np.float32) if level else wave  # a silent response is no room


def simulated(draw: np.random.Generator, t60_s: Range) -> Wave:
    """Impulse response ``(T,)`` at 16 kHz of a drawn room.

    All walls absorb alike, by Eyring's formula for the drawn reverberation time.

    Raises:
        LabError: pyroomacoustics is not installed.
    """
    try:
        import pyroomacoustics as acoustics  # here, since nothing else needs it
    except ImportError as error:
        raise LabError(f"augment: rooms: {error}. Install it: pip install 'deepfake-lab[augmentation]'.") from error
    sides, t60 = draw.uniform(SMALLEST_M, LARGEST_M), draw.uniform(*t60_s)
    mouth, microphone = draw.uniform(_WALL_M, sides - _WALL_M), draw.uniform(_WALL_M, sides - _WALL_M)
    surface = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[2] * sides[0])
    decay = _NOT_DIFFUSE * 24 * math.log(10) * sides.prod() / (_SOUND_M_S * surface * t60)
    reflections = min(math.ceil(_SOUND_M_S * t60 / sides.min()), _MOST_REFLECTIONS)
    room = acoustics.ShoeBox(
        sides, fs=SAMPLE_RATE, materials=acoustics.Material(1 - math.exp(-decay)), max_order=reflections
    )
    room.add_source(mouth)
    room.add_microphone(microphone)
    room.compute_rir()
    return np.asarray(room.rir[0][0], np.float32)
