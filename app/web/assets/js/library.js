/** All lists this visit has shown, kept in step: what changes in one place changes everywhere. */

import { Results } from "./results.js";

/** @typedef {import("./api.js").Image} Image */

/** How many lists are kept for going back to; older ones are asked for again. */
const KEPT_LISTS = 12;

/**
 * Announces `change` with the image as `detail` when an image's own data changed, `hidden` when images went out of
 * sight or came back, and `forgotten` with the id as `detail` when one is gone for good.
 */
export class Library extends EventTarget {
  /** @type {Map<string, Results>} the most recently shown last */
  #lists = new Map();
  /** @type {Set<string>} */
  #hidden = new Set();

  /**
   * @param {string} key
   * @param {import("./query.js").Query} query
   * @returns {Results} the list once shown under this key, or a new one
   */
  results(key, query) {
    const results = this.#lists.get(key) ?? new Results(query, this.#hidden);
    this.#lists.delete(key);
    this.#lists.set(key, results);
    if (this.#lists.size > KEPT_LISTS) {
      const [oldest, list] = /** @type {[string, Results]} */ (this.#lists.entries().next().value);
      list.cancel();
      this.#lists.delete(oldest);
    }
    return results;
  }

  /** @param {string} id @returns {Image | undefined} what the lists know of it */
  find(id) {
    for (const list of this.#lists.values()) {
      const image = list.images.find((each) => each.id === id) ?? list.stackOf(id).find((each) => each.id === id);
      if (image) return image;
    }
    return undefined;
  }

  /** @param {string} id */
  isHidden(id) {
    return this.#hidden.has(id);
  }

  /** How many images are hidden, to be taken off a total. */
  get hiddenCount() {
    return this.#hidden.size;
  }

  /** @param {string} id */
  hide(id) {
    this.#hidden.add(id);
    this.#refresh();
  }

  /** @param {string[]} ids back at their places in every list */
  unhide(ids) {
    for (const id of ids) this.#hidden.delete(id);
    this.#refresh();
  }

  #refresh() {
    for (const list of this.#lists.values()) list.refresh();
    this.dispatchEvent(new Event("hidden"));
  }

  /** @param {string} id gone from the service too */
  forget(id) {
    for (const list of this.#lists.values()) list.forget(id);
    this.#hidden.delete(id);
    this.dispatchEvent(new CustomEvent("forgotten", { detail: id }));
  }

  /** @param {Image[]} images just uploaded, the newest last */
  add(images) {
    for (const list of this.#lists.values()) list.add(images);
  }

  /** @param {Image} image */
  replace(image) {
    for (const list of this.#lists.values()) list.replace(image);
    this.dispatchEvent(new CustomEvent("change", { detail: image }));
  }
}
