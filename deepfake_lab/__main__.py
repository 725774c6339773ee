"""`deepfake-lab COMMAND ...` is `python -m deepfake_lab.COMMAND ...`."""

from __future__ import annotations

import difflib
import importlib
import sys

COMMANDS = {
    "run": "train a detector on a corpus, evaluate it, record everything in MLflow",
    "sweep": "search hyperparameters: many runs, hopeless ones ended early",
    "benchmark": "compare models, front-ends and seeds, on a corpus or across corpora",
    "prepare": "find or make a corpus's audio, check it, write its manifest",
    "synthesize": "train a neural vocoder on real speech, or copy recordings with it",
    "audit": "say what is wrong with a corpus: overlap, shortcuts, too little of something",
    "convert": "make a checkpoint of the lab out of official weights",
    "predict": "say of recordings how probably they are fake",
    "stream": "listen to a stream, flag what sounds fake while it is heard",
    "serve": "answer over HTTP and WebSockets how probably recordings and streams are fake",
    "adversary": "attack a detector with waveforms changed to mislead it, and say how far it holds",
    "robustness": "measure detectors under noise, codecs, rooms and the like, side by side",
    "export": "write a detector as ONNX, from the waveform to the score",
    "report": "print tables about what the lab holds: size and speed of every model",
}


def main() -> None:
    """Runs the command named first on the command line, or lists the commands."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: deepfake-lab COMMAND [key=value ...]      deepfake-lab COMMAND --help\n")
        print("\n".join(f"  {name:12s}{text}" for name, text in COMMANDS.items()))
        return
    name = arguments[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        print(f"error: {name}: no such command. {hint}Commands: {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"deepfake-lab {name}", *arguments[1:]]
    importlib.import_module(f"deepfake_lab.{name}").main()


if __name__ == "__main__":
    main()
