/** Deleting with a second thought: gone from sight at once, from the service when the time to undo has passed. */

import { deleteImage, Problem } from "./api.js";
import { Pending } from "./pending.js";

/** @typedef {import("./api.js").Image} Image */

/** @extends {Pending<Image>} */
export class Deletions extends Pending {
  /**
   * @param {import("./library.js").Library} library
   * @param {import("./notices.js").NoticeStack} notices
   */
  constructor(library, notices) {
    super(notices);
    this.library = library;
  }

  /** Hides the image and offers to undo. @param {Image} image */
  remove(image) {
    this.library.hide(image.id);
    this.add(image.id, image);
  }

  /** The image was uploaded again meanwhile: it stays. @param {string} id */
  keep(id) {
    if (this.drop(id)) this.library.unhide([id]);
  }

  /** @override @param {Image[]} images */
  words(images) {
    const isOne = images.length === 1;
    return {
      done: isOne ? `Deleted ${images[0].filename}` : `Deleted ${images.length} images`,
      undone: isOne ? "The image is back" : `${images.length} images are back`,
    };
  }

  /** @override @param {string[]} ids */
  restore(ids) {
    this.library.unhide(ids);
  }

  /** @override @param {Image} image */
  async send(image) {
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
