/** The justified grid: only the rows around the window exist as elements, however long the list is. */

import { element } from "./dom.js";
import { justify, rowAt, rowOf, stepTo } from "./layout.js";
import { createActions, createTile, resizeTile } from "./tile.js";

/**
 * @typedef {import("./api.js").Image} Image
 * @typedef {import("./store.js").Place} Place
 */

const GAP = 6;

/**
 * Announces `open`, `delete` and `like` with the image's id as `detail`, `near-end` when more images are wanted,
 * and `place` when the visitor has moved.
 */
export class ImageGrid extends HTMLElement {
  /** @type {Image[]} */
  #images = [];
  /** @type {Map<string, number>} id to index in `#images` */
  #indexes = new Map();
  /** @type {Map<string, number>} */
  #scores = new Map();
  /** @type {(id: string) => string} */
  #addressOf = () => "";
  /** @type {(id: string) => number} how many more images of the same picture there are */
  #copiesOf = () => 0;
  /** @type {import("./layout.js").Row[]} */
  #rows = [];
  #width = 0;
  /** @type {Map<number, HTMLElement>} row index to element */
  #rowElements = new Map();
  /** @type {Map<string, {tile: HTMLElement, image: Image, copies: number}>} by id */
  #tiles = new Map();
  #isScheduled = false;
  #hadFocus = false;
  /** @type {string | null} the image arrow keys move from */
  #current = null;
  #actions = createActions((type, event) => this.#act(type, event));

  connectedCallback() {
    this.setAttribute("role", "grid");
    this.setAttribute("aria-label", "Images");
    this.tabIndex = 0;
    this.addEventListener("click", (event) => this.#onClick(event));
    this.addEventListener("keydown", (event) => this.#onKey(event));
    this.addEventListener("focusin", (event) => {
      const tile = tileAt(event.target);
      if (tile) this.#setCurrent(tile.dataset.id ?? null);
    });
    this.addEventListener("focus", () => this.focusImage(this.#current));
    this.addEventListener("pointerover", (event) => {
      const tile = tileAt(event.target);
      // Put in anew under the pointer, a button would lose the click that is under way.
      if (event.pointerType === "mouse" && this.#actions.parentElement !== tile) tile?.append(this.#actions);
    });
    window.addEventListener("scroll", () => this.#schedule(), { passive: true });
    window.addEventListener("resize", () => this.#schedule());
    new ResizeObserver(() => this.#onResize()).observe(this);
  }

  /** The image arrow keys move from; the detail view sets it as it steps. */
  get current() {
    return this.#current;
  }

  /**
   * Shows a list, keeping whatever of it is on screen already.
   * @param {Image[]} images
   * @param {{scores: Map<string, number>, addressOf: (id: string) => string, copiesOf: (id: string) => number}} facts
   */
  show(images, { scores, addressOf, copiesOf }) {
    const isSameList = scores === this.#scores;
    const before = this.#indexes.get(this.#current ?? "");
    const { place } = this;
    this.#hadFocus ||= this.contains(document.activeElement);
    if (!isSameList) this.#forget();
    this.#scores = scores;
    this.#images = images;
    this.#addressOf = addressOf;
    this.#copiesOf = copiesOf;
    this.#indexes = new Map(images.map((image, index) => [image.id, index]));
    this.hidden = images.length === 0;
    if (this.#current !== null && !this.#indexes.has(this.#current)) {
      this.#setCurrent(images[Math.min(before ?? 0, images.length - 1)]?.id ?? null);
    }
    this.#lay();
    if (!isSameList) return;
    // What is being looked at stays where it is when images come or go above it.
    if (place.id !== null) this.#scrollTo(place);
    this.#returnFocus();
  }

  /** @returns {Place} to be given to `restore` */
  get place() {
    const top = window.scrollY - this.#top;
    const row = this.#rows[rowAt(this.#rows, Math.max(0, top))];
    return {
      id: row && top > 0 ? this.#images[row.first].id : null,
      offset: row ? row.top - top : 0,
      y: window.scrollY,
      count: this.#images.length,
      selected: this.#current,
    };
  }

  /** @param {Place | null} place where the list was left; null is its top */
  restore(place) {
    this.#scrollTo(place);
    this.#setCurrent(place?.selected ?? null);
    this.#render();
    this.#returnFocus();
  }

  /** @param {Place | null} place */
  #scrollTo(place) {
    const index = this.#indexes.get(place?.id ?? "");
    const row = index === undefined ? undefined : this.#rows[rowOf(this.#rows, index)];
    const y = place && row ? this.#top + row.top - place.offset : (place?.y ?? 0);
    if (Math.abs(y - window.scrollY) >= 1) window.scrollTo(0, y);
    this.#render();
  }

  /** Gives the focus back to the current image after the elements under it were made anew. */
  #returnFocus() {
    const isLost = this.#hadFocus && document.activeElement === document.body;
    this.#hadFocus = false;
    if (isLost) (this.#linkOf(this.#current ?? "") ?? this).focus({ preventScroll: true });
  }

  /**
   * Makes an image the current one and brings its row into the window.
   * @param {string | null} id null: the first image in the window
   * @param {{focus?: boolean, reveal?: "wholly" | "if-gone"}} [options] `if-gone` leaves a row alone that is partly seen
   */
  focusImage(id, { focus = true, reveal = "wholly" } = {}) {
    const index =
      this.#indexes.get(id ?? "") ?? this.#rows[rowAt(this.#rows, window.scrollY - this.#top)]?.first;
    if (index === undefined) return;
    const row = this.#rows[rowOf(this.#rows, index)];
    const slack = reveal === "wholly" ? 0 : row.height - 1;
    const top = this.#top + row.top - (document.getElementById("top")?.offsetHeight ?? 0) - GAP;
    const bottom = this.#top + row.top + row.height + GAP - window.innerHeight;
    if (top + slack < window.scrollY) window.scrollTo(0, top);
    else if (bottom - slack > window.scrollY) window.scrollTo(0, bottom);
    this.#setCurrent(this.#images[index].id);
    this.#render();
    if (focus) this.#linkOf(this.#images[index].id)?.focus({ preventScroll: true });
  }

  get #top() {
    return this.getBoundingClientRect().top + window.scrollY;
  }

  /** @param {string} id @returns {HTMLAnchorElement | null | undefined} */
  #linkOf(id) {
    return this.#tiles.get(id)?.tile.querySelector("a");
  }

  #onResize() {
    if (this.clientWidth === this.#width || this.hidden) return;
    const { place } = this;
    const wasScrolled = this.#width > 0 && place.id !== null;
    this.#lay();
    if (wasScrolled) this.restore(place);
  }

  #lay() {
    this.#width = this.clientWidth;
    if (this.#width === 0) {
      // Another view is shown; rows of images that are gone by then would be asked for.
      this.#rows = [];
      return;
    }
    const targetHeight = Math.max(112, Math.min(232, this.#width / 5));
    const ratios = this.#images.map((image) => image.width / image.height);
    const { rows, height } = justify(ratios, { width: this.#width, targetHeight, gap: GAP });
    this.#rows = rows;
    this.style.height = `${height}px`;
    this.setAttribute("aria-rowcount", String(rows.length));
    this.#render();
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      if (this.hidden) return;
      this.#render();
      this.dispatchEvent(new Event("place"));
    });
  }

  /** Makes the elements of the rows within a window's height of the window, and drops all others. */
  #render() {
    const top = window.scrollY - this.#top;
    const reach = window.innerHeight;
    const wanted = new Set();
    for (let at = rowAt(this.#rows, top - reach); at < this.#rows.length; at += 1) {
      if (this.#rows[at].top > top + 2 * reach) break;
      wanted.add(at);
    }
    // The current image stays, or the focus would be lost by scrolling away from it.
    const current = this.#indexes.get(this.#current ?? "");
    if (current !== undefined) wanted.add(rowOf(this.#rows, current));
    const kept = new Set();
    const focused = document.activeElement;
    for (const at of wanted) this.#renderRow(at, kept);
    for (const [at, row] of this.#rowElements) {
      if (wanted.has(at)) continue;
      row.remove();
      this.#rowElements.delete(at);
    }
    for (const id of this.#tiles.keys()) if (!kept.has(id)) this.#tiles.delete(id);
    // Moving an element to another row takes the focus from it.
    if (focused !== document.activeElement && focused instanceof HTMLElement && this.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
    if (this.#rows.length > 0 && top + 3 * reach > this.clientHeight)
      this.dispatchEvent(new Event("near-end"));
  }

  /** @param {number} at @param {Set<string>} kept gains the ids of the row's images */
  #renderRow(at, kept) {
    const { first, widths, top, height } = this.#rows[at];
    const row = this.#rowElements.get(at) ?? element("div", { class: "row", role: "row" });
    if (!this.#rowElements.has(at)) {
      this.#rowElements.set(at, row);
      this.append(row);
    }
    row.setAttribute("aria-rowindex", String(at + 1));
    row.style.transform = `translateY(${top}px)`;
    row.style.height = `${height}px`;
    const tiles = widths.map((width, column) => {
      const tile = this.#tileOf(this.#images[first + column]);
      resizeTile(tile, { width, height }, this.#images[first + column]);
      kept.add(this.#images[first + column].id);
      return tile;
    });
    const isSame =
      row.children.length === tiles.length && tiles.every((tile, column) => row.children[column] === tile);
    if (!isSame) row.replaceChildren(...tiles);
  }

  /** @param {Image} image @returns {HTMLElement} its element; a new one when the image has changed */
  #tileOf(image) {
    const known = this.#tiles.get(image.id);
    const copies = this.#copiesOf(image.id);
    if (known?.image === image && known.copies === copies) return known.tile;
    const facts = { score: this.#scores.get(image.id), address: this.#addressOf(image.id), copies };
    const tile = createTile(image, facts);
    this.#tiles.set(image.id, { tile, image, copies });
    if (image.id === this.#current) tile.querySelector("a")?.setAttribute("tabindex", "0");
    return tile;
  }

  /** Another list comes: its tiles carry other scores and addresses. */
  #forget() {
    this.#current = null;
    this.tabIndex = 0;
    this.#tiles.clear();
    this.#rowElements.clear();
    this.replaceChildren();
  }

  /** @param {string | null} id */
  #setCurrent(id) {
    if (id === this.#current) return;
    if (this.#current !== null) this.#linkOf(this.#current)?.setAttribute("tabindex", "-1");
    this.#current = id;
    if (id !== null) this.#linkOf(id)?.setAttribute("tabindex", "0");
    this.tabIndex = id === null ? 0 : -1;
    this.dispatchEvent(new Event("place"));
  }

  /** @param {"open" | "delete" | "like"} type @param {Event} event */
  #act(type, event) {
    const id = tileAt(event.target)?.dataset.id;
    if (id !== undefined) this.dispatchEvent(new CustomEvent(type, { detail: id }));
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const opensElsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
    if (opensElsewhere || !(event.target instanceof Element) || !event.target.closest("a")) return;
    event.preventDefault();
    this.#act("open", event);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const index = this.#indexes.get(this.#current ?? "");
    if (index === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = stepTo(this.#rows, index, event.key, GAP);
    if (target !== undefined) this.focusImage(this.#images[target].id);
    else if (event.key === "Delete") this.#act("delete", event);
    else if (event.key === "l") this.#act("like", event);
    else return;
    event.preventDefault();
  }
}

/** @param {EventTarget | null} target @returns {HTMLElement | null} */
const tileAt = (target) => (target instanceof Element ? target.closest(".tile") : null);

customElements.define("image-grid", ImageGrid);
