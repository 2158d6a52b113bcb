/** What the page shows, mirrored in its address: the query, the open image, and the place in the list. */

import { Query } from "./query.js";

/**
 * Where a visitor was in a list. `id` is the image at the top of the window and `offset` how far its row stood from
 * there; `y` is the fallback when that image is gone. `count` images were loaded; `selected` was the current one.
 * @typedef {{id: string | null, offset: number, y: number, count: number, selected: string | null}} Place
 *
 * What each history entry carries: the list it shows, how many entries of ours lie before it, whether it was made by
 * typing or by opening an image, and the place.
 * @typedef {{list: string, depth: number, typed: boolean, opened: boolean, place: Place | null}} Entry
 */

const OPEN_PARAMETER = "image";
const VIEW_PARAMETER = "view";
const MODELS = "models";

/** How long a place may wait to be written: browsers refuse more than some two hundred history changes in 30 s. */
const PLACE_DELAY_MS = 200;

/**
 * Announces `list` when another list is to be shown, `open` when another image is, or none, and `view` when the models
 * are to be shown instead of the images, or no longer.
 * Going back and forth in the browser announces the same events as going there for the first time.
 */
export class Store extends EventTarget {
  /** @type {Entry} */
  #entry;
  /** @type {number | undefined} */
  #placeTimer;
  /** Going back takes the browser a moment; asked for twice meanwhile, it would go two steps. */
  #isLeaving = false;

  constructor() {
    super();
    history.scrollRestoration = "manual";
    this.query = new Query();
    /** @type {string | null} the id of the image in the detail view */
    this.open = null;
    this.isModels = false;
    this.#entry = history.state ?? { list: newKey(), depth: 0, typed: false, opened: false, place: null };
    this.#read();
    this.#write("replaceState");
    window.addEventListener("popstate", (event) => this.#arrive(event.state));
    window.addEventListener("pagehide", () => this.#writePlace());
  }

  /** The key of the list on show. The same key again means: the very list that was shown then. */
  get list() {
    return this.#entry.list;
  }

  get place() {
    return this.#entry.place;
  }

  /** Whether the page has an entry of its own to go back to. */
  get canGoBack() {
    return this.#entry.depth > 0;
  }

  /**
   * Shows another query's list from its top. While someone types, the entries replace one another.
   * @param {Query} query
   * @param {{typed?: boolean}} [options]
   */
  search(query, { typed = false } = {}) {
    const replaces = this.#entry.typed && this.open === null && !this.isModels;
    this.#writePlace();
    this.query = query;
    const wasOpen = this.open !== null;
    const wasModels = this.isModels;
    this.open = null;
    this.isModels = false;
    const depth = this.#entry.depth + (replaces ? 0 : 1);
    this.#entry = { list: newKey(), depth, typed, opened: false, place: null };
    this.#write(replaces ? "replaceState" : "pushState");
    if (wasModels) this.#announce("view");
    this.#announce("list");
    if (wasOpen) this.#announce("open");
  }

  /** What was typed is meant: the next query gets an entry of its own. */
  settle() {
    this.#entry = { ...this.#entry, typed: false };
    this.#writePlace();
  }

  /** Opens an image; stepping from one open image to the next stays in the same entry. @param {string} id */
  openImage(id) {
    if (id === this.open) return;
    const steps = this.open !== null;
    this.#writePlace();
    this.open = id;
    this.#entry = { ...this.#entry, typed: false, opened: true, depth: this.#entry.depth + (steps ? 0 : 1) };
    this.#write(steps ? "replaceState" : "pushState");
    this.#announce("open");
  }

  /** Shows the models over the present list, which stays as it is. */
  showModels() {
    if (this.isModels) return;
    this.#writePlace();
    this.isModels = true;
    this.#entry = { ...this.#entry, typed: false, opened: true, depth: this.#entry.depth + 1 };
    this.#write("pushState");
    this.#announce("view");
  }

  closeModels() {
    if (!this.isModels) return;
    if (this.#entry.opened && this.canGoBack) {
      this.back();
      return;
    }
    this.isModels = false;
    this.#write("replaceState");
    this.#announce("view");
  }

  closeImage() {
    if (this.open === null) return;
    if (this.#entry.opened && this.canGoBack) {
      this.back();
      return;
    }
    this.open = null;
    this.#entry = { ...this.#entry, opened: false };
    this.#write("replaceState");
    this.#announce("open");
  }

  back() {
    if (!this.canGoBack || this.#isLeaving) return;
    this.#isLeaving = true;
    history.back();
  }

  /** @param {Place} place */
  keepPlace(place) {
    this.#entry = { ...this.#entry, place };
    this.#placeTimer ??= window.setTimeout(() => this.#writePlace(), PLACE_DELAY_MS);
  }

  /** The address of an image within the present list, for links. @param {string} id */
  addressOf(id) {
    const parameters = this.query.toAddress();
    parameters.set(OPEN_PARAMETER, id);
    return `?${parameters}`;
  }

  #writePlace() {
    window.clearTimeout(this.#placeTimer);
    this.#placeTimer = undefined;
    history.replaceState(this.#entry, "");
  }

  /** @param {Entry | null} entry */
  #arrive(entry) {
    this.#isLeaving = false;
    window.clearTimeout(this.#placeTimer);
    this.#placeTimer = undefined;
    const { list, open, isModels } = this;
    // An address typed or a hash followed by hand has no entry of ours yet.
    this.#entry = entry ?? { list: newKey(), depth: 0, typed: false, opened: false, place: null };
    this.#read();
    if (this.isModels !== isModels) this.#announce("view");
    if (this.list !== list) this.#announce("list");
    if (this.open !== open) this.#announce("open");
  }

  #read() {
    const parameters = new URLSearchParams(location.search);
    this.query = Query.fromAddress(parameters);
    this.open = parameters.get(OPEN_PARAMETER);
    this.isModels = parameters.get(VIEW_PARAMETER) === MODELS;
  }

  /** @param {"pushState" | "replaceState"} method */
  #write(method) {
    const parameters = this.query.toAddress();
    if (this.open !== null) parameters.set(OPEN_PARAMETER, this.open);
    if (this.isModels) parameters.set(VIEW_PARAMETER, MODELS);
    history[method](this.#entry, "", parameters.size > 0 ? `?${parameters}` : location.pathname);
  }

  /** @param {"list" | "open"} type */
  #announce(type) {
    this.dispatchEvent(new Event(type));
  }
}

const newKey = () => [...crypto.getRandomValues(new Uint32Array(2))].join("-");
