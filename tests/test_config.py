"""Every configuration composes and can be built; precedence; what a mistake is answered with."""

import dataclasses
import re
from datetime import datetime

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from make_detectors import make_detectors
from omegaconf import OmegaConf

from deepfake_lab import config
from deepfake_lab.checkpoint import build_detector
from deepfake_lab.config.moment import moment
from deepfake_lab.types import LabError

COMMANDS = sorted(path.stem for path in config.CONF.glob("*.yaml"))
FILES = {path for path in config.CONF.glob("*/*.yaml") if path.parent.name != "system"}  # tests/synthesis runs those
CHOICES = sorted(f"{path.parent.relative_to(config.CONF)}={path.stem}" for path in FILES)


@pytest.fixture
def compose():
    """Composes a command's configuration as the command line would."""
    GlobalHydra.instance().clear()

    def composed(*overrides, name="run"):
        run_dir = ["run_dir=/tmp"] if name in ("run", "sweep", "benchmark") else []
        whole = hydra.compose(name, [*overrides, *run_dir], return_hydra_config=True)
        HydraConfig.instance().set_config(whole)
        return OmegaConf.masked_copy(whole, [key for key in whole if key != "hydra"])

    with hydra.initialize_config_dir(str(config.CONF), version_base="1.3"):
        yield composed
    HydraConfig.instance().cfg = None


def chosen(choice):
    """Overrides that make a choice, with a value for what it cannot do without."""
    text = (config.CONF / f"{choice.replace('=', '/')}.yaml").read_text()
    needed = re.findall(r"^(\w+): \?\?\?", text, re.MULTILINE)
    also = {
        "frontend=raw": ["model=aasist"],  # which no other model takes
        "model=ensemble": ["model.checkpoints=[0.ckpt,1.ckpt]"],
        **{f"adversary={name}": ["checkpoint=somewhere"] for name in ("fgsm", "pgd", "apgd")},
        **{f"conditions={path.stem}": ["checkpoints=x"] for path in (config.CONF / "conditions").glob("*.yaml")},
        "conditions=recorded_noise": [
            "checkpoints=x",
            "conditions.recorded_noise.augmentation.source=somewhere",
        ],
        "augment=recorded_noise": ["augment.utterance.recorded_noise.source=somewhere"],
        **{
            f"augment={name}": [f"augment.utterance.{name}.source.root=somewhere"]
            for name in ("demand", "musan", "rirs")
        },
    }
    return [choice, *also.get(choice, []), *(f"{choice.partition('=')[0]}.{key}=somewhere" for key in needed)]


def test_every_choice_is_found():
    assert {"run", "prepare", "predict"} <= set(COMMANDS)
    assert {"data=openprompts", "data=toy", "frontend=mel", "frontend=mfcc", "model=crnn", "model=crnn_mfcc"} <= set(
        CHOICES
    )


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_what_it_describes_can_be_built(compose, choice, tmp_path, monkeypatch):
    group, _, _ = choice.partition("=")
    command = {"vocoder": "synthesize", "conditions": "robustness"}.get(group, group if group in COMMANDS else "run")
    plain = config.resolved(compose(*chosen(choice), name=command))
    assert plain.get(group) or group in ("experiment", "benchmark")
    if group in ("data", "loss", "tracking"):
        assert config.build(plain[group]) is not None
    elif group == "callbacks":
        built = {type(config.build(node)).__name__ for node in plain["callbacks"].values() if node is not None}
        last, ema = choice in ("callbacks=swa", "callbacks=ema_last"), choice.startswith("callbacks=ema")
        averaging = {"ExponentialMovingAverage"} if ema else {"StochasticWeightAverage"} if last else set()
        judged = set() if last else {"EarlyStopping"}
        assert built == {"ModelCheckpoint", "ProgressReport", "LearningCurves", "Diagnosis"} | judged | averaging
    elif group in ("treatment", "frontend", "model"):
        monkeypatch.chdir(tmp_path)
        if choice == "model=ensemble":  # it keeps its members, not the names of their files
            make_detectors(tmp_path)
        kept = build_detector(plain["model"]).config
        said = {field.name for field in dataclasses.fields(config.ModelTraining)}
        told = {key: value for key, value in plain["model"].items() if key not in said}
        assert kept == (told if choice != "model=ensemble" else build_detector(kept).config)
        assert config.ModelTraining.of(plain["model"]) == config.ModelTraining()


def test_a_model_brings_its_usual_frontend_and_the_command_line_overrides_it(compose):
    assert compose("model=crnn_mfcc").frontend._target_.endswith("Mfcc")
    assert compose("model=crnn").frontend._target_.endswith("Mel")
    overridden = compose("model=crnn", "frontend=mfcc")
    assert overridden.model.frontend == overridden.frontend
    assert overridden.frontend._target_.endswith("Mfcc")


def test_precedence_schema_then_file_then_groups_then_experiment_then_command_line(compose):
    assert config.RunConfig().metric == compose().metric == "dev/eer"
    assert compose().loader.window_s == 4.0
    assert compose("experiment=toy").loader.window_s == 0.4
    assert compose("experiment=toy", "loader.window_s=0.3").loader.window_s == 0.3
    assert compose("experiment=toy").data._target_.endswith("Toy")


def test_augmentations_add_up_in_the_order_in_which_they_are_named(compose):
    several = compose("augment=[specaugment,noise,channel]", "augment.wave.noise.p=0.1")
    assert list(several.augment.wave) == ["noise", "floor", "equaliser", "band_limit", "clipping", "gain", "polarity"]
    assert several.augment.features._target_.endswith("SpecAugment")
    assert several.task.augment.noise.p == 0.1
    assert (several.choices.augment, compose("augment=noise").choices.augment) == ("several", "noise")
    assert compose("loss=focal").choices.loss == "focal"
    assert compose().augment == {"utterance": {}, "wave": {}, "features": None, "mixup": None, "views": 1}
    folder = compose("augment=rirs", "augment.utterance.rirs.source=rooms").loader.augment.rirs.source
    assert folder == "rooms"


def test_configuration_is_yaml_safe_and_has_no_evaluated_code():
    for path in config.CONF.rglob("*.yaml"):
        assert not re.search(r"\$\{eval|!!python", path.read_text()), path


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        ({"_target_": "deepfake_lab.models.crnn.CRN"}, "cannot be found"),
        ({"_target_": "no_such_package.Thing"}, "cannot be found"),
        ({"_target_": "nothing"}, "cannot be found"),
        ({"_target_": "deepfake_lab.frontends.mel.Mel", "hopms": 3}, "Did you mean hop_ms?"),
        ({"_target_": "deepfake_lab.frontends.mel.Mel", "engine": "gpu"}, "model.frontend.engine=gpu: input should be"),
        ({"_target_": "deepfake_lab.frontends.mel.Mel", "bins": "many"}, "model.frontend.bins=many: input should be"),
    ],
)
def test_nodes_are_checked_against_signatures(node, complaint):
    with pytest.raises(LabError, match=re.escape(complaint)):
        config.check_targets({"model": {"frontend": node}})


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("frezee", [], "Did you mean freeze?"),
        ("freeze", "encoder.*", "model.freeze=encoder.*: input should be"),
        ("learning_rates", {"encoder.*": "fast"}, "model.learning_rates={'encoder.*': 'fast'}: input should be"),
        ("domain", "cdec", "model.domain=cdec: input should be 'corpus', 'codec'"),
    ],
)
def test_what_is_said_of_training_is_checked_as_well(key, value, complaint):
    node = {"_target_": "deepfake_lab.models.ensemble.Ensemble", key: value}
    with pytest.raises(LabError, match=re.escape(complaint)):
        config.check_targets({"model": node})


def test_missing_values_are_asked_for(compose):
    with pytest.raises(LabError, match=r"checkpoint is needed: checkpoint=\.\.\."):
        config.resolved(compose("input=a.wav", name="predict"))


def test_objects_given_to_build_are_passed_as_they_are():
    marker = object()
    made = config.build({"_target_": "types.SimpleNamespace", "plain": {"a": [1]}}, given=marker)
    assert made.given is marker
    assert made.plain == {"a": [1]}
    assert not OmegaConf.is_config(made.plain)


def test_list_of_commands(capsys, monkeypatch):
    from deepfake_lab import __main__

    monkeypatch.setattr("sys.argv", ["deepfake-lab"])
    __main__.main()
    printed = capsys.readouterr().out
    assert all(command in printed for command in COMMANDS)
    monkeypatch.setattr("sys.argv", ["deepfake-lab", "prepair"])
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert stop.value.code == config.USER_ERROR
    assert "Did you mean prepare?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Müller.wav", "in [x] (1).wav", "a,b.wav", "it's.wav", "back\\slash.wav", "a b.wav"])
def test_any_file_name_is_taken_as_it_is(compose, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    assert compose(config.quoted(f"input={name}"), name="predict").input == name


def test_what_hydra_understands_is_left_to_it():
    for argument in ("--multirun", "seed=0,1,2", "stages=[fit]", "+optim.amsgrad=true", "a.b='quoted'", "x=range(1,3)"):
        assert config.quoted(argument) == argument


def test_traceback_of_a_data_worker_is_cut_and_nothing_else_is():
    worker = "Caught AudioError in DataLoader worker process 0.\nOriginal Traceback (most recent call):\n  File x\n"
    told = config.explain(LabError(f"{worker}deepfake_lab.audio.AudioError: a.wav: no such file.\n"), "run", [])
    assert told.strip() == "a.wav: no such file."
    assert config.explain(LabError("x: Error: y"), "run", []) == "x: Error: y"


def test_a_composed_configuration_is_nobody_elses(compose):
    """Compositions share Hydra's store, which is not copied for each of them."""
    before = OmegaConf.to_yaml(compose())
    changed = compose()
    OmegaConf.set_readonly(changed, False)
    changed.stages.append("report")
    changed.choices["new"] = "entry"
    assert OmegaConf.to_yaml(compose()) == before


def test_parameters_are_what_somebody_chose(compose):
    composed = compose("experiment=toy", "frontend=lfcc", "model.window_s=1.5", "resume=somewhere")
    chosen = config.chosen(composed)
    assert chosen["seed"] == 0
    assert chosen["frontend"]["filters"] == 20
    assert chosen["model"]["window_s"] == 1.5, "what else repeats loader.window_s"
    assert "frontend" not in chosen["model"]
    assert set(chosen["loader"]) == set(composed.loader) - {"stages", "seed", "augment"}
    assert not set(chosen) & {"tracking", "run_dir", "resume", "choices"}
    assert "_partial_" not in chosen["optim"]


def test_processes_of_one_job_name_one_folder(monkeypatch):
    form = "%Y"
    for name in ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert moment(form) == datetime.now().strftime(form)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1f2e")
    assert moment(form) == "1f2e"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(LabError, match=r"torchrun has not named its job: add --standalone, or --rdzv-id=NAME"):
        moment(form)
    for name, value in {"NTASKS": "8", "JOB_ID": "77", "STEP_ID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert moment(form) == "slurm77.0"
