"""LJSpeech beside WaveFake's copies, or beside copies made here: then both classes are written alike."""

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import make_ljspeech
import make_wavefake
import numpy as np
import pytest
import soundfile
from scipy.signal import welch

from deepfake_lab import audio
from deepfake_lab.data import guards
from deepfake_lab.data.corpora.copy_synthesis import Sentence, versions
from deepfake_lab.data.corpora.ljspeech import LJSpeech
from deepfake_lab.data.corpora.wavefake import WaveFake
from deepfake_lab.synthesis.griffin_lim import GriffinLim
from deepfake_lab.synthesis.world import World
from deepfake_lab.types import LabError

CHAPTERS, CLIPS = 4, 4
NAMES = make_ljspeech.ids(CHAPTERS, CLIPS)
SYSTEMS = {"world": World(), "griffin_lim": GriffinLim(n_iter=4)}
DRIVER = """
import sys
from deepfake_lab.data.corpora.ljspeech import LJSpeech
from deepfake_lab.synthesis.world import World
LJSpeech(sys.argv[1], sys.argv[2], spoof="world", systems={"world": World()}, workers=2).prepare()
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """Settings that find LJSpeech, WaveFake and JSUT."""
    return make_wavefake.make(tmp_path_factory.mktemp("disk"), CHAPTERS, CLIPS)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """LJSpeech of three clips, for what is told by any clip."""
    return make_ljspeech.make(tmp_path_factory.mktemp("few"), chapters=3, clips=1)["root"]


@pytest.fixture(scope="module")
def copied(disk, tmp_path_factory):
    """The corpus with copies of two vocoders made here."""
    corpus = opened(disk, tmp_path_factory.mktemp("work"), spoof=["world", "griffin_lim"], workers=2)
    return corpus, corpus.prepare()


def opened(disk, work, **settings):
    return LJSpeech(disk["ljspeech_root"], work, **{"systems": SYSTEMS, "workers": 1, **settings})


def rows(manifest):
    return manifest.table.to_pylist()


def by_sentence(manifest):
    """Samples of every version of every sentence: {sentence: {attack: samples}}."""
    found = defaultdict(dict)
    for row in rows(manifest):
        samples, rate = soundfile.read(manifest.root / row["path"], dtype="int16")
        assert rate == row["sample_rate"] == 16_000
        found[row["key"][:10]][row["attack"]] = samples
    return found


def digests(folder):
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.flac")}


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples.astype(float))))


def crest_db(samples):
    return 20 * np.log10(abs(samples.astype(float)).max()) - level_db(samples)


# --- copies made here ---


def test_every_clip_of_the_list_is_there_once_in_spite_of_its_quotes(copied):
    found = rows(copied[1])
    assert sorted(row["key"] for row in found if row["label"] == 0) == NAMES
    for system in SYSTEMS:
        named = [row["key"] for row in found if row["attack"] == f"ljspeech/{system}"]
        assert sorted(named) == [f"{name}-{system}" for name in NAMES]
    assert len(found) == 3 * len(NAMES)


def test_copies_stay_in_the_chapter_and_the_split_of_their_sentence(copied):
    split_of = {row["key"]: row["split"] for row in rows(copied[1]) if row["label"] == 0}
    for row in rows(copied[1]):
        assert row["group"] == f"ljspeech/{row['key'][:5]}"
        assert row["speaker"] == "ljspeech/LJ"
        assert row["split"] == split_of[row["key"][:10]]
    assert {counts[0] > 0 for counts in copied[1].counts().values()} == {True}


def test_nothing_but_the_synthesis_tells_a_copy_from_its_original(copied):
    corpus, manifest = copied
    headers = [soundfile.info(corpus.base / row["path"]) for row in rows(manifest)]
    assert {(i.format, i.subtype, i.samplerate, i.channels) for i in headers} == {("FLAC", "PCM_16", 16_000, 1)}
    for made in by_sentence(manifest).values():
        assert len({len(samples) for samples in made.values()}) == 1
        assert len(made["bonafide"]) % 160 == 0
        levels = [level_db(samples) for samples in made.values()]
        assert max(levels) - min(levels) < 0.05
        crests = [crest_db(samples) for samples in made.values()]
        assert max(crests) - min(crests) < 1
        assert max(abs(samples.mean()) for samples in made.values()) < 0.1


def test_the_real_clip_is_the_recording_and_a_copy_only_resembles_it(copied, disk):
    for name, made in list(by_sentence(copied[1]).items())[:8]:
        real = made["bonafide"].astype(float)
        recording = audio.load(disk["ljspeech_root"] / "wavs" / f"{name}.wav")[: len(real)]
        assert len(recording) == len(real)
        assert np.corrcoef(real, recording)[0, 1] > 0.95  # limited, and without what lies beyond its band
        for system in SYSTEMS:
            copy = made[f"ljspeech/{system}"].astype(float)
            assert np.corrcoef(real, copy)[0, 1] < 0.95
            loudness = [np.square(one[: len(one) // 800 * 800].reshape(-1, 800)).sum(axis=1) for one in (real, copy)]
            assert np.corrcoef(*loudness)[0, 1] > 0.7


@pytest.mark.parametrize("gain", [0.1, 30.0])
def test_a_vocoder_of_another_nature_gets_level_peaks_and_band_of_its_original(tmp_path, gain):
    class Shouter:
        """High peaks of one sign, an offset and a rumble, and shorter than it should be."""

        def vocode(self, wave, seed):
            rumble = np.sin(2 * np.pi * 20 / 16_000 * np.arange(len(wave)))
            peaks = np.where(wave > 0, 1.5, 1.0) * wave / abs(wave).max()
            return (0.1 + 0.2 * rumble + peaks)[:-7].astype(np.float32)

    soundfile.write(tmp_path / "loud.wav", gain * make_ljspeech.speech(1, 22_050), 22_050, subtype="FLOAT")
    made = versions(Sentence("loud", tmp_path / "loud.wav"), {"shouter": Shouter()}, seed=0)
    assert {len(samples) for samples in made.values()} == {16_000 - 160}
    for measure, tolerance in ((level_db, 0.1), (crest_db, 1.5)):
        found = [measure(samples) for samples in made.values()]
        assert max(found) - min(found) < tolerance
    for samples in made.values():
        assert abs(samples.astype(int)).max() < 32767
        assert abs(samples.mean()) < 0.1
        frequencies, power = welch(samples, 16_000, nperseg=4096)
        assert power[frequencies < 40].sum() < 1e-3 * power.sum()
        assert power[frequencies > 7600].sum() < 1e-3 * power.sum()


def test_a_silent_recording_and_one_that_is_too_short(tmp_path):
    class Mute:
        """A vocoder that says nothing."""

        def vocode(self, wave, seed):
            return np.zeros_like(wave)

    soundfile.write(tmp_path / "silent.wav", np.zeros(22_050), 22_050)
    made = versions(Sentence("silent", tmp_path / "silent.wav"), {"mute": Mute()}, seed=0)
    assert {round(level_db(samples / 32767)) for samples in made.values()} == {-65}  # the noise alone
    soundfile.write(tmp_path / "short.wav", np.full(150, 0.1), 22_050)
    with pytest.raises(LabError, match=r"short\.wav: shorter than 10 ms"):
        versions(Sentence("short", tmp_path / "short.wav"), {}, seed=0)


def test_same_seed_same_samples_and_another_seed_others(copied, disk):
    name = NAMES[3]
    sentence = Sentence(name, disk["ljspeech_root"] / "wavs" / f"{name}.wav")
    here, other = (versions(sentence, SYSTEMS, seed) for seed in (0, 1))
    for system, samples in here.items():
        written, _ = soundfile.read(copied[0].base / system / f"{name}.flac", dtype="int16")
        # another process made it, after other sentences, with another number of threads
        np.testing.assert_allclose(samples, written, atol=1 if system == "griffin_lim" else 0)
        assert (samples != other[system]).any()
    noise_of_phases = np.corrcoef(here["griffin_lim"].astype(float), other["griffin_lim"].astype(float))[0, 1]
    assert noise_of_phases < 0.99


@pytest.mark.slow
def test_a_killed_preparation_goes_on_and_ends_with_the_same_bytes(tmp_path):
    root, work = make_ljspeech.make(tmp_path, chapters=8, clips=4)["root"], tmp_path / "work"
    process = subprocess.Popen([sys.executable, "-c", DRIVER, root, work], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while len(list(work.glob("audio/*/world/LJ*.flac"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    time.sleep(0.5)  # for the workers to see that they are alone
    corpus = LJSpeech(root, work, spoof="world", systems=SYSTEMS, workers=2)
    assert not corpus.manifest_path.exists()
    made = {path: path.stat().st_mtime_ns for path in corpus.base.rglob("LJ*.flac")}
    assert len(made) < 64
    (corpus.base / "world" / ".1-LJ001-0001.flac").write_bytes(b"half")
    manifest = corpus.prepare()
    assert len(manifest) == 64
    assert not list(corpus.base.glob("*/.*"))
    pairs = Counter(path.name for path in made)
    whole = [path for path in made if pairs[path.name] == 2]
    assert len(whole) >= 2
    assert {path: path.stat().st_mtime_ns for path in whole} == {path: made[path] for path in whole}
    afresh = LJSpeech(root, tmp_path / "afresh", spoof="world", systems=SYSTEMS, workers=1)
    assert afresh.prepare().digest == manifest.digest
    assert digests(afresh.base) == digests(corpus.base)


def test_a_lost_clip_is_made_anew_and_force_mends_a_damaged_one(few, tmp_path):
    corpus = LJSpeech(few, tmp_path, spoof="world", systems=SYSTEMS, workers=1)
    corpus.prepare()
    before = digests(corpus.base)
    (corpus.base / "bonafide" / "LJ002-0001.flac").unlink()
    corpus.manifest_path.unlink()
    corpus.prepare()
    assert digests(corpus.base) == before
    (corpus.base / "world" / "LJ001-0001.flac").write_bytes(b"no audio")
    shutil.rmtree(corpus.base / "notes")
    corpus.manifest_path.unlink()
    with pytest.raises(LabError, match=r"1 clips made here are damaged.*force=true"):
        corpus.prepare()
    corpus.prepare(force=True)
    assert digests(corpus.base) == before


def test_a_vocoder_that_fails_names_the_sentence(few, tmp_path):
    corpus = LJSpeech(few, tmp_path, spoof="broken", systems={"broken": World(frame_ms="five")}, workers=1)
    with pytest.raises(RuntimeError, match=r"LJ00\d-0001: TypeError.*run the same command again"):
        corpus.prepare()


# --- other fakes, or none ---


def test_without_fakes_it_is_prepared_from_the_download_and_refused_for_a_run(lab, few):
    status, printed = lab("prepare", "data=ljspeech", f"data.root={few}", "data.spoof=null")
    assert status == 0
    assert "holds no spoof utterance" in printed
    assert "LJSpeech: 3 clips, 13,100 published" in printed
    assert not list(Path("corpora/ljspeech").rglob("*.flac"))


def test_wavefake_alone_is_read_as_downloaded(disk, tmp_path):
    corpus = opened(disk, tmp_path, spoof="wavefake", wavefake_root=disk["root"])
    manifest = corpus.prepare()
    assert not (tmp_path / "audio").exists()
    guards.check_files(manifest)
    assert {row["sample_rate"] for row in rows(manifest)} == {22_050}
    assert {path.partition("/")[0] for path in manifest.table["path"].to_pylist()} == {
        "LJSpeech-1.1",
        "generated_audio",
    }
    clips = len(NAMES)
    assert manifest.table["attack"].value_counts().to_pylist() == [
        {"values": name, "counts": clips} for name in ("bonafide", *(f"ljspeech/{one}" for one in GANS_AND_FLOW))
    ]


GANS_AND_FLOW = (*make_wavefake.GAN_FOLDERS, "hifigan", "waveglow")


def test_wavefake_beside_copies_made_here_is_written_anew_with_them(tmp_path):
    disk = make_wavefake.make(tmp_path, CHAPTERS, CLIPS)
    for folder in disk["root"].glob("ljspeech_*"):
        if folder.name != "ljspeech_hifiGAN":
            shutil.rmtree(folder)
    (disk["ljspeech_root"] / "wavs" / "LJ002-0002.wav").unlink()
    settings = {"spoof": ["world", "wavefake"], "wavefake_root": disk["root"], "on_error": "skip"}
    manifest = opened(disk, tmp_path / "work", **settings).prepare()
    made = by_sentence(manifest)
    assert sorted(made) == [name for name in NAMES if name != "LJ002-0002"]
    for versions_made in made.values():
        assert set(versions_made) == {"bonafide", "ljspeech/hifigan", "ljspeech/world"}
        assert len({len(samples) for samples in versions_made.values()}) == 1
        assert len(versions_made["bonafide"]) % 160 == 0
    assert {finding.code: finding.number for finding in manifest.findings if finding.number} == {
        "absent": 6,
        "skipped": 1,  # the real clip
        "unpaired": 1,  # WaveFake's copy of it
    }


def test_chapters_go_where_wavefake_puts_them(disk, tmp_path):
    settings = {"seed": 3, "shares": {"train": 0.5, "dev": 0.2, "test": 0.3}}
    ours = opened(disk, tmp_path, spoof="world", **settings).parse().table
    theirs = WaveFake(disk["root"], tmp_path, ljspeech_root=disk["ljspeech_root"], **settings).parse().table
    split_of = dict(zip(theirs["group"].to_pylist(), theirs["split"].to_pylist(), strict=True))
    assert {group: split_of[group] for group in ours["group"].to_pylist()} == dict(
        zip(ours["group"].to_pylist(), ours["split"].to_pylist(), strict=True)
    )


# --- what goes wrong ---


def test_wavefake_that_is_not_there_is_answered_with_what_needs_no_download(disk, tmp_path):
    with pytest.raises(LabError, match=r"needs data\.wavefake_root.*data\.spoof=world"):
        opened(disk, tmp_path, spoof="wavefake")
    with pytest.raises(LabError, match=r"data\.wavefake_root=.*nowhere: no such folder.*data\.spoof=world"):
        opened(disk, tmp_path, spoof="wavefake", wavefake_root=tmp_path / "nowhere").prepare()
    prompts = tmp_path / "generated_audio" / make_wavefake.PROMPTS
    prompts.mkdir(parents=True)
    with pytest.raises(LabError, match=r"holds none of ljspeech_melgan.*data\.spoof=world"):
        opened(disk, tmp_path, spoof="wavefake", wavefake_root=prompts.parent).prepare()


def test_an_unknown_name_is_answered_with_the_nearest(disk, tmp_path):
    with pytest.raises(LabError, match=r"data\.spoof: there is no 'wrld'\. Did you mean world\?"):
        opened(disk, tmp_path, spoof=["griffin_lim", "wrld"])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("LJ009-0001|only two", r"2 fields, expected 3: 'LJ009-0001\|only two'"),
        ("file|text|normalised", "'file' is not called like LJ001-0001"),
    ],
)
def test_a_line_that_is_none(tmp_path, line, why):
    root = make_ljspeech.make(tmp_path, chapters=3, clips=2)["root"]
    lines = (root / "metadata.csv").read_text().splitlines()
    (root / "metadata.csv").write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    with pytest.raises(LabError, match=rf"metadata\.csv, line 3: {why}"):
        LJSpeech(root, tmp_path / "work").prepare()
