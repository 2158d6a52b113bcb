/** One list of images as far as it is loaded: the library, newest first, or the answer to a query, best first. */

import { listImages, Problem, search } from "./api.js";
import { pictureBase64 } from "./pictures.js";

/** @typedef {import("./api.js").Image} Image */

const LIBRARY_PAGE = 200;
const SEARCH_PAGE = 100;
/** The most one request asks for. */
const LARGEST_PAGE = 1000;

const EXPIRED = "urn:beholder:problem:bad-cursor";

/** Announces `change` whenever something about it changed. */
export class Results extends EventTarget {
  #abort = new AbortController();
  /** @type {string | null} */
  #cursor = null;
  /** @type {Image[]} as loaded, hidden ones included, so that an undo finds its place */
  #loaded = [];
  /** @type {Set<string>} */
  #ids = new Set();
  /** @type {Map<string, Image[]>} by the id of each of them, the images of one picture, the best first */
  #stacks = new Map();
  /** @type {ReadonlySet<string>} */
  #hidden;
  /** @type {Promise<void> | null} */
  #request = null;
  /** Whether the service no longer knows where the list went on: another model version answers now. */
  #hasExpired = false;

  /**
   * @param {import("./query.js").Query} query
   * @param {ReadonlySet<string>} hidden ids not to be shown, shared with whoever hides them
   */
  constructor(query, hidden) {
    super();
    this.query = query;
    this.#hidden = hidden;
    /** @type {Image[]} what is to be shown */
    this.images = [];
    /** @type {Map<string, number>} */
    this.scores = new Map();
    /** @type {string[]} */
    this.warnings = [];
    /** @type {number | null} images in the whole library; a search does not count its matches */
    this.total = null;
    /** @type {number | null} */
    this.tookMs = null;
    /** @type {Problem | null} why the last request failed */
    this.problem = null;
    this.isComplete = false;
  }

  get isLoading() {
    return this.#request !== null;
  }

  /** Whether there is an answer to show, be it an empty one. */
  get hasAnswer() {
    return this.isComplete || this.#loaded.length > 0;
  }

  /** Stops waiting for an answer that nobody wants any more. */
  cancel() {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#request = null;
  }

  /** Loads on until `count` images are there or the list ends. @param {number} count */
  async ensure(count) {
    const { signal } = this.#abort;
    while (!signal.aborted && this.#loaded.length < count && !this.isComplete && this.problem === null) {
      await this.more(count - this.#loaded.length);
    }
  }

  /**
   * Loads the next page; calls while it is under way share the same request.
   * @param {number} [atLeast]
   */
  more(atLeast = 0) {
    if (this.isComplete) return Promise.resolve();
    this.#request ??= this.#load(atLeast, this.#abort.signal);
    return this.#request;
  }

  /** @param {number} atLeast @param {AbortSignal} signal */
  async #load(atLeast, signal) {
    this.problem = null;
    try {
      // The request is known as `#request` only after this first pause; announcing it earlier would deny it.
      await null;
      this.#changed();
      // Who has come far wants more at once: the pages grow with the list.
      const limit = Math.min(LARGEST_PAGE, Math.max(atLeast, this.#loaded.length));
      if (this.#hasExpired) this.#startAgain();
      if (this.query.isEmpty) await this.#loadLibrary(Math.max(LIBRARY_PAGE, limit), signal);
      else await this.#loadHits(Math.max(SEARCH_PAGE, limit), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      this.problem = error;
      this.#hasExpired = error.members.type === EXPIRED;
    }
    if (signal.aborted) return;
    this.#request = null;
    this.#changed();
  }

  /** The images of two versions' answers make no list. */
  #startAgain() {
    this.#hasExpired = false;
    this.#cursor = null;
    this.#loaded = [];
    this.#ids.clear();
    this.scores.clear();
    this.#stacks.clear();
  }

  /** @param {number} limit @param {AbortSignal} signal */
  async #loadLibrary(limit, signal) {
    const page = await listImages({
      collection: this.query.collections,
      cursor: this.#cursor,
      limit,
      signal,
    });
    if (signal.aborted) return;
    this.total = page.total;
    this.#append(page.items, page.next_cursor);
  }

  /** @param {number} limit @param {AbortSignal} signal */
  async #loadHits(limit, signal) {
    const { minScore, collections, isStacked } = this.query;
    const result = await search({
      query: this.query.toParts(pictureBase64),
      collections,
      minScore,
      isStacked,
      cursor: this.#cursor,
      limit,
      signal,
    });
    if (signal.aborted) return;
    if (this.#cursor === null) {
      this.tookMs = result.took_ms.total;
      this.warnings = result.warnings;
    }
    for (const hit of result.hits) {
      const stack = [hit, ...hit.copies];
      for (const { image, score } of stack) {
        this.scores.set(image.id, score);
        if (stack.length > 1)
          this.#stacks.set(
            image.id,
            stack.map((each) => each.image),
          );
      }
    }
    this.#append(
      result.hits.map((hit) => hit.image),
      result.next_cursor,
    );
  }

  /** @param {Image[]} images @param {string | null} cursor */
  #append(images, cursor) {
    for (const image of images) {
      // An image that was uploaded here meanwhile may stand in a later page as well.
      if (this.#ids.has(image.id)) continue;
      this.#ids.add(image.id);
      this.#loaded.push(image);
    }
    this.#cursor = cursor;
    this.isComplete = cursor === null;
  }

  /** Puts new images at the top of the library or of their collection; a search's list is left as it was answered. @param {Image[]} images */
  add(images) {
    if (!this.query.isEmpty || !this.hasAnswer) return;
    const { collections } = this.query;
    const fresh = images.filter(
      (image) =>
        !this.#ids.has(image.id) && (collections.length === 0 || collections.includes(image.collection)),
    );
    for (const image of fresh) this.#ids.add(image.id);
    this.#loaded = [...fresh.reverse(), ...this.#loaded];
    if (this.total !== null) this.total += fresh.length;
    this.#changed();
  }

  /** @param {Image} image its new state */
  replace(image) {
    if (!this.#ids.has(image.id)) return;
    this.#loaded = this.#loaded.map((each) => (each.id === image.id ? { ...each, ...image } : each));
    this.#changed();
  }

  /** Drops an image for good. @param {string} id */
  forget(id) {
    this.#ids.delete(id);
    const left = (this.#stacks.get(id) ?? []).filter((image) => image.id !== id);
    this.#stacks.delete(id);
    for (const image of left) this.#stacks.set(image.id, left);
    this.#loaded = this.#loaded.flatMap((image) => (image.id === id ? left.slice(0, 1) : [image]));
    if (this.total !== null) this.total -= 1;
    this.#changed();
  }

  /** Looks again at what is hidden. */
  refresh() {
    this.#changed();
  }

  /** The images in sight of the same picture, where copies are stacked. @param {string} id of any of them */
  stackOf(id) {
    return (this.#stacks.get(id) ?? []).filter((image) => !this.#hidden.has(image.id));
  }

  #changed() {
    // When the best of a stack is deleted, the next of it takes its place.
    this.images = this.#loaded.flatMap((image) =>
      this.#hidden.has(image.id) ? this.stackOf(image.id).slice(0, 1) : [image],
    );
    this.dispatchEvent(new Event("change"));
  }
}
