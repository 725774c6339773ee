"""The page says what the service says, to everybody, in a real browser."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
HEADLINES = {
    "spoof": ["Probably fake"],
    "bonafide": ["Probably real", "Not judged fake, but only just"],
    "undecided": ["Undecided"],
}
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}")


@pytest.fixture(scope="module")
def browser(speech, encode, tmp_path_factory):
    """Chromium, whose microphone hears somebody speak."""
    heard = tmp_path_factory.mktemp("microphone") / "heard.wav"
    heard.write_bytes(encode(speech(6.0), subtype="PCM_16"))
    arguments = [
        "--no-sandbox",
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={heard}",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens the page of a service, whatever is wrong with which is written down."""
    contexts = []

    def visit(running, **settings):
        context = browser.new_context(permissions=["microphone"], accept_downloads=True, **settings)
        contexts.append(context)
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective))"
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("websocket", lambda socket: page.asked.append(socket.url.replace("ws:", "http:")))
        page.on(
            "console", lambda said: page.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.origin = f"http://127.0.0.1:{running.port}/"
        page.goto(page.origin)
        expect(page.locator("#service")).to_contain_text("Detector: detector")
        return page

    yield visit
    for context in contexts:
        context.close()


def choose(page, content, name="a.wav", field="#file"):
    page.set_input_files(field, {"name": name, "mimeType": "application/octet-stream", "buffer": content})


def assert_clean(page):
    """That nothing was complained of, and nobody else was asked."""
    assert page.complaints == []
    assert page.asked
    assert [url for url in page.asked if not url.startswith((page.origin, f"blob:{page.origin}"))] == []


def percent(p):
    return "less than 1 %" if p < 0.01 else "more than 99 %" if p > 0.99 else f"{int(100 * p + 0.5)} %"


def saved(page, button):
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_text(encoding="utf-8"), download.value.suggested_filename


def inked(page, canvas):
    """How many colours a canvas has."""
    script = """canvas => new Set(new Uint32Array(
        canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
    return page.locator(canvas).evaluate(script)


def test_shows_the_verdict_that_the_service_gives(service, visit, speech, encode):
    content = encode(speech(4.3))
    said = service.detect(content, "a.wav").json()
    page = visit(service)
    choose(page, content)
    expect(page.locator("#words")).to_have_text(re.compile("|".join(HEADLINES[said["verdict"]])))
    expect(page.locator("#probability")).to_contain_text(f"is fake is {percent(said['p_fake'])}, if 50 %")
    interval = f"interval of its parts: {percent(said['p_fake_low'])} to {percent(said['p_fake_high'])}."
    expect(page.locator("#probability")).to_contain_text(interval)
    expect(page.locator("#announce")).to_contain_text(page.locator("#words").inner_text())
    expect(page.locator("#heard")).to_contain_text("0:04.3")
    assert page.locator("#stretches button").count() == len(said["where"]) > 0
    assert inked(page, "#spectrogram") > 100
    assert inked(page, "#waveform") > 1
    assert inked(page, "#scores") > 3
    assert_clean(page)


def test_predict_stream_service_and_page_say_the_same(service, visit, lab, checkpoint, speech, encode):
    content = encode(speech(4.0), subtype="PCM_16")
    (lab.folder / "a.wav").write_bytes(content)
    settings = (f"checkpoint={checkpoint}", "input=a.wav", "device=cpu")
    assert lab("predict", *settings, "output=predicted.jsonl")[0] == 0
    assert lab("stream", *settings, "log=decisions.jsonl")[0] == 0
    predicted = json.loads((lab.folder / "predicted.jsonl").read_text())
    lines = [json.loads(line) for line in (lab.folder / "decisions.jsonl").read_text().splitlines()]
    page = visit(service)
    choose(page, content)
    expect(page.locator("#words")).not_to_be_empty()
    scores = {
        "stream": np.mean([line["score"] for line in lines if "score" in line]),
        "service": service.detect(content).json()["score"],
        "service's stream": service.hear(speech(4.0))[-1]["score"],
        "page": json.loads(saved(page, "#save-json")[0])["said"]["score"],
    }
    assert scores == pytest.approx(dict.fromkeys(scores, predicted["score"]), abs=1e-4)
    assert predicted["windows"] == len(lines) == 8


def test_shows_what_moved_the_score_from_where_one_looks(service, visit, speech, encode):
    page = visit(service)
    choose(page, encode(speech(11.0)))
    expect(page.locator("#words")).not_to_be_empty()
    expect(page.locator("#explanation")).to_be_hidden()
    page.locator("#timeline").focus()
    page.keyboard.press("PageDown")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")  # back to the beginning and on
    page.keyboard.press("PageUp")
    assert page.locator("#timeline").get_attribute("aria-valuenow") == "5.0"
    page.click("#explain")
    expect(page.locator("#explained")).to_contain_text("From 0:05.0 to 0:11.0")
    assert inked(page, "#explanation") > 100
    assert json.loads(saved(page, "#save-json")[0])["explained"]["times_s"][0] == 5
    assert saved(page, "#save-html")[0].count("data:image/png;base64,") == 4
    choose(page, encode(speech(2.0)))
    expect(page.locator("#explanation")).to_be_hidden()
    assert_clean(page)


def test_says_why_nothing_is_decided(service, visit, encode):
    page = visit(service)
    choose(page, encode(0.1 * np.sin(np.arange(32_000) * 0.05).astype(np.float32)), "tone.wav")
    expect(page.locator("#words")).to_have_text("Undecided")
    expect(page.locator("#reason")).to_contain_text("no speech (0.0 s found)")


def test_plays_from_a_stretch_and_moves_by_keys(service, visit, speech, encode):
    page = visit(service)
    choose(page, encode(speech(4.0)))
    expect(page.locator("#words")).not_to_be_empty()
    timeline = page.locator("#timeline")
    timeline.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(timeline).to_have_attribute("aria-valuenow", "1.0")
    assert re.fullmatch(r"0:01\.0 of 0:04\.0, probability of a fake .*\s%", timeline.get_attribute("aria-valuetext"))
    page.keyboard.press("End")
    expect(timeline).to_have_attribute("aria-valuenow", "4.0")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_text("Stop")
    expect(timeline).not_to_have_attribute("aria-valuenow", "0.0")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_text("Play")
    box = timeline.bounding_box()
    timeline.click(position={"x": box["width"] / 2, "y": 30})
    expect(page.locator("#play")).to_have_text("Stop")
    assert 2.0 <= float(timeline.get_attribute("aria-valuenow")) < 3.9
    page.locator("#stretches button").first.click()
    expect(page.locator("#play")).to_have_text("Play"), "it ends with the stretch"
    assert_clean(page)


def test_the_keyboard_alone_is_enough(service, visit, speech, encode, tmp_path):
    (tmp_path / "spoken.flac").write_bytes(encode(speech(2.0), "flac"))
    page = visit(service)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    with page.expect_file_chooser() as chooser:  # takes a moment until it would see one
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "choose"
        assert page.evaluate(outline) == "solid", "the focus is seen"
        page.keyboard.press("Enter")
    chooser.value.set_files(tmp_path / "spoken.flac")
    expect(page.locator("#words")).not_to_be_empty()
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "timeline":
            break
    assert page.evaluate("document.activeElement.id") == "timeline"
    assert page.evaluate(outline) == "solid"


def test_judges_the_microphone(service, visit):
    page = visit(service)
    page.click("#microphone")
    expect(page.locator("#name")).to_have_text(re.compile(r"microphone, 0:0[3-9]"))
    expect(page.locator("#words")).to_have_text(re.compile("Sounds fake|Nothing fake noticed"))
    page.click("#microphone")
    expect(page.locator("#name")).to_have_text("microphone")
    said = json.loads(saved(page, "#save-json")[0])["said"]
    assert said["ended"] == "end"
    assert said["quality"]["speech_s"] > 1.0, "somebody spoke"
    assert 7_000 < said["quality"]["band_hz"] <= 8_000
    assert len(said["over_time"]) >= 5
    expect(page.locator("#words")).to_have_text(re.compile("|".join(HEADLINES[said["verdict"]])))
    page.click("#explain")
    expect(page.locator("#explained")).to_contain_text("From 0:00.0 to 0:0")
    assert_clean(page)


def test_a_drop_is_judged_too(service, visit, speech, encode):
    page = visit(service)
    transfer = page.evaluate_handle(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'dropped.wav')); return data; }""",
        list(encode(speech(1.5))),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(page.locator("#name")).to_have_text("dropped.wav")


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"This is no audio at all. " * 50, "Choose a recording, or a video with sound."),
        (b"\0" * 2_100_000, "An upload has at most 2 MB."),
        ("minute", "The recording is too long."),
    ],
)
def test_what_goes_wrong_is_said_in_words(service, visit, speech, encode, content, title):
    page = visit(service)
    choose(page, encode(speech(61.0), "flac") if content == "minute" else content, "notes.txt")
    expect(page.locator("#error")).to_contain_text(title)
    expect(page.locator("#result")).to_be_hidden()
    assert all("status of 4" in complaint for complaint in page.complaints), "but for what a browser says itself"


def test_a_key_is_asked_for_and_kept_for_this_tab(start, browser, speech, encode, tmp_path):
    (tmp_path / "keys.txt").write_text(hashlib.sha256(b"sesame").hexdigest())
    running = start(f"keys={tmp_path / 'keys.txt'}")
    context = browser.new_context(permissions=["microphone"])
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{running.port}/")
    expect(page.locator("#error")).to_contain_text("This service wants a key.")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type("sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#service")).to_contain_text("Detector: detector")
    choose(page, encode(speech(1.5)))
    expect(page.locator("#words")).not_to_be_empty()
    page.click("#microphone")
    expect(page.locator("#name")).to_have_text(re.compile("microphone, 0:0"))
    page.click("#microphone")
    expect(page.locator("#name")).to_have_text("microphone")
    assert page.evaluate("localStorage.length") == 0
    other = context.new_page()
    other.goto(page.url)
    expect(other.locator("#error")).to_contain_text("This service wants a key.")
    context.close()


def test_a_service_that_is_gone_is_said_to_be(start, visit, speech, encode):
    running = start()
    page = visit(running)
    assert running.stop()
    choose(page, encode(speech(1.0)))
    expect(page.locator("#error")).to_contain_text("The service cannot be reached.")


def test_is_saved_and_compared(service, visit, speech, encode):
    content = encode(speech(3.0))
    page = visit(service)
    choose(page, content, "<b>a & b</b>.wav")
    expect(page.locator("#name")).to_have_text(re.compile("wav$"))
    text, name = saved(page, "#save-json")
    kept = json.loads(text)
    assert kept["said"]["p_fake"] == pytest.approx(service.detect(content).json()["p_fake"], abs=1e-4)
    assert kept["model"]["digest"] == service.client.get("/v1/model").json()["digest"]
    assert name.endswith(".verdict.json")
    report, _ = saved(page, "#save-html")
    assert report.count("data:image/png;base64,") == 3
    assert page.locator("#words").inner_text() in report
    assert "<b>a" not in report
    assert not re.search(r"<script|https?://", report)
    kept["model"]["name"] = "another"
    choose(page, json.dumps(kept).encode(), "other.json", field="#other")
    expect(page.locator("#compared")).to_contain_text("Dashed: another")
    choose(page, b"{}", "other.json", field="#other")
    expect(page.locator("#compared")).to_contain_text("holds no saved answer")
    kept["said"]["duration_s"] = 9.0
    choose(page, json.dumps(kept).encode(), "other.json", field="#other")
    expect(page.locator("#compared")).to_contain_text("another recording: 0:09.0 long, not 0:03.0")
    assert_clean(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(service, visit, speech, encode, scheme):
    page = visit(service, viewport={"width": 360, "height": 740}, color_scheme=scheme, device_scale_factor=2)
    choose(page, encode(speech(4.0)), "a recording with a long name and " + "x" * 90 + ".wav")
    expect(page.locator("#stretches button").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    narrow = page.locator("button:visible").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert min(narrow) >= 44, "a finger hits them"
    assert_clean(page)
