/** Sending files: a few at a time, again when the service is busy, and an account of each. */

import { Problem, uploadImage } from "./api.js";

/**
 * @typedef {"waiting" | "sending" | "working" | "busy" | "created" | "exists" | "refused" | "cancelled"} UploadState
 * `working`: all bytes have left and the service is looking at them. `busy`: it asked to be tried again later.
 * @typedef {{file: File, collection: string | null, state: UploadState, share: number, problem: Problem | null}} Upload
 * share in [0, 1]
 */

const AT_ONCE = 3;
const MOST_TRIES = 8;
const RETRY_SECONDS = 2;
/** A service that asks for longer than this is asked earlier all the same: the visitor is waiting. */
const LONGEST_RETRY_SECONDS = 30;

/** Announces `change` as uploads move on, and `image` with what the service stored as `detail`. */
export class Uploads extends EventTarget {
  /** @type {Upload[]} */
  #uploads = [];
  #next = 0;
  #active = 0;
  #abort = new AbortController();

  /** @returns {readonly Upload[]} in the order they were given */
  get all() {
    return this.#uploads;
  }

  get isActive() {
    return this.#active > 0;
  }

  /**
   * @param {File[]} files
   * @param {string | null} collection where they belong, null for where the service puts them
   */
  add(files, collection) {
    this.#begin(files.map((file) => ({ file, collection })));
  }

  /** @param {{file: File, collection: string | null}[]} wanted */
  #begin(wanted) {
    for (const { file, collection } of wanted) {
      this.#uploads.push({ file, collection, state: "waiting", share: 0, problem: refusalOf(file) });
    }
    while (this.#active < AT_ONCE && this.#next < this.#uploads.length) this.#work();
    this.#changed();
  }

  /** @returns {Upload[]} those that failed for reasons that may have passed; others would be refused again */
  get failed() {
    return this.#uploads.filter(
      ({ state, problem }) =>
        state === "refused" && problem !== null && (problem.status === 0 || problem.status >= 500),
    );
  }

  /** Sends what failed once more. */
  retry() {
    const { failed } = this;
    this.#uploads = this.#uploads.filter((upload) => !failed.includes(upload));
    this.#next -= failed.length;
    this.#begin(failed);
  }

  /** Stops what is under way and gives up what waits. */
  cancel() {
    for (const upload of this.#uploads.slice(this.#next)) upload.state = "cancelled";
    this.#next = this.#uploads.length;
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#changed();
  }

  /** Forgets all that is finished. */
  clear() {
    this.#uploads = [];
    this.#next = 0;
    this.#changed();
  }

  async #work() {
    this.#active += 1;
    while (this.#next < this.#uploads.length) {
      const upload = this.#uploads[this.#next];
      this.#next += 1;
      await this.#send(upload, this.#abort.signal);
      this.#changed();
    }
    this.#active -= 1;
    this.#changed();
  }

  /** @param {Upload} upload @param {AbortSignal} signal */
  async #send(upload, signal) {
    if (upload.problem) {
      upload.state = "refused";
      return;
    }
    for (let tries = 1; ; tries += 1) {
      try {
        const image = await this.#sendOnce(upload, signal);
        upload.state = image.created ? "created" : "exists";
        this.dispatchEvent(new CustomEvent("image", { detail: image }));
        return;
      } catch (error) {
        if (signal.aborted) {
          upload.state = "cancelled";
          return;
        }
        if (!(error instanceof Problem)) throw error;
        if (error.status !== 503 || tries === MOST_TRIES) {
          upload.state = "refused";
          upload.problem = error;
          return;
        }
        upload.state = "busy";
        this.#changed();
        await pause(Math.min(LONGEST_RETRY_SECONDS, error.retryAfterSeconds ?? RETRY_SECONDS));
      }
    }
  }

  /** @param {Upload} upload @param {AbortSignal} signal */
  #sendOnce(upload, signal) {
    upload.state = "sending";
    upload.share = 0;
    this.#changed();
    const onProgress = (/** @type {number} */ share) => {
      upload.share = share;
      upload.state = share < 1 ? "sending" : "working";
      this.#changed();
    };
    return uploadImage(upload.file, upload.collection, { onProgress, signal });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * Films and sound are refused here: sending gigabytes to be told so would be no kindness.
 * Whether anything else is a picture the service decides from its content.
 * @param {File} file
 * @returns {Problem | null}
 */
function refusalOf(file) {
  if (!/^(video|audio)\//.test(file.type)) return null;
  return new Problem({
    title: "Not a picture",
    detail: "Films and sound files are not images.",
    status: 415,
  });
}

/** @param {number} seconds @returns {Promise<void>} */
const pause = (seconds) => new Promise((resolve) => window.setTimeout(resolve, seconds * 1000));
