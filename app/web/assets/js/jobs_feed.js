/** The newest jobs and what they record, kept up to date while someone looks. */

import { Problem } from "./api.js";
import { followJob, listJobs } from "./models_api.js";

/**
 * @typedef {import("./models_api.js").Job} Job
 * @typedef {import("./models_api.js").JobRecord} JobRecord
 */

const JOBS_SHOWN = 12;
const LIST_SECONDS = 4;

/** A browser opens six connections to one host at most; the page itself needs some of them. */
const MOST_FOLLOWED = 2;

/**
 * Announces `change` whenever a job or a record is new, `ended` with the job when one has ended,
 * and `problem` when the list can't be had.
 */
export class JobsFeed extends EventTarget {
  /** @type {Map<string, Job>} newest first */
  #jobs = new Map();
  /** @type {Map<string, JobRecord[]>} */
  #records = new Map();
  /** @type {Map<string, () => void>} what ends the following of each job */
  #followed = new Map();
  /** @type {number | undefined} */
  #timer;
  #isOn = false;

  get jobs() {
    return [...this.#jobs.values()];
  }

  /** What a job has recorded since it is followed, from its beginning. @param {string} id */
  recordsOf(id) {
    return this.#records.get(id) ?? [];
  }

  start() {
    if (this.#isOn) return;
    this.#isOn = true;
    this.look();
  }

  stop() {
    this.#isOn = false;
    window.clearTimeout(this.#timer);
    for (const id of [...this.#followed.keys()]) this.#leave(id);
  }

  /** Takes over the state of a job that an answer brought, then asks for the list. @param {Job} [job] */
  async look(job) {
    if (job) this.#take(job);
    window.clearTimeout(this.#timer);
    try {
      const { items } = await listJobs(JOBS_SHOWN);
      const known = this.#jobs;
      // A state that the stream brought meanwhile is newer than the list's.
      this.#jobs = new Map(items.map((each) => [each.id, newer(known.get(each.id), each)]));
      for (const each of items) if (each.finished_at && known.get(each.id)?.finished_at === null) this.#end(each);
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.dispatchEvent(new CustomEvent("problem", { detail: error }));
    }
    if (!this.#isOn) return;
    for (const each of this.jobs.filter(isRunning).slice(0, MOST_FOLLOWED)) this.#follow(each.id);
    this.#timer = window.setTimeout(() => this.look(), LIST_SECONDS * 1000);
  }

  /** @param {string} id */
  #follow(id) {
    if (this.#followed.has(id)) return;
    this.#records.set(id, []);
    const listeners = {
      job: (/** @type {Job} */ job) => {
        const before = this.#jobs.get(id);
        this.#take(job);
        if (job.finished_at === null) return;
        // Left open, the browser would ask again and again for what has ended.
        this.#leave(id);
        if (before?.finished_at === null) this.#end(job);
      },
      record: (/** @type {JobRecord} */ record) => {
        this.#records.get(id)?.push(record);
        this.dispatchEvent(new Event("change"));
      },
    };
    // Broken off, it is followed anew when the list is next there.
    this.#followed.set(id, followJob(id, listeners, () => this.#leave(id)));
  }

  /** @param {string} id */
  #leave(id) {
    this.#followed.get(id)?.();
    this.#followed.delete(id);
  }

  /** @param {Job} job */
  #take(job) {
    if (this.#jobs.has(job.id)) this.#jobs.set(job.id, job);
    else this.#jobs = new Map([[job.id, job], ...this.#jobs]);
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Job} job */
  #end(job) {
    this.dispatchEvent(new CustomEvent("ended", { detail: job }));
  }
}

/** @param {Job} job */
const isRunning = (job) => job.state === "running";

/** @param {Job | undefined} known @param {Job} listed */
const newer = (known, listed) => (known?.finished_at && !listed.finished_at ? known : listed);
