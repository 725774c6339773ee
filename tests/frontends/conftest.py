"""A signal like speech, and front-ends as configured."""

import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import OmegaConf

SMALL = {"encoder_num_layers": 2, "encoder_embed_dim": 48, "encoder_ff_interm_features": 64}
CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module")
def wave():
    """Two seconds of harmonics with vibrato over noise, silent at the end, ``(1, 32000)``."""
    time = torch.arange(32_000) / 16_000
    phase = 2 * math.pi * 140 * time + 3 * torch.sin(2 * math.pi * 5 * time)
    voice = sum(torch.sin(k * phase) / k for k in range(1, 40))
    wave = 0.05 * voice + 0.001 * torch.randn(32_000, generator=torch.Generator().manual_seed(1))
    wave[28_000:] = 0
    return wave.unsqueeze(0)


@pytest.fixture(scope="session")
def configured():
    """Makes a front-end of conf/frontend, with overrides such as ``engine=fft``; transformers are made small."""

    def make(name, *overrides):
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            node = compose(
                overrides=[f"+frontend={name}", *(f"frontend.{override}" for override in overrides)]
            ).frontend
        for part in (node, *node.get("parts", {}).values()):
            if part._target_.endswith("Wav2Vec2"):
                part.sizes = SMALL
            elif part._target_.endswith("Whisper"):
                part.size, part.layers = "tiny", 2
        return instantiate(OmegaConf.to_container(node, resolve=True), _convert_="all")

    return make
