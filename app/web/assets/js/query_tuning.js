/** The panel under the search box: weights of the parts, what to avoid, and the least score. */

import { element } from "./dom.js";
import { Query } from "./query.js";

/** Announces `tune` with the changed fields of the query as `detail`. */
export class QueryTuning extends HTMLElement {
  #query = new Query();
  /** What the rows stand for; while it stays the same they are kept, so that a slider is not lost under the hand. */
  #shape = "";
  /** @type {HTMLInputElement} */
  #without = element("input", {
    type: "text",
    placeholder: "e.g. people",
    maxlength: 1000,
    autocomplete: "off",
    oninput: () => this.#announce({ without: this.#without.value }),
  });
  #weights = element("div", { class: "rows" });
  /** @type {Slider[]} */
  #sliders = [];
  #minScore = new Slider(
    "Least score",
    { min: 0, max: 0.9, step: 0.01 },
    (value) => {
      this.#announce({ minScore: value === 0 ? null : value });
    },
    (value) => (value === 0 ? "any" : value.toFixed(2)),
  );

  /** @type {HTMLInputElement} */
  #stacked = element("input", {
    type: "checkbox",
    onchange: () => this.#announce({ isStacked: this.#stacked.checked }),
  });

  connectedCallback() {
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", "Fine-tune this search");
    this.append(
      this.#weights,
      element("label", { class: "tuning-row" }, element("span", {}, "Without"), this.#without),
      this.#minScore.row,
      element("label", { class: "tuning-check" }, this.#stacked, "Show each picture once, its copies under the best"),
      element("button", { type: "button", class: "button link", onclick: () => this.#reset() }, "Reset"),
    );
  }

  /** @param {Query} query */
  show(query) {
    this.#query = query;
    const shape = JSON.stringify([query.text.trim() !== "", query.pictures.map((picture) => picture.value)]);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#sliders = [
        new Slider("The words", { min: 0, max: 2, step: 0.1 }, (textWeight) =>
          this.#announce({ textWeight }),
        ),
        ...query.pictures.map((_, at) => {
          const name = query.pictures.length === 1 ? "The picture" : `Picture ${at + 1}`;
          return new Slider(name, { min: -1, max: 2, step: 0.1 }, (weight) => this.#weigh(at, weight));
        }),
      ];
      this.#sliders[0].row.hidden = query.text.trim() === "";
      // A single part's weight changes nothing.
      this.#weights.hidden = query.pictures.length + (query.text.trim() === "" ? 0 : 1) < 2;
      this.#weights.replaceChildren(...this.#sliders.map((slider) => slider.row));
    }
    [query.textWeight, ...query.pictures.map((picture) => picture.weight)].forEach((weight, at) => {
      this.#sliders[at].value = weight;
    });
    this.#minScore.value = query.minScore ?? 0;
    this.#stacked.checked = query.isStacked;
    if (this.#without.value.trim() !== query.without.trim()) this.#without.value = query.without;
  }

  /** @param {number} at @param {number} weight */
  #weigh(at, weight) {
    const pictures = this.#query.pictures.map((picture, each) =>
      each === at ? { ...picture, weight } : picture,
    );
    this.#announce({ pictures });
  }

  #reset() {
    const pictures = this.#query.pictures.map((picture) => ({ ...picture, weight: 1 }));
    this.#announce({ textWeight: 1, pictures, without: "", minScore: null, isStacked: false });
  }

  /** @param {Partial<import("./query.js").QueryFields>} fields */
  #announce(fields) {
    this.dispatchEvent(new CustomEvent("tune", { detail: fields }));
  }
}

/** A labelled range that shows its value. */
class Slider {
  /**
   * @param {string} label
   * @param {{min: number, max: number, step: number}} range
   * @param {(value: number) => void} onChange
   * @param {(value: number) => string} [write] how the value reads
   */
  constructor(label, range, onChange, write = (value) => value.toFixed(1)) {
    this.write = write;
    /** @type {HTMLInputElement} */
    this.input = element("input", {
      type: "range",
      ...range,
      oninput: () => onChange(this.input.valueAsNumber),
    });
    /** @type {HTMLOutputElement} */
    this.output = element("output");
    this.row = element("label", { class: "tuning-row" }, element("span", {}, label), this.input, this.output);
  }

  /** @param {number} value */
  set value(value) {
    this.input.value = String(value);
    this.output.textContent = this.write(value);
  }
}

customElements.define("query-tuning", QueryTuning);
