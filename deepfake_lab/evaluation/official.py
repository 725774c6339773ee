"""Score and key files in the formats of the ASVspoof challenges: written for the official scorers, read from anybody.

ASVspoof 5 scores two tab-separated files with headers, `filename, cm-score` and `filename, cm-label`. ASVspoof 2021
takes `file score`, ASVspoof 2019 `file attack key score`, parted by blanks, without headers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from deepfake_lab.data.corpora.asvspoof import KEYS
from deepfake_lab.data.corpora.asvspoof5 import FIELDS as ASVSPOOF5_FIELDS
from deepfake_lab.data.corpora.asvspoof2021 import ASVspoof2021DF, ASVspoof2021LA
from deepfake_lab.data.files import whole
from deepfake_lab.data.lists import first_line, read_list, translate, wrong_fields
from deepfake_lab.data.manifest import NO_ATTACK, UNKNOWN
from deepfake_lab.evaluation.scores import COLUMNS
from deepfake_lab.metrics.functional import AsvErrors, confusion, eer_threshold
from deepfake_lab.types import LABEL_NAMES, SPOOF, LabError, Split

Form = Literal["asvspoof5", "asvspoof2021", "asvspoof2019"]
SCORES_HEADER: Final = ("filename", "cm-score")
KEY_HEADER: Final = ("filename", "cm-label")
ASVSPOOF2019_FIELDS: Final = ("file", "attack", "key", "score")
KEY_FIELDS: Final[dict[int, tuple[str, tuple[str, ...]]]] = {
    5: ("asvspoof2019_la", ("speaker", "file", "unused", "attack", "key")),
    6: ("asvspoof5", ASVSPOOF5_FIELDS[6]),
    8: ("asvspoof2021_la", ASVspoof2021LA.columns),
    10: ("asvspoof5", ASVSPOOF5_FIELDS[10]),
    13: ("asvspoof2021_df", ASVspoof2021DF.columns),
}
"""Corpus and columns of a list with keys, by its number of fields."""


def write_official(table: pd.DataFrame, folder: Path, form: Form = "asvspoof5") -> list[Path]:
    """Writes scores for an official scorer, in full precision and under the challenge's own file names.

    Args:
        table: trials of one corpus, since their keys are to tell them apart.
        folder: where the files go: `scores.tsv` and `keys.tsv` for ASVspoof 5, else `scores.txt`.
        form: whose scorer is to read them.

    Returns:
        Paths of the files.

    Raises:
        LabError: two trials have the same key.
    """
    twice = table["key"][table["key"].duplicated()]
    if len(twice):
        raise LabError(
            f"{len(twice)} trials share their key with another, such as {twice.iloc[0]}: write one corpus a folder."
        )
    file = [key.removeprefix(f"{corpus}-") for key, corpus in zip(table["key"], table["corpus"], strict=True)]
    label = np.array(LABEL_NAMES)[table["label"].to_numpy()]
    score = table["score"].to_numpy()
    folder.mkdir(parents=True, exist_ok=True)
    if form == "asvspoof5":
        pairs = {"scores.tsv": (SCORES_HEADER, score), "keys.tsv": (KEY_HEADER, label)}
        return [
            _write(pd.DataFrame({header[0]: file, header[1]: values}), folder / name, "\t", header=True)
            for name, (header, values) in pairs.items()
        ]
    if form == "asvspoof2021":
        rows = pd.DataFrame({"file": file, "score": score})
    else:
        attack = np.where(label == LABEL_NAMES[SPOOF], table["attack"].str.rpartition("/")[2], UNKNOWN)
        rows = pd.DataFrame(dict(zip(ASVSPOOF2019_FIELDS, (file, attack, label, score), strict=True)))
    return [_write(rows, folder / "scores.txt", " ", header=False)]


def read_official(
    scores: Path, key: Path | None = None, *, subset: str = "eval", split: Split = "test"
) -> pd.DataFrame:
    """Reads scores in any of the official formats, and their key, as a score table.

    Args:
        scores: score file; one of ASVspoof 2019 holds its own key.
        key: `keys.tsv`, or the protocol or `trial_metadata.txt` of ASVspoof 2019, 2021 or 5.
        subset: trials of an ASVspoof 2021 key to keep; published numbers are of "eval"; "all" keeps all.
        split: name of the split in the table.

    Returns:
        A table in the columns of `deepfake_lab.evaluation.scores`, with `raw_score` like `score`.

    Raises:
        LabError: a file cannot be read, there is no key, or trials are missing, unknown, scored twice or NaN; it names
            them.
    """
    rows = _read_scores(scores)
    keyed = rows.drop(columns="score") if key is None else _read_key(key)
    if "key" not in keyed:
        raise LabError(f"{scores}: holds no key, so that nothing can be measured. Name it: key=FILE.")
    _refuse(keyed["file"][keyed["file"].duplicated()], key or scores, "are in the key more than once")
    _refuse(rows["file"][rows["file"].duplicated()], scores, "have more than one score")
    _refuse(rows["file"][~rows["file"].isin(keyed["file"])], scores, f"are not in {key}")
    if subset != "all" and "subset" in keyed:
        keyed = keyed[keyed["subset"] == subset]
    score = rows.set_index("file")["score"].reindex(keyed["file"])
    _refuse(keyed["file"][~keyed["file"].isin(rows["file"])], scores, "have no score")
    _refuse(score.index[~np.isfinite(score)], scores, "have a score that is NaN or infinite")
    if keyed.empty:
        raise LabError(f"{key}: has no trials of subset={subset}. Choose eval, progress, hidden or all.")
    return _table(keyed, score.to_numpy(), split)


def read_asv(path: Path) -> AsvErrors:
    """Error rates of the organisers' speaker verification at its own threshold of equal errors.

    Args:
        path: their scores of ASVspoof 2019, three fields a line: attack, key (target, nontarget or spoof), score.

    Raises:
        LabError: the file cannot be read, or lacks one of the three kinds of trials.
    """
    rows = read_list(path, ("attack", "key", "score")).to_pandas()
    score = _numbers(rows["score"], rows["attack"], path)
    kinds = [score[rows["key"] == kind] for kind in ("target", "nontarget", "spoof")]
    if not all(map(len, kinds)):
        raise LabError(f"{path}: has no trials of one of target, nontarget, spoof. Name the organisers' ASV scores.")
    target, nontarget, spoof = kinds
    threshold = eer_threshold(target, nontarget)
    by_nontarget = confusion(target, nontarget, threshold)
    accepted = confusion(target, spoof, threshold).fn
    return AsvErrors(by_nontarget.fp / len(target), by_nontarget.fn / len(nontarget), accepted / len(spoof))


def _read_scores(path: Path) -> pd.DataFrame:
    """Columns `file` and `score`, and `attack` and `key` where the format has them."""
    line = first_line(path)
    if tuple(line.split("\t")) == SCORES_HEADER:
        listed = read_list(path, delimiter="\t").rename_columns(["file", "score"])
    elif len(line.split(" ")) in (2, 4):
        listed = read_list(path, ("file", "score") if len(line.split(" ")) == 2 else ASVSPOOF2019_FIELDS)
    else:
        raise LabError(
            f"{path}: begins with {line!r}, which no challenge has. It takes 'filename<TAB>cm-score' and rows like it "
            "(ASVspoof 5), 'file score' (2021) or 'file attack key score' (2019)."
        )
    rows: pd.DataFrame = listed.to_pandas()
    return rows.assign(score=_numbers(rows["score"], rows["file"], path))


def _read_key(path: Path) -> pd.DataFrame:
    line = first_line(path)
    if tuple(line.split("\t")) == KEY_HEADER:
        keyed: pd.DataFrame = read_list(path, delimiter="\t").rename_columns(["file", "key"]).to_pandas()
        return keyed
    number = len(line.split(" "))
    if number not in KEY_FIELDS:
        raise wrong_fields(path, line, number, list(KEY_FIELDS))
    corpus, columns = KEY_FIELDS[number]
    keyed = read_list(path, columns).to_pandas()
    return keyed.assign(corpus=corpus)


def _table(rows: pd.DataFrame, score: np.ndarray[tuple[int], np.dtype[np.float64]], split: Split) -> pd.DataFrame:
    """A score table of keyed rows; families of coded copies are groups, else speakers, else single files."""
    unknown = pd.Series(UNKNOWN, rows.index)
    corpus = rows.get("corpus", pd.Series("scores", rows.index))
    label = translate(pa.chunked_array([pa.array(rows["key"], pa.string())]), KEYS, Path("the key")).to_numpy()
    attack = corpus + "/" + rows.get("attack", unknown)
    group = rows["file"]
    if "original" in rows:
        group = rows["original"].where(rows["original"] != UNKNOWN, rows["file"])
    elif "speaker" in rows and not corpus.eq("asvspoof5").any():
        group = rows["speaker"]
    return pd.DataFrame(
        {
            "key": corpus + "-" + rows["file"],
            "score": score,
            "raw_score": score,
            "label": label,
            "attack": attack.where(label == SPOOF, NO_ATTACK),
            "codec": rows.get("codec", unknown),
            "speaker": rows.get("speaker", unknown),
            "group": group,
            "gender": rows.get("gender", unknown),
            "language": rows.get("language", unknown),
            "corpus": corpus,
            "duration_s": np.nan,
            "split": split,
        }
    )[list(COLUMNS)].reset_index(drop=True)


def _numbers(column: pd.Series[str], names: pd.Series[str], path: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    _refuse(names[np.isnan(numbers)], path, "have a score that is NaN or no number")
    return numbers


def _refuse(trials: pd.Series[str] | pd.Index[str], path: Path, why: str) -> None:
    if len(trials):
        names = ", ".join(map(str, trials[:3]))
        raise LabError(f"{path}: {len(trials)} trials {why}, such as {names}. Every trial must be scored exactly once.")


def _write(rows: pd.DataFrame, path: Path, delimiter: str, *, header: bool) -> Path:
    with whole(path) as partial_file:
        rows.to_csv(partial_file, sep=delimiter, index=False, header=header, lineterminator="\n")
    return path
