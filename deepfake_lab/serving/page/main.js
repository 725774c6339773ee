// The page: what is chosen goes to the service, what it says is shown.

import * as api from "./api.js";
import { RATE, asWav, decode, Player } from "./audio.js";
import { Pictures } from "./draw.js";
import { asJson, asPage, read, save } from "./report.js";
import { Listening, joined, moments, stretches } from "./stream.js";
import { clock, detector, doubt, headline, heard, percent, probability } from "./words.js";

const $ = (id) => document.getElementById(id);
const lanes = ["waveform", "spectrogram", "explanation", "scores"];
const pictures = new Pictures(Object.fromEntries(lanes.map((lane) => [lane, $(lane)])));
const player = new Player((time, on) => {
  moveTo(time);
  showPlaying(on);
});
let model = null; // ModelSaid
let answer = null; // said, model, made, explained: what can be kept; file: what it is about
let time = 0; // of the cursor, in s
let asking = null; // the request under way
let listening = null;

function announce(text) {
  $("announce").textContent = text;
}

function busy(text) {
  $("busy").hidden = !text;
  $("busy").textContent = text;
  if (text) announce(text);
}

function fail(problem) {
  busy("");
  $("result").hidden = true;
  $("error").hidden = false;
  const known = problem instanceof api.Problem;
  if (!known) console.error(problem);
  const [title, text] = known ? [problem.title, problem.message] : ["That did not work.", String(problem)];
  $("error").replaceChildren(element("strong", title), element("p", text));
  $("error").lastChild.className = "dim small";
  if (problem.code === "no_key") {
    $("access").open = true;
    $("key").focus();
  }
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

async function meet() {
  try {
    await api.ready();
    model = await api.model();
    $("service").textContent = detector(model);
    return true;
  } catch (problem) {
    $("service").textContent = "";
    fail(problem);
    return false;
  }
}

/** Forgets what was shown. */
function clear() {
  asking?.abort();
  player.stop();
  $("error").hidden = true;
  $("result").hidden = true;
  for (const id of ["compared", "explained"]) $(id).textContent = "";
  pictures.explained = null;
  $("moved").hidden = true;
  answer = null;
}

async function judge(file) {
  if (!file || listening) return;
  clear();
  const mine = (asking = new AbortController());
  busy(`Judging ${file.name} …`);
  try {
    if (!(await meet())) return;
    const [said, wave] = await Promise.all([api.detect(file, mine.signal), decode(file)]);
    if (asking !== mine) return;
    busy("");
    conclude(said, wave, file);
  } catch (problem) {
    if (asking === mine) fail(problem);
  }
}

/** Shows an answer that is complete. */
function conclude(said, wave, file) {
  answer = { said, model, made: new Date().toISOString(), file };
  $("result").hidden = false;
  $("name").textContent = said.path;
  $("words").textContent = headline(said);
  $("verdict").className = `card ${said.verdict === "bonafide" && said.p_fake > 0.5 ? "undecided" : said.verdict}`;
  $("probability").textContent = probability(said, model);
  $("reason").textContent = doubt(said, model);
  $("heard").replaceChildren(...heard(said).flatMap(([what, how]) => [element("dt", what), element("dd", how)]));
  for (const id of ["scale", "after"]) $(id).hidden = false;
  showScale(said);
  showStretches(said);
  $("play").disabled = !wave;
  $("explain").disabled = said.score === null;
  show(wave, said.duration_s, said.over_time, said.where);
  moveTo(0);
  announce(`${headline(said)}. ${probability(said, model)} ${doubt(said, model)}`);
}

function show(wave, duration, moments, spans, other = null) {
  pictures.show({ wave, duration: Math.max(duration, 1e-3), moments, spans, other, threshold: model.threshold });
  $("timeline").ariaValueMax = duration.toFixed(1);
}

function showScale({ p_fake: p, p_fake_low: low, p_fake_high: high }) {
  $("scale").hidden = p === null;
  $("point").style.left = `${100 * p}%`;
  $("limit").style.left = `${100 * model.threshold}%`;
  $("limit-words").textContent = `┆ threshold ${percent(model.threshold)}`;
  $("interval").hidden = low == null;
  $("interval").style.left = `${100 * low}%`;
  $("interval").style.width = `${100 * (high - low)}%`;
}

function showStretches({ where, over_time: moments }) {
  const rows = where.map(({ start_s: start, end_s: end }) => {
    const inside = moments.filter((one) => one.start_s < end && one.end_s > start).map((one) => one.p_fake);
    const button = element("button", `${clock(start)} to ${clock(end)}, up to ${percent(Math.max(...inside))}`);
    button.type = "button";
    button.onclick = () => play(start, end);
    const row = document.createElement("li");
    row.append(button);
    return row;
  });
  $("stretches").replaceChildren(...(rows.length ? rows : [element("li", "No part of it.")]));
}

function moveTo(seconds) {
  const { duration, moments } = pictures.shown;
  time = Math.max(0, Math.min(seconds, duration));
  const here = moments.find((one) => one.start_s <= time && time < one.end_s);
  $("cursor").style.left = `${(100 * time) / duration}%`;
  const words = `${clock(time)} of ${clock(duration)}${here ? `, probability of a fake ${percent(here.p_fake)}` : ""}`;
  $("where").textContent = words;
  $("timeline").ariaValueNow = time.toFixed(1);
  $("timeline").ariaValueText = words;
}

function showPlaying(on) {
  $("play").textContent = on ? "Stop" : "Play";
}

function play(from, to = pictures.shown.duration) {
  const { wave, duration } = pictures.shown;
  if (wave && !listening) player.play(wave, from < duration - 0.05 ? from : 0, to);
}

function toggle() {
  if (!player.playing) return play(time);
  player.stop();
  showPlaying(false);
}

function pressed(event) {
  const step = event.shiftKey ? 5 : 0.5;
  const moves = { ArrowLeft: time - step, ArrowRight: time + step, PageUp: time + 5, PageDown: time - 5, Home: 0, End: Infinity };
  if (event.key === " ") toggle();
  else if (event.key in moves) {
    const on = player.playing;
    moveTo(moves[event.key]);
    if (on) play(time);
  } else return;
  event.preventDefault();
}

function clicked(event) {
  const box = $("timeline").getBoundingClientRect();
  moveTo(((event.clientX - box.left) / box.width) * pictures.shown.duration);
  play(time);
}

const LIVE = { listening: "Listening …", flag: "Sounds fake", pass: "Nothing fake noticed" };

async function listen() {
  if (listening) return listening.stop();
  clear();
  busy("Opening the microphone …");
  $("microphone").disabled = true; // until it can be stopped
  const [pieces, decisions] = [[], []];
  const wave = () => joined(pieces, listening.samples);
  const said = () => moments(decisions, model.stream_hop_s);
  listening = new Listening({
    heard: (piece) => pieces.push(piece),
    decided: (decision) => {
      decisions.push(decision);
      showLive(decision, wave(), said());
    },
    ended: (final) => {
      const whole = wave();
      listening = null;
      showListening(false);
      if (final instanceof api.Problem) return fail(final);
      busy("");
      const over_time = said();
      conclude({ ...final, path: "microphone", over_time, where: stretches(over_time, model.threshold) }, whole, asWav(whole));
    },
  });
  try {
    if (!(await meet())) throw null;
    await listening.start();
    showListening(true);
    busy("Listening. Press “Stop listening” for the verdict.");
  } catch (problem) {
    listening = null;
    if (problem) fail(problem);
  }
  $("microphone").disabled = false;
}

function showListening(on) {
  $("microphone").textContent = on ? "Stop listening" : "Use the microphone";
  $("microphone").ariaPressed = String(on);
  $("choose").disabled = on;
}

/** Shows what is said of a stream so far. */
function showLive({ p_fake, reason, state, end_s }, wave, over_time) {
  $("result").hidden = false;
  $("after").hidden = true;
  $("play").disabled = $("explain").disabled = true;
  $("name").textContent = `microphone, ${clock(end_s)}`;
  if ($("words").textContent !== LIVE[state]) announce(LIVE[state]);
  $("words").textContent = LIVE[state];
  $("verdict").className = `card ${{ flag: "spoof", pass: "bonafide" }[state] ?? ""}`;
  $("probability").textContent = `Of what was just heard, the probability that it is fake is ${percent(p_fake)}.`;
  $("reason").textContent = reason && `That changes nothing: ${reason}.`;
  showScale({ p_fake });
  show(wave, wave.length / RATE, over_time, stretches(over_time, model.threshold));
  moveTo(wave.length / RATE);
}

/** Asks what moved the score, from where the cursor is on. */
async function explain() {
  const of = answer;
  const { signal } = (asking = new AbortController());
  $("explain").disabled = true;
  $("explained").textContent = "Looking for what moved it …";
  try {
    const found = await api.explain(of.file, time < of.said.duration_s - 0.5 ? time : 0, signal);
    if (answer !== of) return;
    pictures.explained = of.explained = found;
    const span = `From ${clock(found.times_s[0])} to ${clock(found.times_s.at(-1))}`;
    $("explained").textContent = `${span}: the stronger a colour, the further that moved the score. It shows what the detector went by, rightly or wrongly.`;
    $("attention").textContent = found.attention ? "; white line: when it paid attention" : "";
    $("moved").hidden = false;
    pictures.draw();
  } catch (problem) {
    if (answer === of) $("explained").textContent = `${problem.title ?? "That did not work."} ${problem.message}`;
  }
  if (answer === of) $("explain").disabled = false;
}

async function compare(file) {
  if (!file) return;
  const found = read(await file.text());
  const { said } = answer;
  if (!found) return ($("compared").textContent = "That file holds no saved answer. Choose one that was saved as JSON.");
  if (Math.abs(found.said.duration_s - said.duration_s) > 0.1)
    return ($("compared").textContent = `That is of another recording: ${clock(found.said.duration_s)} long, not ${clock(said.duration_s)}.`);
  $("compared").textContent = `Dashed: ${found.named}, which says “${headline(found.said)}” (${percent(found.said.p_fake)}); this one says “${headline(said)}” (${percent(said.p_fake)}).`;
  show(pictures.shown.wave, said.duration_s, said.over_time, said.where, found.said.over_time);
}

/** A name for a file to be saved. */
const fileName = (ending) => `${answer.said.path.replace(/[^\p{L}\p{N}._-]+/gu, "-")}.verdict.${ending}`;

function savePage() {
  const shown = [...document.querySelectorAll("#timeline canvas")].filter((canvas) => canvas.checkVisibility());
  const canvases = shown.map((canvas) => [canvas.previousElementSibling.textContent, canvas]);
  const limits = [...$("limits").children].map((item) => item.textContent.replace(/\s+/g, " "));
  save(fileName("html"), "text/html", asPage(answer, canvases, limits));
}

function drop(event) {
  event.preventDefault();
  $("drop").classList.toggle("over", event.type === "dragover");
  if (event.type === "drop") judge(event.dataTransfer.files[0]);
}

/** Makes a button open a chooser of files, and gives on what is chosen, the same file twice if so. */
function chooser(button, input, chosen) {
  button.onclick = () => input.click();
  input.onchange = () => {
    chosen(input.files[0]);
    input.value = "";
  };
}

chooser($("choose"), $("file"), judge);
chooser($("compare"), $("other"), compare);
$("microphone").onclick = listen;
$("play").onclick = toggle;
$("explain").onclick = explain;
$("timeline").onkeydown = pressed;
$("timeline").onclick = clicked;
$("save-json").onclick = () => save(fileName("json"), "application/json", asJson(answer));
$("save-html").onclick = savePage;
$("keys").onsubmit = (event) => {
  event.preventDefault();
  api.keep($("key").value.trim());
  $("error").hidden = true;
  meet().then((met) => met && announce("The key is good."));
};
for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, drop);
new ResizeObserver(() => pictures.draw()).observe($("timeline"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => pictures.draw());
$("key").value = api.key();
meet();
