/** Deleting with a second thought: gone from sight at once, from the service when the time to undo has passed. */

import { deleteImage, Problem } from "./api.js";

/** @typedef {import("./api.js").Image} Image */

const UNDO_SECONDS = 8;

/** Announces `undone` with the ids as `detail`. */
export class Deletions extends EventTarget {
  /** @type {Map<string, Image>} not yet deleted at the service */
  #pending = new Map();
  /** @type {import("./notices.js").Notice | null} */
  #notice = null;

  /**
   * @param {import("./library.js").Library} library
   * @param {import("./notices.js").NoticeStack} notices
   */
  constructor(library, notices) {
    super();
    this.library = library;
    this.notices = notices;
    // The page may be left for good, so what is pending is done now; the requests outlive the page.
    window.addEventListener("pagehide", () => this.commit());
  }

  /** Hides the image and offers to undo; several in a row are undone together. @param {Image} image */
  remove(image) {
    if (this.#pending.has(image.id)) return;
    this.#pending.set(image.id, image);
    this.library.hide(image.id);
    this.#notice?.dismiss();
    const count = this.#pending.size;
    this.#notice = this.notices.show(count === 1 ? `Deleted ${image.filename}` : `Deleted ${count} images`, {
      action: { label: "Undo", run: () => this.undo() },
      seconds: UNDO_SECONDS,
      onExpire: () => this.commit(),
    });
  }

  undo() {
    const ids = [...this.#pending.keys()];
    if (ids.length === 0) return;
    this.#pending.clear();
    this.#notice?.dismiss();
    this.#notice = null;
    this.library.unhide(ids);
    this.notices.announce(ids.length === 1 ? "The image is back" : `${ids.length} images are back`);
    this.dispatchEvent(new CustomEvent("undone", { detail: ids }));
  }

  /** The image was uploaded again meanwhile: it stays. @param {string} id */
  keep(id) {
    if (this.#pending.delete(id)) this.library.unhide([id]);
  }

  /** Deletes what is pending at the service; what it refuses comes back into sight. */
  commit() {
    const images = [...this.#pending.values()];
    this.#pending.clear();
    this.#notice?.dismiss();
    this.#notice = null;
    return Promise.all(images.map((image) => this.#delete(image)));
  }

  /** @param {Image} image */
  async #delete(image) {
    try {
      await deleteImage(image.id);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status !== 404) {
        this.library.unhide([image.id]);
        this.notices.showProblem(error, `${image.filename} was not deleted`);
        return;
      }
    }
    this.library.forget(image.id);
  }
}
