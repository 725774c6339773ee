"""Makes a tiny MLAAD, laid out like the release.

python tests/data/make_mlaad.py FOLDER
"""

import sys
from pathlib import Path

from signals import write

HEADER = "path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript"
MODELS = {
    ("en", "tts_models_en_ljspeech_vits"): "vits",
    ("en", "OpenAI TTS-1 HD (new)"): "unknown",  # blanks and brackets occur
    ("de", "tts_models_multilingual_multi-dataset_xtts_v2"): "xtts",
    ("uk", "tts_models_multilingual_multi-dataset_xtts_v2"): "xtts",
}
TRANSCRIPTS = ("A plain line", '"Stop," he said', "with a | in it", '"unbalanced', "two\nlines")
CLIPS = 10


def original(number: int) -> str:
    """The recording of M-AILABS whose text is spoken by that clip of every model."""
    return f"en_US/by_book/female/mary_ann/northandsouth/wavs/northandsouth_01_f{number:06d}.wav"


def make(folder: Path) -> dict[str, Path]:
    """Makes `folder/MLAAD`; returns the settings that find it. One clip of each model is in no list."""
    root = folder / "MLAAD"
    for seed, ((language, model), architecture) in enumerate(MODELS.items()):
        lines = [HEADER]
        for number in range(CLIPS + 1):
            path = f"fake/{language}/{model}/northandsouth_01_f{number:06d}.wav"
            write(root / path, 100 * seed + number, rate=22_050)
            if number < CLIPS:
                text = TRANSCRIPTS[number % len(TRANSCRIPTS)]
                own = f"{language}|{language == 'en'}|0.18|ljspeech|{model}|{architecture}|{text}"
                lines.append(f"./{path}|{original(number)}|{own}")
        (root / "fake" / language / model / "meta.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"root": root}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
