/** The help: what the page can do and the keys that do it. */

import { element, iconButton } from "./dom.js";

/** @type {[string[], string][]} */
const KEYS = [
  [["/"], "Go to the search box"],
  [["↓"], "From the search box into the images"],
  [["←", "→", "↑", "↓"], "From image to image"],
  [["Enter"], "Open the image"],
  [["←", "→"], "Previous and next, in the open image"],
  [["L"], "More like this"],
  [["Del"], "Delete"],
  [["K"], "Among copies: keep them all"],
  [["O"], "Among copies: keep only this one"],
  [["Ctrl", "Z"], "Undo a deletion or a decision"],
  [["Esc"], "Close"],
  [["?"], "This help"],
];

export class HelpDialog extends HTMLElement {
  /** @type {HTMLDialogElement} */
  #dialog = element("dialog", { "aria-labelledby": "help-title" });

  connectedCallback() {
    this.#dialog.append(
      element(
        "header",
        {},
        element("h2", { id: "help-title" }, "Finding images"),
        iconButton("close", "Close", () => this.#dialog.close()),
      ),
      element(
        "ul",
        { class: "advice" },
        element("li", {}, "Describe what you see in the image: “two dogs playing in the snow”."),
        element(
          "li",
          {},
          "Drop or paste a picture onto the search box, or drag one there from the grid; add words to both.",
        ),
        element("li", {}, "The sliders beside the search box weigh the parts and say what to leave out."),
        element("li", {}, "Drop photos or folders anywhere else to add them."),
      ),
      element(
        "dl",
        { class: "keys" },
        ...KEYS.flatMap(([keys, use]) => [
          element("dt", {}, ...keys.map((key) => element("kbd", {}, key))),
          element("dd", {}, use),
        ]),
      ),
      element(
        "p",
        { class: "hint" },
        "For programs: ",
        element("a", { href: "docs" }, "the HTTP interface"),
        ".",
      ),
    );
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.append(this.#dialog);
  }

  show() {
    if (!this.#dialog.open) this.#dialog.showModal();
  }
}

customElements.define("help-dialog", HelpDialog);
