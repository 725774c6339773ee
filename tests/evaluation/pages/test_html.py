import base64
from html.parser import HTMLParser

import pytest

from deepfake_lab.evaluation.pages.html import Listing, Page, Picture, Section, Table, render

EVIL = "<script>alert('x')</script> & \"quotes\""
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that tags are balanced, and remembers them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture
def page():
    return Page(
        title=EVIL,
        alarm="doubt",
        verdict=EVIL,
        reasons=[EVIL],
        warnings=[EVIL],
        sections=[
            Section(EVIL, [Table(EVIL, ("name", EVIL), [(EVIL, EVIL)])], EVIL),
            Section("Long", [Table(EVIL, ("a", "b"), [("1", "2")] * 3, folded=True), Listing(EVIL, EVIL, folded=True)]),
            Section("Seen", [Picture(b"picture", 200, EVIL, EVIL), Listing(EVIL, EVIL)]),
            Section("Nothing", []),
        ],
    )


def test_what_comes_from_data_is_escaped(page):
    read = Reader(render(page))
    assert not read.named("script")
    assert read.words.count(EVIL) == 17
    assert read.named("img")[0]["alt"] == EVIL


def test_a_page_needs_nothing_else(page):
    read = Reader(render(page))
    assert not read.named("link")
    (image,) = read.named("img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == b"picture"
    assert image["width"] == "200"
    assert "url(" not in render(page)
    assert "@import" not in render(page)


def test_a_page_can_be_read_aloud(page):
    read = Reader(render(page))
    assert read.named("html") == [{"lang": "en"}]
    assert {attributes["scope"] for attributes in read.named("th")} == {"row", "col"}
    assert len(read.named("caption")) == 1  # a folded table is named by its summary
    assert len(read.named("details")) == len(read.named("summary")) == 2
    assert [tag for tag, _ in read.tags if tag in ("h1", "h2")] == ["h1", *["h2"] * 4]


def test_an_empty_section_is_left_out(page):
    assert "Nothing" not in Reader(render(page)).words
