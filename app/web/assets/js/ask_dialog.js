/** Asks before something that is not undone by a click: a promotion against the gate, or a deletion. */

import { element } from "./dom.js";
import { percent } from "./words.js";

/** @typedef {import("./models_api.js").Check} Check */

export class AskDialog extends HTMLElement {
  /** @type {HTMLDialogElement} */
  #dialog = element("dialog", { "aria-labelledby": "ask-title" });
  #title = element("h2", { id: "ask-title" });
  #content = element("div", { class: "ask" });
  #yes = element("button", { type: "button", class: "button danger", onclick: () => this.#dialog.close("yes") });
  #no = element(
    "button",
    { type: "button", class: "button", autofocus: true, onclick: () => this.#dialog.close("") },
    "Cancel",
  );

  connectedCallback() {
    this.#dialog.append(
      element("header", {}, this.#title),
      this.#content,
      element("div", { class: "row-actions" }, this.#no, this.#yes),
    );
    this.append(this.#dialog);
  }

  /**
   * @param {string} id of the version
   * @param {Check[]} checks what the gate compared
   * @returns {Promise<boolean>} whether it is to be promoted all the same
   */
  confirmForce(id, checks) {
    return this.#ask(
      "It is not better",
      "Promote all the same",
      element(
        "p",
        {},
        `${id} did not pass every check. Searches would be answered by it at once; `,
        "that it was forced is kept with it.",
      ),
      checksTable(checks),
    );
  }

  /** @param {string} id of the version @returns {Promise<boolean>} */
  confirmDelete(id) {
    return this.#ask(
      "Delete this version?",
      "Delete",
      element(
        "p",
        {},
        `${id} and its embeddings are removed. `,
        "Going back to it would need its checkpoint, and every image embedded again.",
      ),
    );
  }

  /** @param {string} title @param {string} yes @param {...Node} content @returns {Promise<boolean>} */
  #ask(title, yes, ...content) {
    this.#title.textContent = title;
    this.#yes.textContent = yes;
    this.#content.replaceChildren(...content);
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
    return new Promise((resolve) =>
      this.#dialog.addEventListener("close", () => resolve(this.#dialog.returnValue === "yes"), { once: true }),
    );
  }
}

/** The gate's numbers. @param {Check[]} checks */
export function checksTable(checks) {
  const head = ["Check", "Before", "After", "Allowed", ""];
  return element(
    "table",
    { class: "checks" },
    element("thead", {}, element("tr", {}, ...head.map((each) => element("th", { scope: "col" }, each)))),
    element(
      "tbody",
      {},
      ...checks.map((check) =>
        element(
          "tr",
          { class: check.passed ? "passed" : "failed" },
          element("th", { scope: "row" }, check.title),
          element("td", {}, percent(check.before)),
          element("td", {}, percent(check.after)),
          element("td", {}, check.allowed),
          element("td", {}, check.passed ? "passed" : "not passed"),
        ),
      ),
    ),
  );
}

customElements.define("ask-dialog", AskDialog);
