// Pictures of a recording that share one time axis.

import { extremes, spectrogram } from "./audio.js";

const RANGE_DB = 75; // of a spectrogram, below its loudest
const INKS = [[10, 8, 26], [72, 24, 106], [178, 54, 92], [244, 136, 62], [252, 244, 182]]; // quiet to loud

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function ink(level) {
  const at = Math.max(0, Math.min(level, 0.9999)) * (INKS.length - 1);
  const [one, two] = [INKS[Math.floor(at)], INKS[Math.floor(at) + 1]];
  return one.map((value, channel) => value + (two[channel] - value) * (at % 1));
}

/** A canvas whose sharpness is the screen's, emptied. */
function cleared(canvas) {
  canvas.style.height = `${canvas.dataset.height ??= canvas.getAttribute("height")}px`;
  const [width, height] = [canvas.clientWidth || 600, Number(canvas.dataset.height)];
  const sharp = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * sharp), Math.round(height * sharp)];
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  pen.font = "12px system-ui, sans-serif";
  return { pen, width, height };
}

/** Seconds between marks on the axis, so that they do not touch. */
const between = (duration, width) =>
  [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300].find((step) => (step / duration) * width >= 55) ?? 600;

/** All lanes; `shown` has wave, duration, moments, spans, threshold, and other: moments of another detector. */
export class Pictures {
  constructor(lanes) {
    this.lanes = lanes;
    this.shown = null;
    this.explained = null; // an `ExplanationSaid`
  }

  show(shown) {
    this.shown = shown;
    this.draw();
  }

  draw() {
    if (!this.shown || !this.lanes.waveform.clientWidth) return;
    this.waveform();
    this.spectrogram();
    if (this.explained) this.explanation();
    this.scores();
  }

  /** Marks what is more probably fake, over the whole height or a bar of it. */
  mark({ pen, width, height }, bar = 0) {
    const { spans, duration } = this.shown;
    for (const { start_s: start, end_s: end } of spans) {
      const [x, w] = [(start / duration) * width, ((end - start) / duration) * width];
      pen.fillStyle = colour("mark");
      if (!bar) pen.fillRect(x, 0, w, height);
      pen.fillStyle = colour("fake");
      pen.fillRect(x, 0, w, bar || 3);
    }
  }

  waveform() {
    const area = cleared(this.lanes.waveform);
    const { pen, width, height } = area;
    this.mark(area);
    const { wave } = this.shown;
    if (!wave) return this.missing(area);
    const parts = extremes(wave, Math.round(width));
    const most = Math.max(0.02, ...parts.map(([low, high]) => Math.max(-low, high)));
    pen.fillStyle = colour("ink");
    parts.forEach(([low, high], x) => {
      const [top, bottom] = [high, low].map((value) => (0.5 - (0.46 * value) / most) * height);
      pen.fillRect(x, top, 1, Math.max(bottom - top, 1));
    });
  }

  missing({ pen, height }) {
    pen.fillStyle = colour("dim");
    pen.fillText("This browser cannot play this format. The service has read it.", 8, height / 2);
  }

  spectrogram() {
    const area = cleared(this.lanes.spectrogram);
    const { pen, width, height } = area;
    const { wave } = this.shown;
    if (!wave) return this.missing(area);
    const columns = Math.round(width);
    if (this.seen?.wave !== wave || this.seen.columns !== columns)
      this.seen = { wave, columns, rows: spectrogram(wave, columns) };
    const { rows } = this.seen;
    const loudest = rows.reduce((most, row) => row.reduce((one, two) => Math.max(one, two), most), -60);
    const image = new ImageData(columns, rows[0].length);
    rows.forEach((row, x) =>
      row.forEach((level, bin) => {
        const at = 4 * ((row.length - 1 - bin) * columns + x);
        image.data.set([...ink(1 + (level - loudest) / RANGE_DB), 255], at);
      }),
    );
    const whole = new OffscreenCanvas(columns, rows[0].length);
    whole.getContext("2d").putImageData(image, 0, 0);
    pen.drawImage(whole, 0, 0, width, height);
    this.mark(area, 5);
  }

  /** What moved the score, over a spectrogram that has lost its colours. */
  explanation() {
    const { pen, width, height } = cleared(this.lanes.explanation);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, width, height);
    if (this.shown.wave) {
      pen.globalAlpha = 0.4;
      pen.drawImage(this.lanes.spectrogram, 0, 0, width, height);
      pen.globalAlpha = 1;
      pen.globalCompositeOperation = "saturation";
      pen.fillRect(0, 0, width, height);
      pen.globalCompositeOperation = "source-over";
    }
    const { parts, attention, times_s: times } = this.explained;
    const x = (time) => (time / this.shown.duration) * width;
    const [left, right] = [x(times[0]), x(times.at(-1))];
    pen.drawImage(heat(parts), left, 0, right - left, height);
    pen.strokeStyle = "#fff";
    for (const edge of [left, right]) line(pen, [[edge, 0], [edge, height]]);
    if (!attention) return;
    const most = Math.max(...attention);
    line(pen, attention.map((share, at) => [x((times[at] + times[at + 1]) / 2), height - 2 - (0.45 * height * share) / most]));
  }

  scores() {
    const area = cleared(this.lanes.scores);
    const { pen, width, height } = area;
    const { moments, other, threshold, duration } = this.shown;
    const y = (p) => 8 + (1 - p) * (height - 34);
    this.mark(area);
    this.axes(area, y);
    pen.setLineDash([5, 4]);
    pen.strokeStyle = colour("ink");
    line(pen, [[0, y(threshold)], [width, y(threshold)]]);
    const steps = (row) => row.map((one) => [one.start_s, one.end_s].map((at) => [(at / duration) * width, y(one.p_fake)]));
    pen.lineWidth = 2;
    if (other) {
      pen.strokeStyle = colour("dim");
      line(pen, steps(other).flat());
    }
    pen.setLineDash([]);
    steps(moments).forEach((step, at) => {
      pen.strokeStyle = colour(moments[at].p_fake > threshold ? "fake" : "real");
      pen.lineWidth = 3.5;
      line(pen, step);
      const next = moments[at + 1];
      if (!next || next.start_s > moments[at].end_s + 0.01) return;
      pen.lineWidth = 1;
      line(pen, [step[1], steps([next])[0][0]]);
    });
  }

  axes({ pen, width, height }, y) {
    const { duration, threshold } = this.shown;
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    for (const p of [0, 0.5, 1]) line(pen, [[0, y(p)], [width, y(p)]]);
    pen.fillStyle = colour("dim");
    pen.fillText("100 %", 4, y(1) + 12);
    pen.fillText("0 %", 4, y(0) - 3);
    pen.textAlign = "right";
    pen.fillText(`threshold ${Math.round(100 * threshold)} %`, width - 4, y(threshold) - 4);
    pen.textAlign = "center";
    const step = between(duration, width);
    for (let time = step; time < duration - step / 3; time += step) {
      pen.fillText(time < 60 ? `${time} s` : `${Math.floor(time / 60)}:${String(time % 60).padStart(2, "0")}`, (time / duration) * width, height - 5);
      line(pen, [[(time / duration) * width, y(0)], [(time / duration) * width, y(0) + 5]]);
    }
    pen.textAlign = "start";
  }
}

const TOWARDS = { fake: [255, 138, 76], real: [94, 176, 255] };

/** Cells of time and frequency as a picture: by colour where they moved a score, by strength how far. */
function heat(parts) {
  const strengths = parts.flat().map(Math.abs).sort((one, two) => one - two);
  const most = strengths[Math.floor(0.99 * (strengths.length - 1))] || 1; // a few cells would outshine all
  const [bands, steps] = [parts.length, parts[0].length];
  const image = new ImageData(steps, bands);
  parts.forEach((row, band) =>
    row.forEach((value, step) => {
      const at = 4 * ((bands - 1 - band) * steps + step);
      image.data.set([...TOWARDS[value < 0 ? "fake" : "real"], 255 * Math.min(Math.sqrt(Math.abs(value) / most), 1)], at);
    }),
  );
  const whole = new OffscreenCanvas(steps, bands);
  whole.getContext("2d").putImageData(image, 0, 0);
  return whole;
}

function line(pen, points) {
  pen.beginPath();
  points.forEach(([x, y]) => pen.lineTo(x, y));
  pen.stroke();
}
