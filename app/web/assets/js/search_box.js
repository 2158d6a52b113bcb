/** The search box: a sentence, pictures beside it, and how much each of them counts. */

import { Problem, thumbnailAddress } from "./api.js";
import { element, icon, iconButton } from "./dom.js";
import { keepPicture, picturePreview } from "./pictures.js";
import { Query } from "./query.js";
import "./query_tuning.js";

/** @typedef {import("./query.js").QueryPicture} QueryPicture */

/** Typing pauses this long before the page searches by itself. */
const TYPING_PAUSE_MS = 350;

/** More pictures than this make a query nobody can weigh. */
const MOST_PICTURES = 6;

/**
 * Announces `typing` at once when the query is being changed, `query` with `{query, typed}` as `detail` when it is
 * to be searched for, `leave` when the way leads down into the images, and `problem` with a Problem as `detail`.
 */
export class SearchBox extends HTMLElement {
  #query = new Query();
  /** @type {number | undefined} */
  #pause;
  /** @type {HTMLInputElement} */
  #input = element("input", {
    type: "search",
    id: "query",
    name: "q",
    placeholder: "Describe an image, or drop one here",
    "aria-label": "Search by sentence",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    enterkeyhint: "search",
    maxlength: 10000,
    oninput: () => this.#change({ text: this.#input.value }),
  });
  #chips = element("ul", { class: "chips", "aria-label": "Pictures of this search" });
  /** @type {import("./query_tuning.js").QueryTuning} */
  #tuning = element("query-tuning", { id: "tuning", hidden: true });
  /** @type {HTMLInputElement} */
  #file = element("input", {
    type: "file",
    accept: "image/*,.heic,.heif,.avif",
    hidden: true,
    "aria-label": "Picture to search with",
    onchange: () => this.#takeFile(),
  });
  #tuneButton = iconButton("tune", "Fine-tune this search", () => this.#toggleTuning(), {
    "aria-expanded": "false",
    "aria-controls": "tuning",
  });

  connectedCallback() {
    const form = element(
      "form",
      { role: "search", onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
      icon("search"),
      this.#chips,
      this.#input,
      iconButton("picture", "Search with a picture", () => this.#file.click()),
      this.#tuneButton,
      element("button", { type: "submit", class: "spoken", tabindex: -1 }, "Search"),
      this.#file,
    );
    this.append(form, this.#tuning);
    this.#tuning.addEventListener("tune", (event) => this.#change(/** @type {CustomEvent} */ (event).detail));
    this.addEventListener("keydown", (event) => this.#onKey(event));
    document.addEventListener("pointerdown", (event) => {
      if (event.target instanceof Node && !this.contains(event.target)) this.#showTuning(false);
    });
  }

  /** Shows a query as it stands in the address. @param {Query} query */
  show(query) {
    window.clearTimeout(this.#pause);
    this.#query = query;
    // Writing the same words again would move the caret.
    if (this.#input.value.trim() !== query.text) this.#input.value = query.text;
    this.#draw();
  }

  focusInput() {
    this.#input.focus();
    this.#input.select();
  }

  /** Adds a picture the user brought and searches. @param {Blob} file */
  async addPicture(file) {
    try {
      this.#add({ kind: "picture", value: await keepPicture(file), weight: 1 });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.dispatchEvent(new CustomEvent("problem", { detail: error }));
    }
  }

  /** Adds an image of the library and searches. @param {string} id */
  addImage(id) {
    if (this.#query.pictures.some((picture) => picture.value === id)) return;
    this.#add({ kind: "like", value: id, weight: 1 });
  }

  /** @param {QueryPicture} picture */
  #add(picture) {
    this.#query = this.#query.with({ pictures: [...this.#query.pictures, picture].slice(-MOST_PICTURES) });
    this.#draw();
    this.#announce(false);
  }

  /** @param {number} at */
  #remove(at) {
    this.#query = this.#query.with({ pictures: this.#query.pictures.filter((_, each) => each !== at) });
    this.#draw();
    this.#announce(false);
    this.#input.focus();
  }

  #takeFile() {
    const [file] = this.#file.files ?? [];
    if (file) this.addPicture(file);
    this.#file.value = "";
    this.#input.focus();
  }

  /** @param {Partial<import("./query.js").QueryFields>} changes */
  #change(changes) {
    this.#query = this.#query.with(changes);
    this.#draw();
    this.dispatchEvent(new Event("typing"));
    window.clearTimeout(this.#pause);
    this.#pause = window.setTimeout(() => this.#announce(true), TYPING_PAUSE_MS);
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    this.#announce(false);
  }

  /** @param {boolean} typed */
  #announce(typed) {
    window.clearTimeout(this.#pause);
    this.dispatchEvent(new CustomEvent("query", { detail: { query: this.#query, typed } }));
  }

  #draw() {
    const { pictures } = this.#query;
    this.#chips.hidden = pictures.length === 0;
    this.#chips.replaceChildren(...pictures.map((picture, at) => this.#chip(picture, at)));
    this.#input.placeholder = pictures.length > 0 ? "Add words" : "Describe an image, or drop one here";
    this.#tuneButton.classList.toggle("active", this.#query.isTuned);
    this.#tuning.show(this.#query);
  }

  /** @param {QueryPicture} picture @param {number} at */
  #chip(picture, at) {
    const name = picture.kind === "like" ? "image of the library" : "picture you brought";
    const remove = iconButton("close", `Remove the ${name}`, () => this.#remove(at));
    return element("li", { class: `chip ${picture.weight < 0 ? "avoided" : ""}` }, preview(picture), remove);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key === "Escape" && !this.#tuning.hidden) {
      this.#showTuning(false);
      this.#tuneButton.focus();
      event.preventDefault();
    } else if (event.key === "Backspace" && event.target === this.#input && this.#input.selectionEnd === 0) {
      if (this.#query.pictures.length > 0) this.#remove(this.#query.pictures.length - 1);
    } else if (event.key === "ArrowDown" && event.target === this.#input) {
      this.dispatchEvent(new Event("leave"));
      event.preventDefault();
    }
  }

  #toggleTuning() {
    this.#showTuning(this.#tuning.hidden);
    if (!this.#tuning.hidden) this.#tuning.querySelector("input")?.focus();
  }

  /** @param {boolean} shown */
  #showTuning(shown) {
    this.#tuning.hidden = !shown;
    this.#tuneButton.setAttribute("aria-expanded", String(shown));
  }
}

/** @param {QueryPicture} picture @returns {HTMLElement} what it looks like; an icon where the browser cannot show it */
export function preview({ kind, value }) {
  const source = kind === "like" ? thumbnailAddress(value, 100) : picturePreview(value);
  if (source === null) return element("span", { class: "preview" }, icon("picture"));
  const image = element("img", { class: "preview", src: source, width: 32, height: 32, alt: "" });
  image.addEventListener("error", () =>
    image.replaceWith(element("span", { class: "preview" }, icon("picture"))),
  );
  return image;
}

customElements.define("search-box", SearchBox);
