"""Who speaks in openprompts: collections of recordings in Debian packages, and the voices in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal, NamedTuple

from deepfake_lab.data.manifest import UNKNOWN
from deepfake_lab.types import Split

_NOT_SPEECH: Final = frozenset(
    [
        *("ascending-2tone", "beep", "beeperr", "descending-2tone", "tt-monkeys"),
        *("Hmm", "Laugh", "Nooo", "PoisonCough", "PoisonMoan"),
    ]
)


class Collection(NamedTuple):
    """Recordings that came about together.

    Attributes:
        name: prefixes their speakers and groups.
        package: the Debian package, one a language where it names "{language}".
        folder: pattern of the folder within the package that the recordings lie in; likewise.
        line: what becomes of them, "telephone" or "wide"; see `openprompts_lines`.
        shortest_s: pieces with less speech, in seconds, are dropped.
        least_bytes: smaller files hold too little to be looked into; empty ones stay, to be told of.
        licence: of the recordings, and of what is made of them.
    """

    name: str
    package: str
    folder: str
    line: Literal["telephone", "wide"]
    shortest_s: float
    least_bytes: int
    licence: str


class Voice(NamedTuple):
    """One person who speaks one language in a collection.

    Attributes:
        collection: where the recordings come from.
        language: ISO 639-1 code.
        speaker: name within the collection; the language, where nobody is credited.
        gender: "F", "M", or "-" where nobody says.
        split: that the person speaks in.
        files: pattern of the recordings' paths within the collection's folder.
        credit: who is to be named.
    """

    collection: Collection
    language: str
    speaker: str
    gender: str
    split: Split
    files: str
    credit: str

    @property
    def package(self) -> str:
        """Name of the Debian package."""
        return self.collection.package.format(language=self.language)

    @property
    def folder(self) -> str:
        """Pattern of the folder within the package that the recordings lie in."""
        return self.collection.folder.format(language=self.language)

    def recordings(self, folder: Path) -> list[Path]:
        """Files of this voice below the collection's folder that may be speech of some length, each content once."""
        named = sorted(p for p in folder.rglob("*.*") if fnmatchcase(p.relative_to(folder).as_posix(), self.files))
        found = [
            path
            for path in named
            if path.stem not in _NOT_SPEECH
            and "silence" not in path.relative_to(folder).parts
            and not 0 < path.stat().st_size < self.collection.least_bytes
        ]
        return sorted({hashlib.sha256(path.read_bytes()).digest(): path for path in reversed(found)}.values())


TELEPHONE: Final = Collection(
    "asterisk",
    "asterisk-core-sounds-{language}-g722",
    "usr/share/asterisk/sounds/{language}_*",
    "telephone",
    1.2,
    12_000,  # 1.5 s of G.722
    "CC BY-SA 3.0 (en, es, fr), CC BY 3.0 (it, ru): https://creativecommons.org/licenses/by-sa/3.0/ and "
    "https://creativecommons.org/licenses/by/3.0/",
)
STAMPS: Final = Collection(
    "tuxpaint",
    "tuxpaint-stamps-default",
    "usr/share/tuxpaint/stamps",
    "wide",
    1.0,
    0,
    "GNU General Public License, version 2: https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
)
POTATO: Final = Collection(
    "ktuberling",
    "ktuberling-data",
    "usr/share/ktuberling/sounds",
    "wide",
    1.0,
    0,
    "GNU General Public License, version 2 or later: https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
)
HEDGEHOGS: Final = Collection(
    "hedgewars",
    "hedgewars-data",
    "usr/share/games/hedgewars/Data/Sounds/voices",
    "wide",
    1.0,
    0,
    "GNU Free Documentation License 1.3 or GNU General Public License, version 2 (see the package's copyright file)",
)
FISH: Final = Collection(
    "fillets",
    "fillets-ng-data-{language}",
    "usr/share/games/fillets-ng/sound",
    "wide",
    1.0,
    0,
    "GNU General Public License, version 2: https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
)
COLLECTIONS: Final = {one.name: one for one in (TELEPHONE, STAMPS, POTATO, HEDGEHOGS, FISH)}


def _prompts(language: str, speaker: str, gender: str, split: Split, credit: str) -> Voice:
    return Voice(TELEPHONE, language, speaker, gender, split, "*.g722", credit)


def _stamps(language: str, speaker: str, gender: str, split: Split, credit: str) -> Voice:
    return Voice(STAMPS, language, speaker, gender, split, f"*_desc_{language}.ogg", credit)


def _words(language: str, split: Split) -> Voice:
    return Voice(POTATO, language, language, UNKNOWN, split, f"{language}/*", "KDE's translators")


def _phrases(language: str, name: str, split: Split) -> Voice:
    return Voice(HEDGEHOGS, language, name, UNKNOWN, split, f"{name}/*", "the Hedgewars Project")


def _fish(name: str, letter: str) -> Voice:
    return Voice(FISH, "cs", name, UNKNOWN, "train", f"*/cs/*-{letter}-*.ogg", "ALTAR interactive and others")


TELEPHONE_VOICES: Final = (  # English and Spanish are the same person
    _prompts("en", "Allison", "F", "train", "Allison Smith (theivrvoice.com)"),
    _prompts("es", "Allison", "F", "train", "Allison Smith (theivrvoice.com)"),
    _prompts("fr", "June", "F", "train", "June Wallack (junewallack.com)"),
    _prompts("it", "Carlo", "M", "dev", "Carlo Flora (carloflora.com)"),
    _prompts("ru", "IvrvoiceRU", "F", "test", "provided by Maxim Topal (ivrvoice.ru)"),
)
# A language's volunteers may have spoken in several collections, so all of them are in one split. Of Hedgewars Robot,
# Classic and Default (effects), Default_ru (one pitch throughout: a machine) and Singer are left out.
WIDE_VOICES: Final = (
    _stamps("be", "KseniyaBuraya", "F", "train", "Kseniya Buraya"),
    _stamps("bg", "KrasimirPetkov", "M", "train", "Krasimir Petkov"),
    _stamps("ca", "ca", UNKNOWN, "train", "contributed by Pere Pujal i Carabantes"),
    _stamps("es", "EstefaniaOrtiz", "F", "train", "Estefanía Ortiz"),
    _stamps("fr", "PaulK", UNKNOWN, "train", "PaulK, Jacques Chion"),
    _stamps("ro", "Tabbytha", UNKNOWN, "train", "Tabbytha"),
    _stamps("el", "KiriakiSerafeim", "F", "dev", "Kiriaki Serafeim"),
    _stamps("da", "JoeDalton", "M", "test", "Joe Dalton"),
    _stamps("ru", "EdwinVeber", "M", "test", "Edwin Veber"),
    *(_words(language, "train") for language in ("ca", "en", "fr", "nn", "ro")),
    *(_words(language, "dev") for language in ("el", "gl", "lt", "uk")),
    *(_words(language, "test") for language in ("da", "de", "ru", "sl")),
    *(_phrases("en", name, "train") for name in ("British", "HillBilly", "Mobster", "Pirate", "Russian", "Surfer")),
    _phrases("es", "Default_es", "train"),
    _phrases("pl", "Default_pl", "train"),
    _phrases("pl", "Russian_pl", "train"),
    _phrases("uk", "Default_uk", "dev"),
    _fish("big", "v"),
    _fish("small", "m"),
)


def notice(voices: Iterable[Voice]) -> str:
    """Text of the NOTICE file: sources, people, licences, changes."""
    credits: dict[Collection, dict[str, list[str]]] = {}
    packages: dict[Collection, dict[str, None]] = {}
    for voice in voices:
        credits.setdefault(voice.collection, {}).setdefault(voice.credit, []).append(voice.language)
        packages.setdefault(voice.collection, {})[voice.package] = None
    told = [
        f"{', '.join(packages[collection])}\n"
        f"  Recordings: {'; '.join(f'{name} ({_all(languages)})' for name, languages in people.items())}\n"
        f"  Licence: {collection.licence}\n"
        for collection, people in credits.items()
    ]
    return _NOTICE.format(sources="\n".join(told))


def _all(languages: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(languages))


_NOTICE: Final = """This folder was made by deepfake_lab (data=openprompts) from these Debian packages, the telephone
prompts among them recorded with the support of Digium, Inc. and others:

{sources}
Changes: recordings were cut, filtered and mixed with faint noise, telephone prompts also limited and coded again with
G.722; files whose manifest row says "spoof" were synthesised, some of them from the recordings. What is made of a
recording is under its licence. The packages' own copyright files lie under packages/.
"""
