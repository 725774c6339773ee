// Audio in the browser: decoded, played, and looked at.

export const RATE = 16000;
const FRAME = 512;

/** One channel of a file at 16 kHz, or null where this browser cannot read it: the service reads more formats. */
export async function decode(file) {
  try {
    const found = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
    const wave = new Float32Array(found.length);
    for (let channel = 0; channel < found.numberOfChannels; channel++) {
      found.getChannelData(channel).forEach((value, at) => (wave[at] += value / found.numberOfChannels));
    }
    return wave;
  } catch {
    return null;
  }
}

/** Samples as a file of 16 bits. */
export function asWav(wave) {
  const view = new DataView(new ArrayBuffer(44 + 2 * wave.length));
  const word = (at, text) => [...text].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, view.byteLength - 8, true);
  word(8, "WAVEfmt ");
  const format = [[16, 4], [1, 2], [1, 2], [RATE, 4], [2 * RATE, 4], [2, 2], [16, 2]]; // value, bytes
  let at = 16;
  for (const [value, bytes] of format) {
    view[bytes === 4 ? "setUint32" : "setUint16"](at, value, true);
    at += bytes;
  }
  word(36, "data");
  view.setUint32(40, 2 * wave.length, true);
  wave.forEach((value, place) => view.setInt16(44 + 2 * place, Math.max(-32768, Math.min(32767, Math.round(value * 32768))), true));
  return new File([view], "microphone.wav", { type: "audio/wav" });
}

/** Fourier transform in place, of as many numbers as a power of 2. */
function transform(real, imaginary) {
  const size = real.length;
  for (let at = 1, other = 0; at < size; at++) {
    let bit = size >> 1;
    for (; other & bit; bit >>= 1) other ^= bit;
    other ^= bit;
    if (at < other) [real[at], real[other]] = [real[other], real[at]];
  }
  for (let length = 2; length <= size; length *= 2) {
    for (let turn = 0; turn < length / 2; turn++) {
      const cos = Math.cos((2 * Math.PI * turn) / length);
      const sin = -Math.sin((2 * Math.PI * turn) / length);
      for (let one = turn; one < size; one += length) {
        const two = one + length / 2;
        const a = real[two] * cos - imaginary[two] * sin;
        const b = real[two] * sin + imaginary[two] * cos;
        [real[two], imaginary[two]] = [real[one] - a, imaginary[one] - b];
        real[one] += a;
        imaginary[one] += b;
      }
    }
  }
}

/** Power in dB of `columns` frames of 32 ms, spread evenly: one row of 256 frequencies each. */
export function spectrogram(wave, columns) {
  const hann = Float64Array.from({ length: FRAME }, (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / FRAME));
  return Array.from({ length: columns }, (_, column) => {
    const start = Math.round(((column + 0.5) / columns) * wave.length - FRAME / 2);
    // real numbers alone, so that swapping them in the transform is enough
    const real = hann.map((weight, at) => weight * (wave[start + at] ?? 0));
    const imaginary = new Float64Array(FRAME);
    transform(real, imaginary);
    return Float32Array.from({ length: FRAME / 2 }, (_, bin) => 10 * Math.log10(real[bin] ** 2 + imaginary[bin] ** 2 + 1e-10));
  });
}

/** Lowest and highest sample of each of `columns` parts. */
export function extremes(wave, columns) {
  return Array.from({ length: columns }, (_, column) => {
    let [low, high] = [0, 0];
    const end = Math.ceil(((column + 1) / columns) * wave.length);
    for (let at = Math.floor((column / columns) * wave.length); at < end; at++) {
      if (wave[at] < low) low = wave[at];
      if (wave[at] > high) high = wave[at];
    }
    return [low, high];
  });
}

/** Plays parts of a waveform; `moved` is told the time in s as it goes on, and whether it still does. */
export class Player {
  constructor(moved) {
    this.moved = moved;
    this.source = null;
  }

  get playing() {
    return this.source !== null;
  }

  async play(wave, from, to) {
    this.stop();
    this.context ??= new AudioContext();
    const { context } = this;
    const buffer = context.createBuffer(1, Math.max(wave.length, 1), RATE);
    buffer.copyToChannel(wave, 0);
    const source = (this.source = context.createBufferSource());
    source.buffer = buffer;
    source.connect(context.destination);
    await context.resume();
    if (this.source !== source) return; // stopped meanwhile
    const begun = context.currentTime;
    source.start(0, from, Math.max(to - from, 0.01));
    const follow = () => {
      if (this.source !== source) return;
      const now = Math.min(from + context.currentTime - begun, to);
      if (now >= to) this.stop();
      this.moved(now, this.playing);
      requestAnimationFrame(follow);
    };
    this.moved(from, true);
    follow();
  }

  stop() {
    const source = this.source;
    this.source = null;
    if (!source) return;
    source.disconnect(); // one that has not begun yet cannot be stopped
  }
}
