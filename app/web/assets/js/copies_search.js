/** Looking for copies: how much is not compared yet, the button that starts it, and how far it is. */

import { Problem } from "./api.js";
import { findCopies } from "./copies_api.js";
import { element, icon } from "./dom.js";
import { JobRow } from "./job_row.js";
import { JobsFeed } from "./jobs_feed.js";
import { steerJob } from "./models_api.js";
import { count } from "./words.js";

/** @typedef {import("./models_api.js").Job} Job */

const KIND = "find-duplicates";

/** Announces `found` when a search has ended, and `problem` with what the service answered. */
export class CopiesSearch extends HTMLElement {
  #feed = new JobsFeed();
  #row = new JobRow((action) => this.#guarded(async () => this.#feed.look(await steerJob(this.#job?.id ?? "", action))));
  /** @type {Job | null} the newest search since the view is shown */
  #job = null;
  #words = element("p", { role: "status" });
  #start = element(
    "button",
    { type: "button", class: "button", onclick: () => this.start() },
    icon("search"),
    "Look for copies",
  );
  #jobs = element("ul", { class: "jobs", hidden: true }, this.#row.node);

  connectedCallback() {
    this.append(element("div", { class: "row-head" }, this.#words, this.#start), this.#jobs);
    this.#feed.addEventListener("change", () => this.#draw());
    this.#feed.addEventListener("ended", (event) => {
      if (/** @type {CustomEvent<Job>} */ (event).detail.kind === KIND) this.dispatchEvent(new Event("found"));
    });
  }

  follow() {
    this.#feed.start();
  }

  leave() {
    this.#feed.stop();
    this.#job = null;
  }

  /** @param {number | null} uncompared images, null when that is not known */
  show(uncompared) {
    this.#words.textContent =
      uncompared === null
        ? ""
        : uncompared === 0
          ? "Every image is compared."
          : `${count(uncompared, "image")} not compared yet.`;
    this.#start.hidden = uncompared === 0;
    this.#start.classList.toggle("primary", uncompared !== null && uncompared > 0);
  }

  start() {
    return this.#guarded(async () => {
      this.#job = await findCopies();
      await this.#feed.look(this.#job);
    });
  }

  #draw() {
    const newest = this.#feed.jobs.find((job) => job.kind === KIND);
    // One that had ended before says nothing about what is shown now.
    if (newest && (newest.finished_at === null || newest.id === this.#job?.id)) this.#job = newest;
    this.#jobs.hidden = this.#job === null;
    this.#start.disabled = this.#job !== null && this.#job.finished_at === null;
    if (this.#job) this.#row.show(this.#job, []);
  }

  /** @param {() => Promise<unknown>} work */
  async #guarded(work) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.dispatchEvent(new CustomEvent("problem", { detail: error }));
    }
  }
}

customElements.define("copies-search", CopiesSearch);
