"""What each moment and band of windows adds to a detector's score: integrated gradients.

A gradient tells of the score where it is taken. Integrated along the way from a baseline to the recording, gradients
add up to the difference of the two scores, so that the parts can be told in units of score. The baseline is the window
with each bin held at its mean over time: its voice, channel and noise as a whole, and no events. Silence or zeros would
be no recording at all, and what hears everything at one level cannot tell how far it is from silence. So what the
long-term spectrum tells by itself is the baseline's score, and no part of the attribution. To some detectors that sound
is a clear fake (to models of Whisper's embeddings, for one): then most parts speak for a real recording, even of fakes.

Source:
    Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from deepfake_lab.adversaries.adversary import in_use
from deepfake_lab.models.attention_crnn import AttentionCRNN
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.ensemble import Ensemble
from deepfake_lab.serving.cells import edges, frame_edges, shares
from deepfake_lab.types import SAMPLE_RATE

STEPS: Final = 32
"""Points on the way from the baseline: with 16, the sum of a CRNN's parts is wrong by up to a tenth."""
_FFT, _HOP = 512, 128
_SILENCE = 1e-6  # magnitude that a bin has at least: its logarithm is taken


class Attribution(NamedTuple):
    """What each bin of each frame of windows ``(B, T)`` adds to their scores.

    Attributes:
        frequencies: mean frequencies of the bins ``(F,)``, in Hz.
        hop: from one frame to the next, in samples; frame i stands for the time around sample ``i * hop``.
        parts: in units of score ``(B, F, L)``.
        attention: share of each frame in what was heard ``(B, L)``; None where there is no attention over time.
        score: of the windows ``(B,)``.
        baseline: of their baselines ``(B,)``.
        method: name of the method.
    """

    frequencies: Tensor
    hop: int
    parts: Tensor
    attention: Tensor | None
    score: Tensor
    baseline: Tensor
    method: str


class _Picture(NamedTuple):
    """What a score is attributed to.

    Attributes:
        values: of the windows ``(B, C, K F, L)``; K is more than 1 where there are deltas.
        score: raw scores ``(N B,)`` of values ``(N B, C, K F, L)``, N of each window, in turn.
        frequencies: of the bins ``(F,)``, in Hz.
        hop: from one frame to the next, in samples.
        name: of the values.
    """

    values: Tensor
    score: Callable[[Tensor], Tensor]
    frequencies: Tensor
    hop: int
    name: str


def attribute(detector: Detector, wave: Tensor, *, steps: int = STEPS, batch_size: int = 16) -> Attribution:
    """Shares the scores of windows out among their moments and bands.

    Where the features of a front-end have frequencies, they are what is attributed to. Others (cepstra, embeddings, the
    waveform, stacks of several scales) are explained all the way from the waveform, by the log power of its STFT, whose
    phases stay: what a detector hears in the phases alone is in the baseline's score. Members of an ensemble are
    explained each in its own way, and added up with their weights.

    Args:
        detector: on its device.
        wave: windows ``(B, T)``, 16 kHz, none too short for the detector.
        steps: points at which gradients are taken.
        batch_size: points that are heard at once; B, if that is more.
    """
    if isinstance(detector, Ensemble):
        return _of_ensemble(detector, wave, steps, batch_size)
    from captum.attr import IntegratedGradients  # few commands explain anything

    picture = _energies(detector, wave) if detector.frontend.frequencies is None else _features(detector, wave)
    baseline = picture.values.mean(dim=-1, keepdim=True).expand_as(picture.values).contiguous()
    with in_use(detector):
        found = IntegratedGradients(picture.score).attribute(
            picture.values, baseline, n_steps=steps, internal_batch_size=max(batch_size, len(wave))
        )
        with torch.no_grad():
            score, without = (detector.calibrated(picture.score(values)) for values in (picture.values, baseline))
    bands = found.detach().unflatten(2, (-1, len(picture.frequencies))).sum(dim=(1, 2))
    return Attribution(
        frequencies=picture.frequencies,
        hop=picture.hop,
        parts=detector.calibration_scale * bands,
        attention=_attention(detector, wave, bands.shape[-1], picture.hop),
        score=score,
        baseline=without,
        method=f"integrated gradients of {picture.name}",
    )


def _features(detector: Detector, wave: Tensor) -> _Picture:
    """The features, which are computed once."""
    frequencies = detector.frontend.frequencies
    assert frequencies is not None
    with torch.no_grad():
        values = detector.features(wave)

    def score(features: Tensor) -> Tensor:
        raw: Tensor = detector.head(detector.encoder(features)).squeeze(-1)
        return raw

    name = f"{type(detector.frontend).__name__} features"
    return _Picture(values, score, frequencies, detector.frontend.hop, name)


def _energies(detector: Detector, wave: Tensor) -> _Picture:
    """Log magnitudes of the waveform's STFT, which become a waveform again with the phases that it has."""
    window = torch.hann_window(_FFT, device=wave.device)
    spectrum = torch.stft(wave, _FFT, _HOP, window=window, return_complex=True)
    magnitude = spectrum.abs().clamp_min(_SILENCE)
    phase = spectrum / magnitude

    def score(levels: Tensor) -> Tensor:
        changed = levels.squeeze(1).exp() * phase.repeat(len(levels) // len(phase), 1, 1)
        raw: Tensor = detector(torch.istft(changed, _FFT, _HOP, window=window, length=wave.shape[-1])).raw_score
        return raw

    return _Picture(magnitude.log().unsqueeze(1), score, _frequencies(wave.device), _HOP, "the STFT's log power")


def _frequencies(device: torch.device) -> Tensor:
    return torch.linspace(0, SAMPLE_RATE / 2, _FFT // 2 + 1, device=device)


def _attention(detector: Detector, wave: Tensor, frames: int, hop: int) -> Tensor | None:
    """Attention over time ``(B, frames)`` of an encoder that has it."""
    if not isinstance(detector.encoder, AttentionCRNN):
        return None
    with torch.no_grad():
        weights = detector.encoder.attention(detector.features(wave))
    own = frame_edges(weights.shape[-1], detector.frontend.hop, wave.shape[-1])
    return weights @ shares(own, frame_edges(frames, hop, wave.shape[-1])).to(weights)


def _of_ensemble(ensemble: Ensemble, wave: Tensor, steps: int, batch_size: int) -> Attribution:
    """The members' attributions, weighed, on bins and frames that they have in common; the mean of their attentions."""
    heard = [wave[:, :end] for end in ensemble.encoder.heard]
    found = [
        attribute(member, part, steps=steps, batch_size=batch_size)
        for member, part in zip(ensemble.members, heard, strict=True)
    ]
    if not all(_alike(found[0], one) for one in found):
        found = [_on_stft(one, part.shape[-1], wave.shape[-1]) for one, part in zip(found, heard, strict=True)]
    with torch.no_grad():
        score, baseline = (
            ensemble.calibrated(ensemble.head(torch.stack(scores, dim=1)).squeeze(-1))
            for scores in ([one.score for one in found], [one.baseline for one in found])
        )
        parts = torch.einsum("m,mbfl->bfl", ensemble.head.weight[0], torch.stack([one.parts for one in found]))
    attending = [one.attention for one in found if one.attention is not None]
    return found[0]._replace(
        parts=ensemble.calibration_scale * parts,
        attention=torch.stack(attending).mean(dim=0) if attending else None,
        score=score,
        baseline=baseline,
        method=", ".join(dict.fromkeys(one.method for one in found)),
    )


def _alike(one: Attribution, other: Attribution) -> bool:
    """Whether two have the same bins and frames."""
    same = (one.hop, one.parts.shape) == (other.hop, other.parts.shape)
    return same and torch.equal(one.frequencies, other.frequencies)


def _on_stft(found: Attribution, samples: int, most: int) -> Attribution:
    """What was found in windows of so many samples, on the bins and frames of an STFT of `most`; sums stay."""
    frequencies = _frequencies(found.parts.device)
    bands = shares(*(edges(centres.cpu(), SAMPLE_RATE / 2) for centres in (found.frequencies, frequencies)))
    frames = shares(
        frame_edges(found.parts.shape[-1], found.hop, samples), frame_edges(most // _HOP + 1, _HOP, most)
    ).to(found.parts)
    return found._replace(
        frequencies=frequencies,
        hop=_HOP,
        parts=bands.to(found.parts).T @ found.parts @ frames,
        attention=None if found.attention is None else found.attention @ frames,
    )
