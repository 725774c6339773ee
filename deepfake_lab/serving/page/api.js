// What the service is asked, and what goes wrong with that, in words.

const TITLES = {
  too_large: "The file is too large.",
  too_long: "The recording is too long.",
  no_audio: "There is no audio in it that could be read. Choose a recording, or a video with sound.",
  no_key: "This service wants a key. Enter it above.",
  foreign_page: "This page may not ask the service.",
  too_many_requests: "That was too often.",
  busy: "The service is busy.",
  stopping: "The service is not ready.",
  deadline: "It took too long to judge.",
  too_slow: "The upload took too long.",
  bad_message: "The service did not understand the microphone's audio.",
  no_service: "The service cannot be reached.",
};

/** Something that cannot be done: a word for programs, a title and a sentence for people. */
export class Problem extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
    this.title = TITLES[code] ?? "That did not work.";
  }
}

export const key = () => sessionStorage.getItem("key") ?? "";

export function keep(value) {
  if (value) sessionStorage.setItem("key", value);
  else sessionStorage.removeItem("key");
}

async function ask(path, request = {}) {
  const headers = key() ? { Authorization: `Bearer ${key()}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...request, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("no_service", "Look whether it runs and whether you are online. Then try again.");
  }
  let said = null;
  try {
    said = await answer.json();
  } catch {
    // something between us and the service answers in its own way
  }
  if (answer.ok && said) return said;
  throw new Problem(said?.code ?? "", said?.message ?? `The answer was ${answer.status} ${answer.statusText}.`);
}

/** Fails if the service takes no requests. */
export const ready = () => ask("readyz");

/** The detector that answers: `ModelSaid`. */
export const model = () => ask("v1/model");

function send(path, file, signal) {
  const body = new FormData();
  body.append("file", file, file.name || "recording");
  return ask(path, { method: "POST", body, signal });
}

/** What is said of a recording: `Detection`. */
export const detect = (file, signal) => send("v1/detect", file, signal);

/** What moved its score from a time in s on: `ExplanationSaid`. */
export const explain = (file, start, signal) => send(`v1/explain?start_s=${start.toFixed(3)}`, file, signal);
