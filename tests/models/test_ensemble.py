import math

import numpy as np
import pytest
import torch
from make_detectors import hiss_and_tones, make_detectors

from deepfake_lab.checkpoint import build_detector, load_detector, load_ensemble, save_detector
from deepfake_lab.evaluation.fuse import fit_ensemble, fit_weights
from deepfake_lab.models.ensemble import Ensemble
from deepfake_lab.types import Batch, LabError

WAVES = 0.1 * torch.randn(3, 6_400, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def checkpoints(tmp_path):
    return [str(path) for path in make_detectors(tmp_path)]


@pytest.fixture
def members(checkpoints):
    return [load_detector(path) for path in checkpoints]


@pytest.fixture
def ensemble(checkpoints):
    return load_ensemble(checkpoints).eval()


def scores(detector, waves=WAVES):
    with torch.inference_mode():
        return detector(waves).score


class TestScore:
    def test_is_the_mean_of_the_calibrated_scores_at_first(self, ensemble, members):
        output = ensemble(WAVES)
        alone = torch.stack([scores(member) for member in members], dim=1)
        torch.testing.assert_close(output.embedding, alone)
        torch.testing.assert_close(output.raw_score, alone.mean(dim=1))
        assert torch.equal(output.score, output.raw_score)
        assert not torch.allclose(alone[:, 0], alone[:, 1], atol=0.01)

    def test_is_the_weighted_sum_calibrated(self, ensemble, members):
        ensemble.set_weights([0.3, 1.5], -0.25)
        ensemble.calibrate(3.0, 1.0)
        one, two = map(scores, members)
        output = ensemble(WAVES)
        torch.testing.assert_close(output.raw_score, 0.3 * one + 1.5 * two - 0.25)
        torch.testing.assert_close(output.score, 3 * output.raw_score + 1)

    @pytest.mark.parametrize("samples", [6_400, 40_000])
    def test_over_time_is_the_members_in_between_their_own_times(self, ensemble, members, samples):
        waves = 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(1))
        ensemble.set_weights([0.3, 1.5], -0.25)
        with torch.inference_mode():
            told = ensemble(waves, frames=True).frame_scores.numpy()
            alone = [member(waves, frames=True).frame_scores.numpy() for member in members]
        times = ensemble.frame_times(told.shape[1]).numpy()
        for row in range(len(waves)):
            one, two = (
                np.interp(times, member.frame_times(own.shape[1]).numpy(), own[row])
                for member, own in zip(members, alone, strict=True)
            )
            np.testing.assert_allclose(told[row], 0.3 * one + 1.5 * two - 0.25, rtol=1e-4, atol=1e-4)

    def test_new_weights_forget_calibration_and_threshold(self, ensemble):
        ensemble.eer_threshold.fill_(0.5)
        ensemble.calibrate(3.0, 1.0)
        ensemble.set_weights([1.0, 1.0])
        assert (ensemble.calibration_scale, ensemble.calibration_offset) == (1, 0)
        assert ensemble.eer_threshold.isnan()

    @pytest.mark.parametrize("samples", [1, 100, 3_000, 20_000])
    def test_takes_any_length(self, ensemble, samples):
        assert torch.isfinite(scores(ensemble, torch.randn(2, samples))).all()

    def test_does_not_depend_on_the_batch(self, ensemble):
        alone = torch.cat([scores(ensemble, wave.unsqueeze(0)) for wave in WAVES])
        torch.testing.assert_close(alone, scores(ensemble), rtol=1e-4, atol=1e-5)

    def test_is_float32_under_autocast(self, ensemble):
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            output = ensemble(WAVES)
        assert {part.dtype for part in output} == {torch.float32}
        torch.testing.assert_close(output.score, scores(ensemble), rtol=0.05, atol=0.03)


class TestWindows:
    def test_members_say_of_first_windows_what_they_say_alone(self, tmp_path):
        paths = make_detectors(tmp_path, windows_s=(0.25, 0.4))
        ensemble, short, long = load_ensemble(list(map(str, paths))), *map(load_detector, paths)
        assert ensemble.window_s == 0.4
        assert ensemble.window_samples == 6_400
        expected = torch.stack([scores(short, WAVES[:, :4_000]), scores(long)], dim=1)
        torch.testing.assert_close(ensemble(WAVES).embedding, expected)

    def test_equal_windows_are_heard_to_the_end_whatever_their_length(self, ensemble, members):
        waves = torch.randn(2, 9_000)
        torch.testing.assert_close(ensemble(waves).embedding[:, 1], scores(members[1], waves))

    def test_quiet_edges_are_cut_off_for_all_or_none(self, tmp_path):
        paths = list(map(str, make_detectors(tmp_path, trims=(True, True))))
        assert load_ensemble(paths).treatment.trim
        assert not load_ensemble(list(map(str, make_detectors(tmp_path)))).treatment.trim
        paths = list(map(str, make_detectors(tmp_path, trims=(True, False))))
        with pytest.raises(LabError, match=r"treatment\.trim=true and false"):
            load_ensemble(paths)


class TestFile:
    def test_holds_all_that_is_needed(self, ensemble, checkpoints, tmp_path):
        ensemble.set_weights([0.3, 1.5], -0.25)
        ensemble.calibrate(3.0, 1.0)
        ensemble.eer_threshold.fill_(0.125)
        expected = scores(ensemble)
        save_detector(ensemble, tmp_path / "ensemble.ckpt")
        for path in checkpoints:
            (tmp_path / path).unlink()
        loaded = load_detector(tmp_path / "ensemble.ckpt")
        assert isinstance(loaded, Ensemble)
        assert torch.equal(scores(loaded), expected)
        assert loaded.eer_threshold == 0.125
        assert (loaded.config, loaded.fusion) == (ensemble.config, "mean")
        assert not loaded.training

    def test_ensembles_of_ensembles(self, ensemble, checkpoints, tmp_path):
        save_detector(ensemble, tmp_path / "inner.ckpt")
        outer = load_ensemble([str(tmp_path / "inner.ckpt"), checkpoints[0]])
        save_detector(outer, tmp_path / "outer.ckpt")
        torch.testing.assert_close(
            scores(load_detector(tmp_path / "outer.ckpt")),
            (scores(ensemble) + scores(load_detector(checkpoints[0]))) / 2,
        )

    def test_is_made_by_the_configuration_that_names_the_checkpoints(self, checkpoints, ensemble):
        target = "deepfake_lab.checkpoint.load_ensemble"
        made = build_detector({"_target_": target, "checkpoints": checkpoints, "fusion": "logistic_regression"})
        assert torch.equal(scores(made.eval()), scores(ensemble))
        assert made.config["members"] == [load_detector(path).config for path in checkpoints]
        assert made.fusion == made.config["fusion"] == "logistic_regression"

    def test_a_file_cannot_ask_for_other_files(self, ensemble, checkpoints, tmp_path):
        ensemble.config = {"_target_": "deepfake_lab.checkpoint.load_ensemble", "checkpoints": checkpoints}
        save_detector(ensemble, tmp_path / "ensemble.ckpt")
        with pytest.raises(LabError, match="not a front-end or model"):
            load_detector(tmp_path / "ensemble.ckpt")

    def test_targets_of_members_are_checked_too(self, ensemble, tmp_path):
        ensemble.config["members"][1]["frontend"] = {"_target_": "os.system"}
        save_detector(ensemble, tmp_path / "ensemble.ckpt")
        with pytest.raises(LabError, match=r"asks for 'os\.system'"):
            load_detector(tmp_path / "ensemble.ckpt")


class TestTraining:
    def test_gradients_change_nothing(self, ensemble):
        assert [parameter for group in ensemble.parameter_groups() for parameter in group["params"]] == []
        assert not any(parameter.requires_grad for parameter in ensemble.parameters())

    def test_running_statistics_and_dropout_stay_out_of_it(self, ensemble):
        before = scores(ensemble)
        state = {name: tensor.clone() for name, tensor in ensemble.state_dict().items()}
        assert ensemble.train().training
        assert torch.equal(ensemble(WAVES).score, before)
        assert all(
            torch.equal(tensor, state[name]) for name, tensor in ensemble.state_dict().items() if "eer" not in name
        )

    def test_pretrained_weights_do_not_overwrite_trained_members(self, ensemble, monkeypatch):
        monkeypatch.setattr(Ensemble, "_transformers", lambda self: pytest.fail("asked for transformers"))
        ensemble.load_pretrained()

    @pytest.mark.parametrize("fusion", ["mean", "logistic_regression"])
    def test_weights_are_fitted_on_what_members_say_of_dev(self, checkpoints, fusion):
        ensemble = load_ensemble(checkpoints, fusion)
        torch.manual_seed(1)
        waves, labels = hiss_and_tones(40)
        rows = torch.arange(40)
        batches = [Batch(waves[part], labels[part], rows[part], ("",)) for part in (slice(0, 25), slice(25, 40))]
        fitted = fit_ensemble(ensemble, batches)
        alone = np.stack([scores(load_detector(path), waves).double().numpy() for path in checkpoints], axis=1)
        expected = fit_weights(alone, labels.numpy(), fusion)
        assert fitted.weights == pytest.approx(expected.weights, rel=1e-3)
        np.testing.assert_allclose(ensemble(waves).raw_score, fitted(alone), atol=1e-4)


class TestRefusal:
    @pytest.mark.parametrize(("weights", "offset"), [([1.0], 0.0), ([1.0, 1.0, 1.0], 0.0), ([1.0, math.nan], 0.0)])
    def test_weights_that_do_not_fit(self, ensemble, weights, offset):
        with pytest.raises(LabError, match="2 finite weights are needed"):
            ensemble.set_weights(weights, offset)

    def test_too_few_or_repeated_members(self, checkpoints, tmp_path):
        with pytest.raises(LabError, match="takes two or more"):
            load_ensemble(checkpoints[:1])
        with pytest.raises(LabError, match=r"0\.ckpt is named twice"):
            load_ensemble([*checkpoints, f"{tmp_path}/../{tmp_path.name}/0.ckpt"])
        with pytest.raises(LabError, match=r"nowhere\.ckpt: no such checkpoint"):
            load_ensemble([checkpoints[0], "nowhere.ckpt"])
