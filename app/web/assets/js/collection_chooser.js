/** Which collections are shown and searched: one, several, or all of them. */

import { listCollections, Problem } from "./api.js";
import { element, icon } from "./dom.js";
import { count } from "./words.js";

/** @typedef {import("./api.js").Collection} Collection */

/**
 * Announces `choose` with the names that are wanted as `detail`, none for all, `closed` when the choice is made, and
 * `problem` with a Problem as `detail`. It hides while there is nothing to choose between.
 */
export class CollectionChooser extends HTMLElement {
  /** @type {readonly string[]} */
  #chosen = [];
  /** @type {Collection[]} */
  #collections = [];
  #name = element("span");
  #list = element("div", { class: "options" });
  #all = element("button", { type: "button", class: "button link", onclick: () => this.#choose([]) }, "All");
  /** @type {HTMLDetailsElement} */
  #details = element(
    "details",
    { ontoggle: () => this.#toggled() },
    element("summary", { class: "button", title: "Which collections are shown" }, this.#name, icon("down")),
    element("fieldset", {}, element("legend", {}, "Collections"), this.#list, this.#all),
  );

  connectedCallback() {
    this.append(this.#details);
    this.addEventListener("keydown", (event) => this.#onKey(event));
    document.addEventListener("pointerdown", (event) => {
      if (event.target instanceof Node && !this.contains(event.target)) this.#details.open = false;
    });
    this.#draw();
    this.refresh();
  }

  /** Shows a choice as it stands in the address. @param {readonly string[]} names */
  show(names) {
    if (names.join("\n") === this.#chosen.join("\n")) return;
    this.#chosen = names;
    this.#draw();
  }

  /** Asks which collections there are. */
  async refresh() {
    try {
      this.#collections = await listCollections();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // Nobody has asked for the list unless it is open.
      if (this.#details.open) this.dispatchEvent(new CustomEvent("problem", { detail: error }));
      return;
    }
    this.#draw();
  }

  #toggled() {
    if (this.#details.open) this.refresh();
    else this.dispatchEvent(new Event("closed"));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key !== "Escape" || !this.#details.open) return;
    this.#details.open = false;
    this.#details.querySelector("summary")?.focus();
    event.preventDefault();
  }

  /** @param {readonly string[]} names */
  #choose(names) {
    this.#chosen = names;
    this.#draw();
    this.dispatchEvent(new CustomEvent("choose", { detail: names }));
  }

  #draw() {
    this.hidden = this.#collections.length < 2 && this.#chosen.length === 0;
    this.#name.textContent = nameOf(this.#chosen);
    this.#all.disabled = this.#chosen.length === 0;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.collection;
    const known = this.#collections.map((collection) => collection.name);
    const gone = this.#chosen.filter((name) => !known.includes(name));
    this.#list.replaceChildren(
      ...this.#collections.map((collection) => this.#option(collection.name, factsOf(collection))),
      ...gone.map((name) => this.#option(name, "no images")),
    );
    // Whoever ticks by keyboard goes on from there.
    if (focused !== undefined) this.#optionOf(focused)?.focus();
  }

  /** @param {string} name @param {string} facts */
  #option(name, facts) {
    const box = element("input", {
      type: "checkbox",
      checked: this.#chosen.includes(name),
      "data-collection": name,
      onchange: () =>
        this.#choose(
          box.checked ? [...this.#chosen, name] : this.#chosen.filter((each) => each !== name),
        ),
    });
    return element(
      "label",
      {},
      box,
      element("span", {}, name),
      element("span", { class: "held" }, facts),
    );
  }

  /** @param {string} name @returns {HTMLElement | undefined} */
  #optionOf(name) {
    return [...this.#list.querySelectorAll("input")].find((box) => box.dataset.collection === name);
  }
}

/** @param {readonly string[]} names */
const nameOf = (names) =>
  names.length === 0 ? "All collections" : names.length === 1 ? names[0] : count(names.length, "collection");

/** @param {Collection} collection */
const factsOf = (collection) =>
  [count(collection.images, "image"), !collection.searched_by_default && "searched when chosen"]
    .filter(Boolean)
    .join(", ");

customElements.define("collection-chooser", CollectionChooser);
