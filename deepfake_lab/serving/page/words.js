// What is said of a recording, in words and numbers for people.

/** A probability as a percentage that is never surer than it is, in one line. */
export function percent(p) {
  if (p > 0 && p < 0.01) return "less than 1\u00a0%";
  if (p < 1 && p > 0.99) return "more than 99\u00a0%";
  return `${Math.round(100 * p)}\u00a0%`;
}

/** A time in s as minutes and seconds. */
export function clock(seconds) {
  const tenths = Math.round(10 * Math.max(seconds, 0));
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

/** What of the verdict is shown large. */
export function headline({ verdict, p_fake }) {
  if (verdict === "spoof") return "Probably fake";
  if (verdict === "undecided") return "Undecided";
  return p_fake > 0.5 ? "Not judged fake, but only just" : "Probably real";
}

/** The probability and how far it goes. */
export function probability({ p_fake, p_fake_low: low, p_fake_high: high }, { prior }) {
  if (p_fake === null) return "";
  const prior_words = `if ${percent(prior)} of all recordings were`;
  const none = low === null ? "It has too few parts for an interval." : "A stream is given no interval.";
  const interval = low == null ? none : `95\u00a0% interval of its parts: ${percent(low)} to ${percent(high)}.`;
  return `The probability that it is fake is ${percent(p_fake)}, ${prior_words}. ${interval}`;
}

/** Why nothing is decided, or why it is less sure than it looks. */
export function doubt({ verdict, reason, p_fake, p_fake_low: low, p_fake_high: high }, { threshold }) {
  if (reason) return `Not decided, because of this: ${reason}. Do not rely on the probability.`;
  if (verdict === "bonafide" && p_fake > 0.5)
    return `It is more probably fake than not, yet below the threshold of ${percent(threshold)}.`;
  if (low != null && low <= threshold && threshold < high)
    return `The interval reaches across the threshold of ${percent(threshold)}: other parts might have been judged otherwise.`;
  return "";
}

/** What was heard, as pairs of words. */
export function heard({ quality, windows, duration_s }) {
  if (!quality) return [["Length", clock(duration_s)]];
  const share = Math.round((100 * quality.speech_s) / Math.max(quality.duration_s, 1e-9));
  return [
    ["Length", clock(quality.duration_s)],
    ["Speech", `${clock(quality.speech_s)} (${share} %)`],
    ["Level", `${quality.level_db.toFixed(0)} dB of full scale`],
    ["Frequencies", `up to ${(quality.band_hz / 1000).toFixed(1)} kHz`],
    ["Clipped", `${(100 * quality.clipped).toFixed(1)} % of the samples`],
    ["Parts judged", String(windows)],
  ];
}

/** The detector in a line. */
export const detector = (model) =>
  `Detector: ${model.name} ${model.version.slice(0, 12)}. Says fake above ${percent(model.threshold)}.`;
