/** The line above the grid: what is shown, how it was found, and what the service warns of. */

import "./collection_chooser.js";
import { element, icon, iconButton } from "./dom.js";
import { count, milliseconds } from "./words.js";

/** Announces `back`, and what its collection chooser does: `choose`, `closed` and `problem`. */
export class ResultsBar extends HTMLElement {
  #back = iconButton("back", "Back to what was shown before", () => this.dispatchEvent(new Event("back")), {
    class: "button icon-only quiet",
  });
  #heading = element("h1");
  #facts = element("p", { class: "facts" });
  #warnings = element("ul", { class: "warnings" });
  /** @type {import("./collection_chooser.js").CollectionChooser} */
  #chooser = element("collection-chooser", { hidden: true });

  connectedCallback() {
    this.append(this.#back, this.#heading, this.#facts, this.#chooser, this.#warnings);
    for (const type of ["choose", "closed", "problem"])
      this.#chooser.addEventListener(type, (event) =>
        this.dispatchEvent(new CustomEvent(type, { detail: /** @type {CustomEvent} */ (event).detail })),
      );
  }

  /** Images may have come into a collection that was not there before. */
  refreshCollections() {
    this.#chooser.refresh();
  }

  /**
   * @param {import("./results.js").Results} results
   * @param {{canGoBack: boolean, hiddenCount: number}} facts
   */
  show(results, { canGoBack, hiddenCount }) {
    this.#back.hidden = !canGoBack;
    this.#chooser.show(results.query.collections);
    this.#heading.textContent = capitalised(results.query.words) || "Library";
    this.#facts.textContent = factsOf(results, hiddenCount);
    this.#warnings.hidden = results.warnings.length === 0;
    this.#warnings.replaceChildren(
      ...results.warnings.map((warning) => element("li", {}, icon("warning"), element("span", {}, warning))),
    );
  }
}

/** @param {import("./results.js").Results} results @param {number} hiddenCount */
function factsOf(results, hiddenCount) {
  if (results.query.isEmpty) return results.total === null ? "" : count(results.total - hiddenCount, "image");
  if (!results.hasAnswer) return results.problem ? "" : "Searching…";
  const found = results.isComplete ? `${count(results.images.length, "image")}, best first` : "Best first";
  return results.tookMs === null ? found : `${found} · ${milliseconds(results.tookMs)}`;
}

/** @param {string} words */
const capitalised = (words) => words.charAt(0).toUpperCase() + words.slice(1);

customElements.define("results-bar", ResultsBar);
