/** The jobs: how far each is, live, with its curves, and the buttons that steer it. */

import { curveCharts } from "./curve_chart.js";
import { element } from "./dom.js";
import { failuresAddress, steerJob } from "./models_api.js";
import { count, localTime } from "./words.js";

/** @typedef {import("./models_api.js").Job} Job */

/** @type {Record<string, string>} */
const KIND_WORDS = {
  reindex: "Reindex",
  "fine-tune": "Fine-tune",
  evaluate: "Evaluation",
  import: "Import",
};

/** Announces `problem` when a job could not be steered. */
export class JobsPanel extends HTMLElement {
  /** @type {import("./jobs_feed.js").JobsFeed | null} */
  #feed = null;
  /** @type {Map<string, JobRow>} */
  #rows = new Map();
  #list = element("ul", { class: "jobs" });
  #none = element("p", { class: "hint" }, "No job has run yet.");
  #isScheduled = false;

  connectedCallback() {
    this.append(element("h2", {}, "Jobs"), this.#none, this.#list);
  }

  /** @param {import("./jobs_feed.js").JobsFeed} feed */
  watch(feed) {
    this.#feed = feed;
    feed.addEventListener("change", () => this.#schedule());
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    window.setTimeout(() => {
      this.#isScheduled = false;
      this.#draw();
    }, 60);
  }

  #draw() {
    const jobs = this.#feed?.jobs ?? [];
    this.#none.hidden = jobs.length > 0;
    for (const id of this.#rows.keys()) if (!jobs.some((job) => job.id === id)) this.#rows.delete(id);
    const nodes = jobs.map((job) => {
      const row = this.#rows.get(job.id) ?? new JobRow((action) => this.#steer(job.id, action));
      this.#rows.set(job.id, row);
      row.show(job, this.#feed?.recordsOf(job.id) ?? []);
      return row.node;
    });
    // Moving a row that is in its place already would take the focus from its buttons.
    if (nodes.some((node, at) => this.#list.children[at] !== node) || nodes.length !== this.#list.children.length)
      this.#list.replaceChildren(...nodes);
  }

  /** @param {string} id @param {"cancel" | "pause" | "resume"} action */
  async #steer(id, action) {
    try {
      await this.#feed?.look(await steerJob(id, action));
    } catch (error) {
      this.dispatchEvent(new CustomEvent("problem", { detail: error }));
    }
  }
}

/** One job's row, whose parts stay while its words change, so that the focus stays too. */
class JobRow {
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

customElements.define("jobs-panel", JobsPanel);
