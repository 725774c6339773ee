// Runs where the browser hears: turns what comes into 16-bit samples at 16 kHz.

const RATE = 16000;
const CHUNK = 640; // 40 ms
const ZEROS = 16; // of the sinc, to either side

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** A low-pass for each place that a sample of 16 kHz can have between two of the browser's. */
function filters(rate, phases) {
  const cut = 0.94 * Math.min(1, RATE / rate); // of half the browser's rate
  const half = Math.ceil(ZEROS / cut);
  return Array.from({ length: phases }, (_, phase) => {
    const taps = Float64Array.from({ length: 2 * half }, (_, tap) => {
      const x = tap - half + 1 - phase / phases;
      const sinc = x ? Math.sin(Math.PI * cut * x) / (Math.PI * x) : cut;
      return Math.abs(x) < half ? sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / half)) : 0;
    });
    const sum = taps.reduce((total, value) => total + value, 0);
    return taps.map((value) => value / sum);
  });
}

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    const common = divisor(sampleRate, RATE);
    this.up = RATE / common; // a sample of 16 kHz is `down / up` of the browser's
    this.down = sampleRate / common;
    this.filters = filters(sampleRate, this.up);
    this.length = this.filters[0].length;
    this.held = new Float32Array(this.length / 2 - 1); // silence before the beginning
    this.at = 0; // of the next sample in `held`, in parts of `up`
    this.chunk = new Int16Array(CHUNK);
    this.filled = 0;
    this.open = true;
    this.port.onmessage = () => {
      if (!this.open) return;
      this.open = false;
      this.port.postMessage(this.chunk.slice(0, this.filled));
      this.port.postMessage(null); // that was all
    };
  }

  process([input]) {
    if (!this.open || !input.length) return this.open;
    const held = new Float32Array(this.held.length + input[0].length);
    held.set(this.held);
    for (const channel of input) channel.forEach((value, at) => (held[this.held.length + at] += value / input.length));
    for (;;) {
      const start = Math.floor(this.at / this.up);
      if (start + this.length > held.length) break;
      let sum = 0;
      const taps = this.filters[this.at % this.up];
      for (let tap = 0; tap < this.length; tap++) sum += taps[tap] * held[start + tap];
      this.add(sum);
      this.at += this.down;
    }
    const done = Math.min(Math.floor(this.at / this.up), held.length);
    this.held = held.slice(done);
    this.at -= done * this.up;
    return true;
  }

  add(value) {
    this.chunk[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
    if (this.filled < CHUNK) return;
    this.port.postMessage(this.chunk, [this.chunk.buffer]);
    this.chunk = new Int16Array(CHUNK);
    this.filled = 0;
  }
}

registerProcessor("recorder", Recorder);
