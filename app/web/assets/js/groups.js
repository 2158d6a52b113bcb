/** The groups of one grade as far as they are loaded, the oldest first. */

import { Problem } from "./api.js";
import { listGroups } from "./copies_api.js";

/**
 * @typedef {import("./copies_api.js").Grade} Grade
 * @typedef {import("./copies_api.js").Group} Group
 */

const PAGE = 20;

/** What a group is known by: its oldest image. @param {Group} group */
export const keyOf = (group) => group.images[0].id;

/** Announces `change` whenever something about it changed. */
export class Groups extends EventTarget {
  /** @type {Map<string, Group>} by key, images that are gone included, so that the key stays */
  #loaded = new Map();
  /** @type {Set<string>} ids of images that are gone for good */
  #gone = new Set();
  /** @type {string | null} */
  #cursor = null;
  #isClosed = false;

  /** @param {Grade} grade */
  constructor(grade) {
    super();
    this.grade = grade;
    this.isComplete = false;
    this.isLoading = false;
    /** @type {number | null} groups in all */
    this.total = null;
    /** @type {number | null} images that may belong to a group, and are not known to */
    this.uncompared = null;
    /** @type {Problem | null} why the last request failed */
    this.problem = null;
  }

  /** Every group with those of its images that are left. @returns {{key: string, group: Group, images: Group["images"]}[]} */
  get all() {
    return [...this.#loaded].map(([key, group]) => ({
      key,
      group,
      images: group.images.filter((image) => !this.#gone.has(image.id)),
    }));
  }

  /** Loads on until a group is there, or the list ends. @param {string} key */
  async ensure(key) {
    while (!this.#loaded.has(key) && !this.isComplete && !this.problem && !this.#isClosed) await this.more();
  }

  /** Loads the next page; asked for again, it tries what failed once more. */
  async more() {
    if (this.isLoading || this.isComplete || this.#isClosed) return;
    this.isLoading = true;
    this.problem = null;
    this.#changed();
    try {
      const page = await listGroups({ grade: this.grade, cursor: this.#cursor, limit: PAGE });
      for (const group of page.items) this.#loaded.set(keyOf(group), group);
      this.#cursor = page.next_cursor;
      this.isComplete = page.next_cursor === null;
      this.total = page.total;
      this.uncompared = page.uncompared;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.problem = error;
    }
    this.isLoading = false;
    this.#changed();
  }

  /** Nobody wants it any more. */
  close() {
    this.#isClosed = true;
  }

  /** An image is gone for good. @param {string} id */
  forgetImage(id) {
    this.#gone.add(id);
    for (const { key, images } of this.all) if (images.length < 2) this.forget(key);
  }

  /** A group is decided for good. @param {string} key */
  forget(key) {
    if (!this.#loaded.delete(key)) return;
    if (this.total !== null) this.total -= 1;
    this.#changed();
  }

  #changed() {
    if (!this.#isClosed) this.dispatchEvent(new Event("change"));
  }
}
