/** What the page shows, mirrored in its address: the query, the open image, the view, and the place in each. */

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
const GRADE_PARAMETER = "grade";
const GROUP_PARAMETER = "group";

/** What can be shown instead of the images. @typedef {"models" | "copies"} View */
const VIEWS = ["models", "copies"];

/** How long a place may wait to be written: browsers refuse more than some two hundred history changes in 30 s. */
const PLACE_DELAY_MS = 200;

/**
 * Announces `list` when another list is to be shown, `open` when another image is, or none, and `view` when something
 * else is to be shown instead of the images, or no longer.
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
    /** @type {View | null} */
    this.view = null;
    /** @type {{grade: "same" | "similar", group: string | null}} which copies, and the first image of the current group */
    this.copies = { grade: "same", group: null };
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
    const replaces = this.#entry.typed && this.open === null && this.view === null;
    this.#writePlace();
    this.query = query;
    const wasOpen = this.open !== null;
    const hadView = this.view !== null;
    this.open = null;
    this.view = null;
    const depth = this.#entry.depth + (replaces ? 0 : 1);
    this.#entry = { list: newKey(), depth, typed, opened: false, place: null };
    this.#write(replaces ? "replaceState" : "pushState");
    if (hadView) this.#announce("view");
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

  /** Shows a view over the present list, which stays as it is. @param {View} view */
  showView(view) {
    if (this.view === view) return;
    this.#writePlace();
    this.view = view;
    this.#entry = { ...this.#entry, typed: false, opened: true, depth: this.#entry.depth + 1 };
    this.#write("pushState");
    this.#announce("view");
  }

  closeView() {
    if (this.view === null) return;
    if (this.#entry.opened && this.canGoBack) {
      this.back();
      return;
    }
    this.view = null;
    this.#write("replaceState");
    this.#announce("view");
  }

  /** @param {{grade: "same" | "similar", group: string | null}} copies where the visitor is among the copies */
  keepCopies(copies) {
    this.copies = copies;
    this.#placeTimer ??= window.setTimeout(() => this.#writePlace(), PLACE_DELAY_MS);
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

  /** The address of an image over the present view. @param {string} id */
  addressInView(id) {
    const parameters = this.#parameters();
    parameters.set(OPEN_PARAMETER, id);
    return `?${parameters}`;
  }

  #writePlace() {
    window.clearTimeout(this.#placeTimer);
    this.#placeTimer = undefined;
    this.#write("replaceState");
  }

  /** @param {Entry | null} entry */
  #arrive(entry) {
    this.#isLeaving = false;
    window.clearTimeout(this.#placeTimer);
    this.#placeTimer = undefined;
    const { list, open, view } = this;
    // An address typed or a hash followed by hand has no entry of ours yet.
    this.#entry = entry ?? { list: newKey(), depth: 0, typed: false, opened: false, place: null };
    this.#read();
    if (this.view !== view) this.#announce("view");
    if (this.list !== list) this.#announce("list");
    if (this.open !== open) this.#announce("open");
  }

  #read() {
    const parameters = new URLSearchParams(location.search);
    this.query = Query.fromAddress(parameters);
    this.open = parameters.get(OPEN_PARAMETER);
    const view = parameters.get(VIEW_PARAMETER);
    this.view = /** @type {View | null} */ (VIEWS.find((each) => each === view) ?? null);
    this.copies = {
      grade: parameters.get(GRADE_PARAMETER) === "similar" ? "similar" : "same",
      group: parameters.get(GROUP_PARAMETER),
    };
  }

  /** @param {"pushState" | "replaceState"} method */
  #write(method) {
    const parameters = this.#parameters();
    if (this.open !== null) parameters.set(OPEN_PARAMETER, this.open);
    history[method](this.#entry, "", parameters.size > 0 ? `?${parameters}` : location.pathname);
  }

  /** What the address says, save the open image. */
  #parameters() {
    const parameters = this.query.toAddress();
    if (this.view !== null) parameters.set(VIEW_PARAMETER, this.view);
    if (this.view === "copies") {
      if (this.copies.grade !== "same") parameters.set(GRADE_PARAMETER, this.copies.grade);
      if (this.copies.group !== null) parameters.set(GROUP_PARAMETER, this.copies.group);
    }
    return parameters;
  }

  /** @param {"list" | "open" | "view"} type */
  #announce(type) {
    this.dispatchEvent(new Event(type));
  }
}

const newKey = () => [...crypto.getRandomValues(new Uint32Array(2))].join("-");
