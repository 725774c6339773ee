"""Audits of small corpora: planted faults are found, a clean corpus passes."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pyarrow.compute as pc
import pytest

from deepfake_lab.data.manifest import Finding
from deepfake_lab.evaluation.audit.audit import Settings, Subject, Treatment, audit
from deepfake_lab.evaluation.audit.report import markdown, print_audit, write_page
from deepfake_lab.evaluation.audit.tables import tables


def codes(found):
    return {concern.code: concern.forbids for concern in found.concerns}


def worst_cue(found, split="test"):
    single = [probe for probe in found.plain.probes if probe.split == split and probe.cue != "all together"]
    return min(single, key=lambda probe: probe.eer).cue


def spoofs_of_whole_hops(wave, label, rng):
    return wave[: len(wave) // 256 * 256] if label else wave[: len(wave) // 256 * 256 - 1 - int(rng.integers(255))]


def spoofs_behind_silence(wave, label, rng):
    return np.concatenate([0.0001 * rng.standard_normal(1600), wave]) if label else wave


@pytest.fixture(scope="module")
def void():
    """Elements of HTML that have no end."""
    return {"meta", "img"}


def test_a_clean_corpus_passes(make_corpus):
    found = audit(Subject("hiss", make_corpus(count=30)))
    assert [verdict.fit for verdict in found.verdicts] == [True, True]
    assert {code for code, forbids in codes(found).items() if not code.startswith("unsure")} == {
        "small",
        "nothing_unseen",
    }


def test_lengths_of_a_vocoder_are_found(make_corpus):
    found = audit(Subject("hiss", make_corpus(spoofs_of_whole_hops, count=20)))
    assert worst_cue(found) == "samples mod 256"
    assert found.metrics()["audit/samples_mod_256/test/eer"] < 0.05
    assert codes(found)["shortcut/test"] == ("training", "evaluation")


def test_leading_silence_is_found_and_gone_after_trimming(make_corpus):
    corpus = Subject("hiss", make_corpus(spoofs_behind_silence, count=15))
    found = audit(corpus, treatment=Treatment("edges trimmed", trim=True))
    metrics = found.metrics()
    assert metrics["audit/edge_silence/test/eer"] == 0
    assert metrics["audit/test/eer"] == 0
    assert metrics["audit/treated/edge_silence/test/eer"] > 0.4
    assert metrics["audit/treated/test/eer"] > 0.3
    assert "shortcut/test" not in codes(found)  # the verdict is about what the treatment leaves
    assert found.all_cues().groupby("treatment").size().to_dict() == {"as it is": 90, "treated": 90}


def test_a_level_that_tells_the_class_is_equalised(make_corpus):
    def quiet(wave, label, rng):
        return wave / 20 if label else wave

    def equal(wave):
        return wave * 0.1 / np.sqrt(np.mean(wave**2))

    metrics = audit(
        Subject("hiss", make_corpus(quiet)), treatment=Treatment("level", trim=False, treat=equal)
    ).metrics()
    assert metrics["audit/level/test/eer"] == 0
    assert metrics["audit/treated/level/test/eer"] > 0.3


def test_a_speaker_and_audio_in_two_splits_are_found(make_corpus):
    def crossing(row):
        return {"speaker": "hiss/anna"} | ({"audio_hash": "ab"} if row["key"].endswith("-0-spoof") else {})

    found = audit(Subject("hiss", make_corpus(rows=crossing, count=12)))
    assert codes(found)["overlap/speaker"] == ()
    forbidden = [concern.forbids for concern in found.concerns if concern.code == "overlap/audio_hash"]
    assert forbidden == [("training",), ("training", "evaluation"), ("evaluation",)]
    assert found.metrics()["audit/overlap/train-test/audio_hash"] == 1
    assert not any(verdict.fit for verdict in found.verdicts)


def test_a_corpus_inside_another_is_found(make_corpus):
    inner = Subject("inner", make_corpus(count=10, splits=["train", "dev"]), ("ljspeech",))
    outer = Subject("outer", make_corpus(count=10, splits=["train", "dev"]), ("ljspeech", "vctk"))
    table = outer.manifest.table
    test = ["test"] * len(table)
    moved = table.set_column(table.schema.get_field_index("split"), "split", [test])
    outer = outer._replace(manifest=type(outer.manifest)(moved, outer.manifest.root, "outer"))
    found = audit(inner, against=outer)
    assert {"against/speaker", "against/group", "against/audio_hash", "against/lineage"} <= set(codes(found))
    assert codes(found)["against/audio_hash"] == ("evaluation",)
    assert found.metrics()["audit/overlap/inner_train_dev-outer_test/audio_hash"] == 40


def test_a_corpus_of_one_class_is_reported_not_refused(make_corpus, tmp_path, capsys):
    manifest = make_corpus(count=3)
    spoofs = type(manifest)(manifest.table.filter(pc.equal(manifest.table["label"], 1)), manifest.root, "spoofs")
    found = audit(Subject("spoofs", spoofs))
    assert codes(found)["one_class"] == ("training", "evaluation")
    assert found.verdicts[0].text.startswith("Fit for training: no. Because it holds no bonafide utterance")
    write_page(found, tmp_path / "audit.html")
    print_audit(found)
    assert "nothing to tell apart" in capsys.readouterr().out


def test_what_preparing_noticed_and_what_cannot_be_read_is_said(make_corpus):
    manifest = make_corpus(count=9)
    (manifest.root / manifest.table["path"][0].as_py()).unlink()
    noted = type(manifest)(manifest.table, manifest.root, "hiss", [Finding("skipped", "3 files were skipped", 3)])
    found = audit(Subject("hiss", noted), settings=Settings(limit=8))
    assert "3 files were skipped" in found.reservations
    everything = audit(Subject("hiss", noted))
    assert any(text.startswith("1 of 54 sampled utterances cannot be read") for text in everything.reservations)


class Page(HTMLParser):
    """Checks that every element ends, and gathers images."""

    def __init__(self, void):
        super().__init__()
        self.void, self.open, self.images, self.links = void, [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.void:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attributes))
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(make_corpus, tmp_path, capsys, void):
    name = "<b>hiss</b> & co"
    treatment = Treatment("edges trimmed", trim=True)
    found = audit(Subject(name, make_corpus(spoofs_behind_silence, count=12)), treatment=treatment)
    write_page(found, tmp_path / "audit.html")
    text = (tmp_path / "audit.html").read_text()
    page = Page(void)
    page.feed(text)
    assert page.open == []
    assert len(page.images) == 3  # the rates, and the distributions before and after
    for image in page.images:
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/png;base64"
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)))
        assert pixels.std() > 0.05
        assert image["alt"]
    assert all(link.startswith("data:") for link in page.links)
    assert "<b>hiss" not in text
    plain = re.sub(r"<[^>]+>", "", text)
    print_audit(found)
    printed = capsys.readouterr().out
    for table in tables(found):
        for row in table.rows:
            assert row[0] in plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    for verdict in found.verdicts:
        assert verdict.answer in plain
        assert verdict.answer in printed
        assert verdict.answer in markdown(found)
