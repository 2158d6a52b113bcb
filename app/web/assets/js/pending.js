/** What is done at once for the eye, and at the service when the time to undo has passed. */

const UNDO_SECONDS = 8;

/**
 * Announces `added` when there is something more to undo, and `undone` with the keys as `detail`.
 * Whoever extends it says by `words`, `send` and `restore` what is done and how it is taken back.
 * @template Item
 */
export class Pending extends EventTarget {
  /** @type {Map<string, Item>} not yet done at the service */
  #items = new Map();
  /** @type {import("./notices.js").Notice | null} */
  #notice = null;

  /** @param {import("./notices.js").NoticeStack} notices */
  constructor(notices) {
    super();
    this.notices = notices;
    // The page may be left for good, so what is pending is done now; the requests outlive the page.
    window.addEventListener("pagehide", () => this.commit());
  }

  /** Offers to undo it; several in a row are undone together. @param {string} key @param {Item} item */
  add(key, item) {
    if (this.#items.has(key)) return;
    this.#items.set(key, item);
    this.#notice?.dismiss();
    this.#notice = this.notices.show(this.words([...this.#items.values()]).done, {
      action: { label: "Undo", run: () => this.undo() },
      seconds: UNDO_SECONDS,
      onExpire: () => this.commit(),
    });
    this.dispatchEvent(new Event("added"));
  }

  /** It is not to be done any more. @param {string} key @returns {boolean} whether it was pending */
  drop(key) {
    return this.#items.delete(key);
  }

  undo() {
    const items = this.#taken();
    if (items.size === 0) return;
    this.restore([...items.keys()]);
    this.notices.announce(this.words([...items.values()]).undone);
    this.dispatchEvent(new CustomEvent("undone", { detail: [...items.keys()] }));
  }

  /** Does what is pending at the service. */
  commit() {
    return Promise.all([...this.#taken().values()].map((item) => this.send(item)));
  }

  #taken() {
    const items = this.#items;
    this.#items = new Map();
    this.#notice?.dismiss();
    this.#notice = null;
    return items;
  }

  /** @param {Item[]} _items @returns {{done: string, undone: string}} */
  words(_items) {
    throw new Error("not said");
  }

  /** Does it at the service; what is refused comes back into sight. @param {Item} _item @returns {Promise<void>} */
  send(_item) {
    throw new Error("not said");
  }

  /** Brings it back into sight. @param {string[]} _keys */
  restore(_keys) {
    throw new Error("not said");
  }
}
