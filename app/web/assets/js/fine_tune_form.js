/** Starts a fine-tune: two choices for everyone, the rest for those who know what they want. */

import { element } from "./dom.js";

/** @typedef {import("./models_api.js").PairCheck} PairCheck */

/** @type {[string, string][]} */
const TRAINED = [
  ["", "As measured best"],
  ["heads", "The projections alone (fastest)"],
  ["last_blocks", "The last blocks too"],
  ["all", "Everything (slowest)"],
  ["lora", "Low-rank adapters"],
];

/** @type {[string, string][]} */
const PROMOTE = [
  ["if_better", "Switch to it if it is better"],
  ["never", "Only make it; I switch myself"],
];

/** @type {{name: string, label: string, min: string, max: string, step: string}[]} */
const NUMBERS = [
  { name: "steps", label: "Steps", min: "1", max: "1000000", step: "1" },
  { name: "batch_size", label: "Batch size", min: "2", max: "65536", step: "1" },
  { name: "learning_rate", label: "Learning rate", min: "0", max: "1", step: "any" },
  { name: "seed", label: "Seed", min: "0", max: "2147483647", step: "1" },
];

const WHAT_HAPPENS =
  "It learns from your pairs and is then compared with the live version on those held out. Searches go on meanwhile.";

/** Announces `start` with the settings to send. */
export class FineTuneForm extends HTMLElement {
  #button = element("button", { class: "button primary" }, "Start fine-tuning");
  #why = element("p", { class: "hint", id: "fine-tune-why" });
  #trained = choice("trained", TRAINED);
  #promote = choice("promote", PROMOTE);
  #numbers = NUMBERS.map((number) =>
    element("input", {
      ...number,
      id: `fine-tune-${number.name}`,
      type: "number",
      placeholder: "automatic",
      label: null,
    }),
  );

  connectedCallback() {
    this.#button.setAttribute("aria-describedby", "fine-tune-why");
    this.append(
      element("h2", {}, "Fine-tune"),
      element(
        "form",
        {
          onsubmit: (/** @type {Event} */ event) => {
            event.preventDefault();
            this.dispatchEvent(new CustomEvent("start", { detail: this.#settings }));
          },
        },
        labelled("What is trained", this.#trained),
        labelled("When it is done", this.#promote),
        element(
          "details",
          {},
          element("summary", {}, "More settings"),
          element(
            "div",
            { class: "fields" },
            ...this.#numbers.map((input, at) => labelled(NUMBERS[at].label, input)),
          ),
        ),
        this.#button,
        this.#why,
      ),
    );
    this.show(null);
  }

  /** What the pairs allow. @param {PairCheck | null} check null while it is not known */
  show(check) {
    const error = check?.findings.find((finding) => finding.level === "error");
    this.#button.disabled = check === null || !check.is_trainable;
    this.#why.textContent = error ? error.detail : WHAT_HAPPENS;
  }

  /** @returns {Record<string, unknown>} what was chosen; what was left open is left to the service */
  get #settings() {
    /** @type {Record<string, unknown>} */
    const settings = { promote: this.#promote.value };
    if (this.#trained.value) settings.trained = this.#trained.value;
    for (const input of this.#numbers) if (input.value !== "") settings[input.name] = input.valueAsNumber;
    return settings;
  }
}

/** @param {string} name @param {[string, string][]} options */
const choice = (name, options) =>
  element(
    "select",
    { id: `fine-tune-${name}`, name },
    ...options.map(([value, label]) => element("option", { value }, label)),
  );

/** @param {string} label @param {HTMLElement} field */
const labelled = (label, field) =>
  element("div", { class: "field" }, element("label", { for: field.id }, label), field);

customElements.define("fine-tune-form", FineTuneForm);
