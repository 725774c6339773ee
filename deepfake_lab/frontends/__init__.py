"""Front-ends: waveforms (B, T) to features (B, C, F, L), inside the detector and on its device."""
