/** What stands under the grid: that more is coming, that there is nothing, or why it failed and what to do. */

import { element, icon } from "./dom.js";

/** Announces `retry`, `add`, `widen` (drop the least score) and `everywhere` when their buttons are pressed. */
export class ResultsEnd extends HTMLElement {
  #shown = "";

  connectedCallback() {
    this.setAttribute("role", "status");
    this.setAttribute("aria-live", "polite");
  }

  /** @param {import("./results.js").Results} results */
  show(results) {
    const state = stateOf(results);
    // Redrawing the same words would have them read out again.
    if (state === this.#shown && state !== "problem") return;
    this.#shown = state;
    this.className = state;
    this.replaceChildren(...this.#content(state, results));
  }

  /** @param {ReturnType<typeof stateOf>} state @param {import("./results.js").Results} results @returns {Node[]} */
  #content(state, results) {
    if (state === "loading") return [element("span", { class: "spinner" })];
    if (state === "problem" && results.problem) return this.#problem(results.problem);
    if (state === "no-images") {
      return [
        emptyPicture(),
        element("h2", {}, "No images yet"),
        element("p", {}, "Drop photos or whole folders anywhere on this page, or choose them here."),
        this.#button("Add images", "add", "primary"),
        element(
          "p",
          { class: "hint" },
          "Many at once, from a terminal: ",
          element("code", {}, "beholder ingest ~/Pictures"),
        ),
      ];
    }
    if (state === "no-hits") {
      const isLimited = results.query.minScore !== null;
      if (!isLimited && results.query.collections.length > 0) {
        return [
          emptyPicture(),
          element("h2", {}, "Nothing matches"),
          element("p", {}, "No image of these collections comes close enough."),
          this.#button("Search all collections", "everywhere", ""),
        ];
      }
      const advice = isLimited
        ? "Every image scores below the least score you set."
        : "There is no image to compare with. Add some, or describe something else.";
      return [
        emptyPicture(),
        element("h2", {}, "Nothing matches"),
        element("p", {}, advice),
        isLimited
          ? this.#button("Show weaker matches too", "widen", "")
          : this.#button("Add images", "add", ""),
      ];
    }
    return [];
  }

  /** @param {import("./api.js").Problem} problem */
  #problem(problem) {
    return [
      icon("warning"),
      element("h2", {}, problem.title),
      element("p", {}, problem.detail),
      this.#button("Try again", "retry", ""),
      ...(problem.requestId ? [element("p", { class: "hint" }, `Request ${problem.requestId}`)] : []),
    ];
  }

  /** @param {string} label @param {string} type @param {string} look */
  #button(label, type, look) {
    const announce = () => this.dispatchEvent(new Event(type));
    return element("button", { type: "button", class: `button ${look}`, onclick: announce }, label);
  }
}

/** @param {import("./results.js").Results} results */
function stateOf(results) {
  if (results.problem) return "problem";
  if (!results.isComplete) return "loading";
  if (results.images.length > 0) return "end";
  return results.query.isEmpty ? "no-images" : "no-hits";
}

/** An empty frame, for the eye only. */
function emptyPicture() {
  return element("div", { class: "empty-picture", "aria-hidden": "true" }, icon("picture"));
}

customElements.define("results-end", ResultsEnd);
