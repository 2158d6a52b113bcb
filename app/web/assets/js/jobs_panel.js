/** The jobs: how far each is, live, with its curves, and the buttons that steer it. */

import { element, put } from "./dom.js";
import { JobRow } from "./job_row.js";
import { steerJob } from "./models_api.js";

/** @typedef {import("./models_api.js").Job} Job */

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
    put(this.#list, nodes);
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

customElements.define("jobs-panel", JobsPanel);
