/** What stands under the groups: that more are coming, that there is none, or why it failed and what to do. */

import { element, icon } from "./dom.js";

/**
 * @typedef {import("./groups.js").Groups} Groups
 * @typedef {import("./copies_api.js").Grade} Grade
 */

/** @type {Record<Grade, string>} */
const NONE = { same: "No picture is there twice", similar: "No pictures are similar" };

/** Announces `retry`. */
export class CopiesEnd extends HTMLElement {
  #drawn = "";

  connectedCallback() {
    this.setAttribute("role", "status");
    this.setAttribute("aria-live", "polite");
  }

  /** @param {Groups} groups @param {boolean} isEmpty whether none of them is in sight */
  show(groups, isEmpty) {
    const state = stateOf(groups, isEmpty);
    // Redrawing the same words would have them read out again.
    if (state === this.#drawn && state !== "problem") return;
    this.#drawn = state;
    this.replaceChildren(...this.#content(state, groups));
  }

  /** @param {string} state @param {Groups} groups @returns {Node[]} */
  #content(state, { problem, grade, uncompared }) {
    if (problem) {
      const retry = () => this.dispatchEvent(new Event("retry"));
      return [
        icon("warning"),
        element("h2", {}, problem.title),
        element("p", {}, problem.detail),
        element("button", { type: "button", class: "button", onclick: retry }, "Try again"),
      ];
    }
    if (state === "loading") return [element("span", { class: "spinner" })];
    if (state === "end") return [];
    const advice = uncompared
      ? "Not every image is compared yet: look for copies first."
      : "When copies or crops of an image are added, they are shown here beside each other.";
    return [icon("copies"), element("h2", {}, NONE[grade]), element("p", {}, advice)];
  }
}

/** @param {Groups} groups @param {boolean} isEmpty */
function stateOf({ problem, isLoading, isComplete, grade, uncompared }, isEmpty) {
  if (problem) return "problem";
  if (isLoading || !isComplete) return "loading";
  return isEmpty ? `none ${grade} ${uncompared}` : "end";
}

customElements.define("copies-end", CopiesEnd);
