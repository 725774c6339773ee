"""Kokoro, with a network that says what it was told: its interface is the real one's, its sound a level a phoneme."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deepfake_lab.synthesis.kokoro import Kokoro
from deepfake_lab.types import LabError

SAMPLES = 2400  # a phoneme, at 24 kHz
HELLO = [50, 83, 54, 156, 57, 135]  # of həl, primary stress, oʊ in the tokenizer.json published with Kokoro-82M


def network(path, scale=1.0):
    """Writes a network: each phoneme sounds for 0.1 s at speed 1, at its number / 1000, times the style's first."""
    levels = np.float32(scale) * np.repeat(np.arange(178, dtype=np.float32)[:, None] / 1000, SAMPLES, axis=1)
    constants = {
        "levels": levels,
        "flat": np.array([1, -1]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "second": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["levels", "input_ids"], ["sounds"]),
        helper.make_node("Reshape", ["sounds", "flat"], ["row"]),
        helper.make_node("Slice", ["style", "zero", "one", "second"], ["first"]),
        helper.make_node("Mul", ["row", "first"], ["loud"]),
        helper.make_node("Shape", ["row"], ["shape"], start=1),
        helper.make_node("Cast", ["shape"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["samples", "speed"], ["slower"]),
        helper.make_node("Cast", ["slower"], ["stop"], to=TensorProto.INT64),
        helper.make_node("Slice", ["loud", "zero", "stop", "second"], ["waveform"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "n"]),
        helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
        helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, "t"])]
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def folder(tmp_path):
    """A network, and voices whose styles begin with 1, 2, 3, ... by the length of the sentence."""
    (tmp_path / "voices").mkdir()
    network(tmp_path / "model.onnx")
    styles = np.tile(np.arange(1, 511, dtype="<f4")[:, None], 256)
    for name in ("af_one", "bm_two", "if_three", "jf_other"):
        styles.tofile(tmp_path / "voices" / f"{name}.bin")
    return tmp_path


def levels(wave, count):
    """The level in the middle of each of `count` equal stretches of a wave."""
    at = (np.arange(count) + 0.5) * len(wave) / count
    return wave[at.astype(int)]


def test_says_the_sentences_phonemes_in_the_style_of_their_number(folder):
    system = Kokoro(str(folder))
    american = next(seed for seed in range(20) if system.speaker("en", seed) == "kokoro-af_one")
    wave = system.speak("Hello", "en", american, seconds=len(HELLO) / 16)
    told = [0, *HELLO, 0]
    assert wave.dtype == np.float32
    assert len(wave) == len(told) * 1600  # 0.1 s each, at 16 kHz
    np.testing.assert_allclose(levels(wave, len(told)), np.array(told) / 1000 * len(HELLO), atol=1e-4)


def test_speaks_faster_where_less_time_is_wanted(folder):
    slow, fast = (len(Kokoro(str(folder)).speak("Hello", "en", 0, seconds)) for seconds in (6 / 16, 5 / 16))
    assert fast == pytest.approx(slow * 5 / 6, rel=0.01)


def test_draws_a_voice_of_the_language(folder):
    system = Kokoro(str(folder))
    assert set(system.languages) == {"en", "it"}
    assert {system.speaker("en", seed) for seed in range(20)} == {"kokoro-af_one", "kokoro-bm_two"}
    assert {system.speaker("it", seed) for seed in range(20)} == {"kokoro-if_three"}


def test_tells_its_weights_apart(folder):
    before = repr(Kokoro(str(folder)))
    network(folder / "model.onnx", scale=2.0)
    assert repr(Kokoro(str(folder))) != before


def test_what_is_not_a_number_is_not_speech(folder):
    network(folder / "model.onnx", scale=np.nan)
    with pytest.raises(LabError, match=r"if_three says NaN for 'Buongiorno\.'"):
        Kokoro(str(folder)).speak("Buongiorno.", "it", 0, 1.0)


def test_what_is_not_there_or_another_thing_is_named(folder):
    with pytest.raises(LabError, match=r"0 phonemes in ''.*1 to 510"):
        Kokoro(str(folder)).speak("", "en", 0, 1.0)
    with pytest.raises(LabError, match=r"phonemes in 'too long too long"):
        Kokoro(str(folder)).speak("too long " * 100, "en", 0, 1.0)
    np.zeros(100, "<f4").tofile(folder / "voices" / "if_three.bin")
    with pytest.raises(LabError, match=r"if_three\.bin: 100 numbers.*Fetch it again"):
        Kokoro(str(folder)).speak("Buongiorno.", "it", 0, 1.0)
    (folder / "model.onnx").unlink()
    with pytest.raises(LabError, match=r"kokoro: no model\.onnx with voices in .*make published"):
        Kokoro(str(folder)).speak("Hello", "en", 0, 1.0)
