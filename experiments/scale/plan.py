"""ASVspoof 5 on one processor, on 8 GPUs and on 100 nodes: bytes, hours and bottleneck, on paper.

Every figure is either MEASURED (experiments/performance/README.md, on two cores), of the corpus, or ASSUMED.
"""

from dataclasses import dataclass

# of the corpus (its protocols)
TRAIN, DEV, TEST = 182_357, 140_950, 680_774
# ASSUMED: mean length of an utterance in s, and bytes of FLAC a second of 16 kHz speech
LENGTH_S, FLAC_BYTES_S = 9.0, 17_000
EPOCHS, WINDOW_S = 20, 4.0
# MEASURED on two cores: windows of 4 s that one reading process decodes a second
LOADED_PER_CORE = 577.0
# MEASURED on two cores: (batch, seconds of a training step, windows a second of scoring)
DETECTORS = {"crnn": (32, 0.2697, 227.3), "aasist": (8, 6.88, 8 / 2.53)}
# MEASURED: four metrics, and the breakdown with 1,000 replicates, of all 680,774 trials, in s, on one machine
REPORT_S = 0.479 + 51.3
# ASSUMED: how many times the two cores' speed one GPU (A100 class, bf16) trains and scores
GPU_SPEEDUP = {"crnn": 100.0, "aasist": 250.0}
# ASSUMED: start-up on all nodes, and what the end of an epoch costs (gathered scores, metrics, checkpoint), in s
START_UP_S, EPOCH_END_S = 60.0, 5.0
# ASSUMED: how well several GPUs add up, within a node and over nodes
EFFICIENCY = {1: 1.0, 8: 0.9, 800: 0.7}


@dataclass
class Site:
    """Where it runs."""

    name: str
    accelerators: int  # 0: two cores alone
    reading_cores: int
    disk_bytes_s: float  # ASSUMED, of the disk that all share
    runs: int = 1  # side by side, which share all of it


SITES = (
    Site("two cores", 0, 1, 0.5e9),
    Site("8 GPUs, one run", 8, 64, 3e9),
    Site("100 nodes of 8 GPUs, one run", 800, 6400, 50e9),
    Site("the same, 800 runs side by side", 800, 6400, 50e9, runs=800),
)


def hours(site, detector, *, windows, training):
    """Hours of compute, of decoding and of the disk for so many windows."""
    batch, step_s, scored = DETECTORS[detector]
    speed = batch / step_s if training else scored
    if site.accelerators:
        each = site.accelerators // site.runs
        speed *= GPU_SPEEDUP[detector] * each * EFFICIENCY[each]
    bytes_read = windows * WINDOW_S * FLAC_BYTES_S
    rates = {
        "compute": windows / speed,
        "decoding": windows / (LOADED_PER_CORE * site.reading_cores) * site.runs,
        "disk": bytes_read / site.disk_bytes_s * site.runs,
    }
    return {name: seconds / 3600 for name, seconds in rates.items()}


def told(hours):
    """A time in the unit that suits it."""
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def main():
    total = (TRAIN + DEV + TEST) * LENGTH_S * FLAC_BYTES_S
    print(f"Audio: {total / 1e9:.0f} GB FLAC; decoded cache {total / FLAC_BYTES_S * 32_000 / 1e9:.0f} GB.")
    print(f"An epoch reads {(TRAIN + DEV) * WINDOW_S * FLAC_BYTES_S / 1e9:.0f} GB, scoring test ", end="")
    print(f"{TEST * WINDOW_S * FLAC_BYTES_S / 1e9:.0f} GB; kept scores {TEST * 20 / 1e6:.0f} MB.")
    print(f"Metrics and breakdown of test with 1,000 replicates: {REPORT_S:.0f} s, on one process.")
    print("\n| where | detector | training, 20 epochs with dev | scoring test | bottleneck of training |")
    print("| --- | --- | --- | --- | --- |")
    for site in SITES:
        for detector in DETECTORS:
            fit = hours(site, detector, windows=EPOCHS * TRAIN, training=True)
            dev = hours(site, detector, windows=EPOCHS * DEV, training=False)
            test = hours(site, detector, windows=TEST, training=False)
            fixed = (START_UP_S + EPOCHS * EPOCH_END_S) / 3600
            hours_of_training = max(fit.values()) + max(dev.values()) + fixed
            fit["start-up and epoch ends"] = fixed
            slowest = max(fit, key=fit.get)
            share = " and ".join(f"{name} {told(fit[name])}" for name in sorted(fit, key=fit.get, reverse=True)[:2])
            print(
                f"| {site.name} | {detector} | {told(hours_of_training)} | "
                f"{told(max(test.values()) + START_UP_S / 3600)} | {slowest} ({share}) |"
            )


if __name__ == "__main__":
    main()
