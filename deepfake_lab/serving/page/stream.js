// The microphone, judged while it is heard.

import { key, model, Problem } from "./api.js";
import { RATE } from "./audio.js";

const MOST_S = 600; // the page holds what it has heard, to show and play it
const BEHIND = 1e6; // bytes that may wait to be sent

/** Why no stream could be opened: a browser does not tell, so something else is asked. */
async function why() {
  await model();
  return new Problem("busy", "No stream could be opened, perhaps because there are too many. Try again later.");
}

async function opened() {
  const address = new URL(`v1/stream?rate=${RATE}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  let socket;
  try {
    socket = new WebSocket(address, key() ? ["deepfake-lab", `key.${key()}`] : []);
  } catch {
    throw new Problem("no_key", "That key has characters that no key has.");
  }
  await new Promise((open, fail) => {
    socket.onopen = open;
    socket.onclose = () => why().then(fail, fail);
  });
  return socket;
}

async function microphone() {
  if (!navigator.mediaDevices) throw new Problem("", "A browser lends its microphone only to https:// or this machine's own pages.");
  try {
    // what a browser does to please the ear would hide what is to be heard
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    return await navigator.mediaDevices.getUserMedia({ audio: plain });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    throw new Problem("", refused ? "The microphone is not allowed. Allow it in the address bar." : "No microphone was found.");
  }
}

/** Listens until `stop` is called. `heard` is given samples, `decided` a decision, `ended` a `FinalSaid` or a Problem. */
export class Listening {
  constructor({ heard, decided, ended }) {
    Object.assign(this, { heard, decided, ended, samples: 0, over: false });
  }

  async start() {
    this.tracks = await microphone();
    try {
      this.context = new AudioContext();
      await this.context.audioWorklet.addModule("recorder.js");
      this.socket = await opened();
    } catch (error) {
      this.close();
      throw error;
    }
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = () => this.finish(new Problem("no_service", "The stream broke off. Try again."));
    this.recorder = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    this.recorder.port.onmessage = ({ data }) => this.send(data);
    this.context.createMediaStreamSource(this.tracks).connect(this.recorder);
    await this.context.resume();
  }

  send(chunk) {
    if (this.over || this.socket.readyState !== WebSocket.OPEN) return;
    if (chunk === null) return this.socket.send("end");
    if (this.socket.bufferedAmount > BEHIND) return this.stop();
    this.samples += chunk.length;
    this.socket.send(chunk);
    this.heard(Float32Array.from(chunk, (value) => value / 32768));
    if (this.samples > MOST_S * RATE) this.stop();
  }

  take(said) {
    if (said.type === "decision") this.decided(said);
    else this.finish(said.type === "final" ? said : new Problem(said.code, said.message));
  }

  stop() {
    this.recorder?.port.postMessage("end"); // which it heeds once
  }

  finish(said) {
    if (this.over) return;
    this.over = true;
    this.close();
    this.ended(said);
  }

  close() {
    this.tracks.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.socket?.close();
  }
}

/** Samples that come in pieces, in one piece. */
export function joined(pieces, samples) {
  const wave = new Float32Array(samples);
  let at = 0;
  for (const piece of pieces) {
    wave.set(piece, at);
    at += piece.length;
  }
  return wave;
}

/** Decisions as moments, each a hop in the middle of the window that it is about; without those that change nothing. */
export function moments(decisions, hop_s) {
  return decisions
    .filter((one) => !one.reason)
    .map(({ start_s, end_s, score, p_fake }) => {
      const middle = (start_s + end_s) / 2;
      return { start_s: Math.max(middle - hop_s / 2, 0), end_s: middle + hop_s / 2, score, p_fake };
    });
}

/** Stretches of moments above the threshold, those that touch as one. */
export function stretches(moments, threshold) {
  const spans = [];
  for (const { start_s, end_s } of moments.filter((one) => one.p_fake > threshold)) {
    if (spans.length && start_s <= spans.at(-1).end_s + 1e-6) spans.at(-1).end_s = end_s;
    else spans.push({ start_s, end_s });
  }
  return spans;
}
