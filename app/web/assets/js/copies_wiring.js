/** Wires the Copies view to what the page shows and to what is done with a second thought. */

/**
 * @param {import("./copies_view.js").CopiesView} copies
 * @param {{store: import("./store.js").Store, library: import("./library.js").Library,
 *   keepings: import("./keepings.js").Keepings, notices: import("./notices.js").NoticeStack,
 *   remove: (image: import("./api.js").Image) => void}} page
 */
export function wireCopies(copies, { store, library, keepings, notices, remove }) {
  /** @param {EventTarget} source @param {string} type @param {(detail: any) => void} listener */
  const on = (source, type, listener) =>
    source.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));
  copies.watch({
    addressOf: (id) => store.addressInView(id),
    isHidden: (id) => library.isHidden(id),
    isKept: (key) => keepings.isHidden(key),
  });
  on(copies, "close", () => store.closeView());
  on(copies, "place", (place) => store.keepCopies(place));
  on(copies, "open", (id) => store.openImage(id));
  on(copies, "delete", (images) => images.forEach(remove));
  on(copies, "keep", ({ key, ids }) => keepings.keep(key, ids));
  on(copies, "problem", (problem) => notices.showProblem(problem));
  on(keepings, "change", () => copies.refresh());
  on(keepings, "kept", (key) => copies.forget(key));
  on(keepings, "undone", ([key]) => copies.goTo(key));
  on(library, "hidden", () => copies.refresh());
  on(library, "forgotten", (id) => copies.forgetImage(id));
}
