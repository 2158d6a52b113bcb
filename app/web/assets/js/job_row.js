/** One job: how far it is, live, with its curves, and the buttons that steer it. */

import { curveCharts } from "./curve_chart.js";
import { element } from "./dom.js";
import { failuresAddress } from "./models_api.js";
import { count, localTime } from "./words.js";

/** @typedef {import("./models_api.js").Job} Job */

/** @type {Record<string, string>} */
const KIND_WORDS = {
  reindex: "Reindex",
  "fine-tune": "Fine-tune",
  evaluate: "Evaluation",
  import: "Import",
  "find-duplicates": "Search for copies",
  "add-model": "New model",
  "train-probe": "Training of a probe",
};

/** Its parts stay while its words change, so that the focus stays too. */
export class JobRow {
  #title = element("h3");
  #time = element("span", { class: "hint" });
  #words = element("p", { class: "state", role: "status", "aria-live": "polite" });
  #bar = element("progress", { max: 1 });
  #curves = element("div", { class: "curves" });
  #points = 0;
  #buttons;
  #actions;
  #failures = element("a", { class: "button link", download: true }, "What failed, and why");

  /** @param {(action: "cancel" | "pause" | "resume") => void} steer */
  constructor(steer) {
    /** @param {string} label @param {"cancel" | "pause" | "resume"} action */
    const button = (label, action) =>
      element("button", { type: "button", class: "button link", onclick: () => steer(action) }, label);
    this.#buttons = {
      pause: button("Pause", "pause"),
      resume: button("Resume", "resume"),
      cancel: button("Cancel", "cancel"),
    };
    this.#actions = element("div", { class: "row-actions" }, this.#failures, ...Object.values(this.#buttons));
    const head = element("div", { class: "row-head" }, this.#title, this.#time);
    this.node = element("li", {}, head, this.#words, this.#bar, this.#actions, this.#curves);
  }

  /** @param {Job} job @param {import("./models_api.js").JobRecord[]} records */
  show(job, records) {
    const name = KIND_WORDS[job.kind] ?? job.kind;
    const isOver = job.finished_at !== null;
    write(this.#title, name);
    write(this.#time, localTime(job.created_at));
    this.node.className = job.paused ? "paused" : job.state;
    write(this.#words, wordsOf(job));
    // While it counts up, its words would never be silent.
    this.#words.setAttribute("aria-live", job.state === "running" ? "off" : "polite");
    const { done, total } = job.progress;
    this.#bar.hidden = isOver || job.state === "queued";
    this.#bar.setAttribute("aria-label", `${name}, progress`);
    if (total !== null && total > 0) this.#bar.value = Math.min(1, done / total);
    else this.#bar.removeAttribute("value");
    this.#buttons.pause.hidden = isOver || job.paused !== null;
    this.#buttons.resume.hidden = isOver || job.paused === null;
    this.#buttons.cancel.hidden = isOver || job.cancel_requested;
    for (const button of Object.values(this.#buttons))
      button.setAttribute("aria-label", `${button.textContent} the ${name.toLowerCase()}`);
    const failed = job.result?.failed ?? 0;
    this.#failures.hidden = failed === 0;
    this.#failures.href = failuresAddress(job.id);
    this.#actions.hidden = [...this.#actions.children].every((child) => child.hidden);
    const points = records.filter((record) => record.name === "curve").map((record) => record.data);
    if (points.length !== this.#points) this.#curves.replaceChildren(...curveCharts(points));
    this.#points = points.length;
  }
}

/** @param {Job} job */
function wordsOf(job) {
  const { done, total, unit } = job.progress;
  const far = total === null ? "" : ` – ${done} of ${total} ${unit}`;
  if (job.paused) return `Paused by ${job.paused.by}, ${localTime(job.paused.at)}${far}`;
  if (job.state === "running" && job.cancel_requested) return "Cancelling …";
  if (job.state === "running") return `${sentence(job.message)}${far}`;
  if (job.state === "failed") return `Failed: ${job.problem?.detail ?? job.message}`;
  if (job.state === "succeeded" && total !== null)
    return `${sentence(job.message)}, ${count(total, unit.replace(/s$/, ""))}`;
  return sentence(job.message);
}

/** @param {string} text */
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @param {HTMLElement} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
