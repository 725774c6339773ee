// What can be kept of an answer: a file for programs, a page for people.

import { clock, detector, doubt, headline, heard, percent, probability } from "./words.js";

const STYLE = `body{font:1rem/1.5 system-ui,sans-serif;max-width:55rem;margin:2rem auto;padding:0 1rem;color:#16191f;background:#fff}
img{display:block;width:100%;margin:.2rem 0 .8rem;border:1px solid #ccc}dt{float:left;clear:left;width:9rem;color:#555}dd{margin-left:9rem}`;

const safe = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** The answer as the service gave it, with the detector that gave it and the time. */
export const asJson = ({ said, model, made, explained }) => JSON.stringify({ made, model, said, explained }, null, 2);

/** A page that needs nothing else: text, and pictures in it. */
export function asPage({ said, model, made }, canvases, limits) {
  const stretches = said.where.map(({ start_s: start, end_s: end }) => `<li>${clock(start)} to ${clock(end)}</li>`).join("");
  const pictures = canvases.map(([name, canvas]) => `<h3>${safe(name)}</h3><img alt="${safe(name)}" src="${canvas.toDataURL("image/png")}">`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${safe(said.path)}: ${safe(headline(said))}</title><style>${STYLE}</style>
<p>${safe(said.path)}, ${safe(made)}</p><h1>${safe(headline(said))}</h1>
<p>${safe(probability(said, model))}</p><p>${safe(doubt(said, model))}</p>
${pictures.join("\n")}
<h2>More probably fake than ${safe(percent(model.threshold))}</h2>${stretches ? `<ol>${stretches}</ol>` : "<p>No part of it.</p>"}
<h2>What was heard</h2><dl>${heard(said).map(([what, how]) => `<dt>${safe(what)}</dt><dd>${safe(how)}</dd>`).join("")}</dl>
<h2>What an answer does not mean</h2><ul>${limits.map((limit) => `<li>${safe(limit)}</li>`).join("")}</ul>
<p>${safe(detector(model))} SHA-256 of its checkpoint: ${safe(model.digest)}</p></html>`;
}

/** Gives somebody a file to save. */
export function save(name, kind, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A saved answer, of this page or of the service itself; null if it is neither. */
export function read(text) {
  try {
    const saved = JSON.parse(text);
    const said = saved.said ?? saved;
    const timed = said.over_time.every((one) => [one.start_s, one.end_s, one.p_fake].every(Number.isFinite));
    const named = typeof saved.model?.name === "string" ? `${saved.model.name} ${saved.model.version}` : "the saved answer";
    return timed && Number.isFinite(said.duration_s) ? { said, named } : null;
  } catch {
    return null;
  }
}
