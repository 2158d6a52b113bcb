/** Keeping images beside each other although they look alike, with a second thought. */

import { Problem } from "./api.js";
import { keepBesideEachOther } from "./copies_api.js";
import { Pending } from "./pending.js";
import { count } from "./words.js";

/**
 * Announces `change` when a group is out of sight, or back in it, and `kept` with its key as `detail` when it is
 * decided for good.
 * @extends {Pending<{key: string, ids: string[]}>}
 */
export class Keepings extends Pending {
  /** @type {Set<string>} keys of the groups that are out of sight */
  #hidden = new Set();

  /** @param {string} key of the group */
  isHidden(key) {
    return this.#hidden.has(key);
  }

  /** Hides the group and offers to undo. @param {string} key @param {string[]} ids */
  keep(key, ids) {
    this.#hidden.add(key);
    this.add(key, { key, ids });
    this.dispatchEvent(new Event("change"));
  }

  /** @override @param {{ids: string[]}[]} groups */
  words(groups) {
    const images = groups.reduce((sum, { ids }) => sum + ids.length, 0);
    return {
      done: groups.length === 1 ? `Kept ${count(images, "image")}` : `Kept ${count(groups.length, "group")}`,
      undone: groups.length === 1 ? "The group is back" : `${groups.length} groups are back`,
    };
  }

  /** @override @param {string[]} keys */
  restore(keys) {
    for (const key of keys) this.#hidden.delete(key);
    this.dispatchEvent(new Event("change"));
  }

  /** @override @param {{key: string, ids: string[]}} group */
  async send({ key, ids }) {
    try {
      await keepBesideEachOther(ids);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.restore([key]);
      this.notices.showProblem(error, "Not kept");
      return;
    }
    this.#hidden.delete(key);
    this.dispatchEvent(new CustomEvent("kept", { detail: key }));
  }
}
