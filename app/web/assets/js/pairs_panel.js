/** The pairs: how many there are, what is wrong with them, a table to upload, and the list. */

import { Problem, thumbnailAddress } from "./api.js";
import { element, icon, iconButton } from "./dom.js";
import { checkPairs, deletePair, importPairs, listPairs, pairsExportAddress } from "./models_api.js";
import { count } from "./words.js";

/**
 * @typedef {import("./models_api.js").Pair} Pair
 * @typedef {import("./models_api.js").PairCheck} PairCheck
 * @typedef {import("./models_api.js").PairsAdded} PairsAdded
 */

const PAGE = 12;
const THUMBNAIL_PIXELS = 160;
const REFUSALS_SHOWN = 20;

/** Announces `checked` with what the service says of the pairs, and `problem`. */
export class PairsPanel extends HTMLElement {
  #facts = element("p", { class: "facts" });
  #findings = element("ul", { class: "findings" });
  #outcome = element("div", { class: "outcome", role: "status", "aria-live": "polite" });
  #bar = element("progress", { max: 1, hidden: true, "aria-label": "Sending the pairs" });
  #list = element("ul", { class: "pairs" });
  #more = element(
    "button",
    { type: "button", class: "button", hidden: true, onclick: () => this.#showMore() },
    "Show more",
  );
  #export = element("a", { class: "button link", download: true, hidden: true }, "Export");
  /** @type {HTMLInputElement} */
  #files = element("input", {
    id: "pair-files",
    type: "file",
    multiple: true,
    class: "spoken",
    accept: ".tsv,.csv,.jsonl,.zip",
    onchange: () => this.#send([...(this.#files.files ?? [])]),
  });
  /** @type {string | null} */
  #cursor = null;
  /** @type {AbortController | null} */
  #sending = null;

  connectedCallback() {
    this.append(
      element("div", { class: "section-head" }, element("h2", {}, "Pairs"), this.#export),
      element(
        "p",
        { class: "hint" },
        "A pair is an image and a text that describes it: what the model is to learn of your images.",
      ),
      this.#facts,
      this.#findings,
      element(
        "p",
        { class: "choose" },
        this.#files,
        element("label", { for: "pair-files", class: "button" }, icon("add"), "Add a table or a zip"),
        element(
          "span",
          { class: "hint" },
          "TSV, CSV or JSONL with an image and a text a line; a zip brings the images along.",
        ),
      ),
      this.#bar,
      this.#outcome,
      this.#list,
      this.#more,
    );
  }

  disconnectedCallback() {
    this.#sending?.abort();
  }

  /** Asks the service anew for the pairs and what is wrong with them. */
  async load() {
    await this.#guarded(async () => {
      const [check, page] = await Promise.all([checkPairs(), listPairs({ cursor: null, limit: PAGE })]);
      this.#drawCheck(check);
      this.#list.replaceChildren(...page.items.map((pair) => this.#row(pair)));
      this.#follow(page.next_cursor);
      this.dispatchEvent(new CustomEvent("checked", { detail: check }));
    });
  }

  async #showMore() {
    await this.#guarded(async () => {
      const page = await listPairs({ cursor: this.#cursor, limit: PAGE });
      const rows = page.items.map((pair) => this.#row(pair));
      this.#list.append(...rows);
      this.#follow(page.next_cursor);
      if (this.#more.hidden) rows[0]?.querySelector("button")?.focus();
    });
  }

  /** @param {string | null} cursor */
  #follow(cursor) {
    this.#cursor = cursor;
    this.#more.hidden = cursor === null;
  }

  /** @param {PairCheck} check */
  #drawCheck(check) {
    this.#export.hidden = check.pairs === 0;
    this.#export.href = pairsExportAddress();
    const sides = `${check.train_images} to learn from, ${check.validation_images} held out to measure on`;
    this.#facts.textContent =
      check.pairs === 0
        ? "There are none yet."
        : `${count(check.pairs, "pair")} of ${count(check.images, "image")}: ${sides}.`;
    this.#findings.replaceChildren(
      ...check.findings.map((finding) =>
        element("li", { class: finding.level }, icon("warning"), element("span", {}, finding.detail)),
      ),
    );
  }

  /** @param {Pair} pair */
  #row(pair) {
    const remove = iconButton("bin", `Remove the pair: ${pair.text}`, () =>
      this.#guarded(async () => {
        await deletePair(pair.id);
        await this.load();
      }),
    );
    return element(
      "li",
      {},
      element("img", {
        src: thumbnailAddress(pair.image_id, THUMBNAIL_PIXELS),
        alt: "",
        width: 56,
        height: 56,
        loading: "lazy",
      }),
      element(
        "p",
        {},
        pair.text,
        element("span", { class: "hint" }, pair.split === "validation" ? "held out" : "to learn from"),
      ),
      remove,
    );
  }

  /** @param {File[]} files */
  async #send(files) {
    this.#files.value = "";
    if (files.length === 0) return;
    this.#sending?.abort();
    this.#sending = new AbortController();
    this.#bar.hidden = false;
    this.#bar.removeAttribute("value");
    this.#outcome.replaceChildren();
    await this.#guarded(async () => {
      const { signal } = /** @type {AbortController} */ (this.#sending);
      const added = await importPairs(files, {
        signal,
        onProgress: (share) => {
          // All is sent, but not yet read: an end that can't be told.
          if (share < 1) this.#bar.value = share;
          else this.#bar.removeAttribute("value");
        },
      });
      this.#outcome.replaceChildren(...outcome(added));
      await this.load();
    });
    this.#bar.hidden = true;
  }

  /** @param {() => Promise<void>} work */
  async #guarded(work) {
    try {
      await work();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      this.dispatchEvent(new CustomEvent("problem", { detail: error }));
    }
  }
}

/** @param {PairsAdded} added @returns {Node[]} what became of a table, its refused lines with their reasons */
function outcome(added) {
  const words = [
    `${count(added.added, "pair")} added`,
    added.existing > 0 && `${added.existing} already there`,
    added.images_added > 0 && `${count(added.images_added, "image")} added`,
    added.files_unused > 0 && `${count(added.files_unused, "file")} that no line names`,
    added.refused_total > 0 && `${count(added.refused_total, "line")} refused`,
  ];
  const shown = added.refused.slice(0, REFUSALS_SHOWN);
  const rest = added.refused_total - shown.length;
  return [
    element("p", {}, words.filter(Boolean).join(", ")),
    element(
      "ul",
      { class: "refused", hidden: shown.length === 0 },
      ...shown.map(({ line, entry, reason }) =>
        element("li", {}, element("strong", {}, line === null ? (entry ?? "") : `Line ${line}`), ` ${reason}`),
      ),
      rest > 0 && element("li", { class: "hint" }, `and ${count(rest, "line")} more`),
    ),
  ];
}

customElements.define("pairs-panel", PairsPanel);
