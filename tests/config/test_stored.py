"""The configuration that a run has left behind, as somebody else may have changed it."""

import sys

import pytest
from hydra.core.hydra_config import HydraConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from deepfake_lab import config
from deepfake_lab.config.stored import check_stored, known_targets, read_stored
from deepfake_lab.types import LabError


@pytest.fixture(scope="module")
def text():
    """What a run writes."""
    whole = config.compose("run", ["experiment=toy", "run_dir=RUN"], with_hydra=True)
    HydraConfig.instance().set_config(whole)
    try:
        return OmegaConf.to_yaml(OmegaConf.masked_copy(whole, [key for key in whole if key != "hydra"]), resolve=True)
    finally:
        HydraConfig.instance().cfg = None


@pytest.fixture
def stored(text, tmp_path):
    """Stores it, changed."""

    def stored(**changes):
        node = OmegaConf.create(text.replace("RUN", str(tmp_path)))
        for key, value in changes.items():
            OmegaConf.update(node, key.replace("__", "."), value, force_add=True)
        (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(node))
        return tmp_path / "config.yaml"

    return stored


def check(path, *said):
    check_stored(read_stored(path), path, said)


def refusal(path, *said):
    with pytest.raises(LabError) as caught:
        check(path, *said)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_what_a_run_writes_is_read_as_it_is(stored, text, tmp_path):
    path = stored()
    check(path)
    assert OmegaConf.to_container(read_stored(path)) == OmegaConf.to_container(
        OmegaConf.create(text.replace("RUN", str(tmp_path)))
    )


EVIL = [
    {"_target_": "os.system", "command": "touch exploded"},
    {"_target_": "builtins.exec"},
    {"_target_": ["os.system"]},
]


@pytest.mark.parametrize("node", EVIL, ids=str)
@pytest.mark.parametrize(
    "place",
    [
        "data",
        "callbacks__more",
        "trainer__profiler",
        "model__encoder",
        "loss",
        "augment__wave",
        "tracking__uri",
        "seed",
    ],
)
def test_foreign_code_is_refused_wherever_it_is_asked_for(stored, place, node):
    message = refusal(stored(**{place: node}))
    assert "no part of the lab" in message or place == "seed"
    if place != "seed":
        assert "no part of the lab" in refusal(stored(**{f"{place}__further": [{"a": [node]}]}))


def test_functions_of_the_lab_are_no_parts_of_it(stored):
    for name in ("deepfake_lab.synthesis.program.run", "deepfake_lab.config.build", "deepfake_lab.types.os.system"):
        assert "no part of the lab" in refusal(stored(data={"_target_": name}))


def test_what_the_user_names_again_is_the_users(stored):
    path = stored(optim___target_="torch.optim.SGD")
    assert "optim._target_=..." in refusal(path)
    check(path, "optim._target_")
    refusal(path, "optim")


def test_every_part_that_the_lab_composes_is_known():
    assert "torch.optim.Adam" in known_targets()
    assert len(known_targets()) > 90


@pytest.mark.parametrize(
    "key",
    ["run_dir", "trainer__default_root_dir", "callbacks__learning_curves__path", "callbacks__best_checkpoint__dirpath"],
)
@pytest.mark.parametrize("value", ["/etc", "../other", "/", ""])
def test_nothing_is_written_outside_of_the_runs_folder(stored, key, value, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert "writes to its own folder" in refusal(stored(**{key: value}))
    check(stored(**{key: f"{tmp_path}/deeper"}))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "Begin the run anew"),
        (b"\xff\xfe\x00", "not the configuration"),
        (b"seed: 0\nmodel: {a: !!python/object/apply:os.system [touch exploded]}", "not the configuration"),
        (b"seed: ${oc.env:HOME}", "line 1: holds an interpolation"),
        (b"tracking:\n  uri: 'http://x/${oc.env:HOME}'", "line 2: holds an interpolation"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "holds an alias"),
        (b"model: " + b"[" * 100_000, "nested too deep"),
        (b"model: " + b"{a: " * 100_000, "nested too deep"),
        (b"- 1\n- 2", "not the configuration"),
        (b"just a text", "not the configuration"),
        (b"sead: 1", "sead"),
        (b"seed: zero", "zero"),
        (b"stages: 5", "not the configuration"),
        (b"a: " + b"x" * (1 << 20), "more than 1 MB"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_other_files(tmp_path, content, complaint, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_bytes(content)
    assert complaint in refusal(tmp_path / "config.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_NODES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just("_target_"), inner, max_size=3)
    ),
    max_leaves=12,
)


def is_refused_or_harmless(path):
    """Whether nothing else comes of it."""
    try:
        check(path)
    except LabError as error:
        return str(error).startswith(f"{path}: ")
    return True


@settings(max_examples=150, deadline=None)
@given(
    content=st.dictionaries(st.sampled_from(["data", "model", "seed", "stages", "choices", "x"]), _NODES, max_size=4)
)
def test_any_yaml_is_refused_or_harmless(content, tmp_path_factory):
    import yaml

    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8", errors="surrogatepass")
    assert is_refused_or_harmless(path)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200) | st.text(alphabet="&*!{}[]:-,#|>%@`'\"\n ab0$", max_size=60).map(str.encode))
def test_any_bytes_are_refused_or_harmless(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_bytes(content)
    assert is_refused_or_harmless(path)


def test_resume_does_not_run_what_the_folder_asks_for(stored, tmp_path, monkeypatch, lab):
    (tmp_path / "trap.py").write_text("from pathlib import Path\nPath(__file__).with_name('sprung').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = stored(callbacks__trap={"_target_": "trap.Trap"})
    status, printed = lab("run", f"resume={path.parent}")
    assert status == 2
    assert "callbacks.trap._target_=trap.Trap: no part of the lab" in printed
    assert "trap" not in sys.modules
    assert not (tmp_path / "sprung").exists()
