import math

import numpy as np
import pandas as pd
import pytest
import torch

from deepfake_lab.evaluation.scores import COLUMNS, read_table, same_trials, score_table, write_table
from deepfake_lab.types import LabError


@pytest.fixture
def manifest(make_manifest):
    return make_manifest("test", sentences=4)


def test_rows_follow_the_manifest(manifest):
    index = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    table = score_table(manifest, index, index.float() / 3, raw_score=index.float())
    assert tuple(table.columns) == COLUMNS
    assert table["key"].tolist() == manifest.table["key"].to_pylist()
    assert table["raw_score"].tolist() == list(range(12))
    assert table["score"].tolist() == (torch.arange(12).float() / 3).double().tolist()
    assert table["duration_s"].tolist() == [1.0, 1.5, 2.0, 1.0] * 3
    assert set(table["attack"]) == {"bonafide", "openprompts/world", "openprompts/piper"}


def test_raw_scores_are_the_scores_unless_told(manifest):
    table = score_table(manifest, np.arange(12), np.linspace(-1, 1, 12))
    assert table["raw_score"].equals(table["score"].rename("raw_score"))


@pytest.mark.parametrize(
    ("index", "score", "message"),
    [
        (range(11), [0.0] * 11, r"1 of 12 trials have no score, such as test-piper-3"),
        ([*range(12), 5], [0.0] * 13, r"1 of 12 trials have more than one score, such as test-world-1"),
        (
            range(12),
            [0.0, math.nan, *[0.0] * 10],
            r"1 of 12 trials have a score that is NaN or infinite, such as test-bonafide-1",
        ),
        (range(12), [math.inf] + [0.0] * 11, r"NaN or infinite, such as test-bonafide-0"),
        ([*range(11), 12], [0.0] * 12, r"scores for row 12, but the split has 12 rows"),
        ([-1, *range(1, 12)], [0.0] * 12, r"scores for row -1"),
        (range(12), [0.0] * 11, r"12 trials but 11 values of score"),
    ],
)
def test_broken_scores_are_refused_by_name(manifest, index, score, message):
    with pytest.raises(LabError, match=message) as caught:
        score_table(manifest, np.array(index), np.array(score))
    assert "test manifest" in str(caught.value)


def test_broken_raw_scores_are_refused(manifest):
    raw = np.full(12, np.nan)
    with pytest.raises(LabError, match=r"12 of 12 trials have a raw_score that is NaN"):
        score_table(manifest, np.arange(12), np.zeros(12), raw)


def test_parquet_keeps_every_bit(make_table, tmp_path):
    table = make_table()
    path = tmp_path / "deep" / "scores.parquet"
    write_table(table, path)
    pd.testing.assert_frame_equal(read_table(path), table, check_exact=True)
    write_table(table[:3], path)
    assert len(read_table(path)) == 3
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_table(make_table, tmp_path):
    path = tmp_path / "scores.parquet"
    write_table(make_table(), path)
    before = path.read_bytes()
    broken = make_table().assign(key=[object() for _ in range(len(make_table()))])
    with pytest.raises(Exception, match="object"):
        write_table(broken, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_strange_files_are_refused(make_table, tmp_path):
    text = tmp_path / "scores.parquet"
    text.write_text("path,score\n")
    with pytest.raises(LabError, match=r"scores\.parquet: not a readable score table"):
        read_table(text)
    with pytest.raises(LabError, match="not a readable score table"):
        read_table(tmp_path / "missing.parquet")
    make_table().drop(columns="group").to_parquet(text)
    with pytest.raises(LabError, match="a score table has key, score"):
        read_table(text)


def test_tables_of_the_same_trials_come_in_one_order(make_table):
    first, second = make_table(seed=1), make_table(seed=2).sample(frac=1, random_state=0)
    one, two = same_trials({"one": first, "two": second})
    pd.testing.assert_frame_equal(one, first)
    assert two["key"].equals(one["key"])
    pd.testing.assert_frame_equal(two, make_table(seed=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(index=3), "two: 1 trials of one are missing, such as {key}"),
        (lambda table: table.replace({"key": {table["key"][3]: "new"}}), "two: 1 trials of one are missing"),
        (lambda table: pd.concat([table, table.iloc[3:4].assign(key="new")]), "two: 1 trials are not in one.* new"),
        (lambda table: pd.concat([table, table.iloc[[3]]]), "two: 1 trials are there more than once, such as {key}"),
        (lambda table: table.assign(score=table["score"].where(table.index != 3, np.inf)), "no finite score.* {key}"),
        (lambda table: table.assign(label=table["label"] ^ (table.index == 3)), "another label than in one.* {key}"),
    ],
)
def test_trials_that_differ_are_named(make_table, change, message):
    table = make_table()
    with pytest.raises(LabError, match=message.format(key=table["key"][3])):
        same_trials({"one": table, "two": change(table)})
