/** The uploads beside the page: a progress bar a file, then a summary of what was added and what was refused. */

import { element, icon, iconButton } from "./dom.js";
import { count } from "./words.js";

/** @typedef {import("./uploads.js").Upload} Upload */

/** Rows shown at once; the rest is counted. Refused files always come first, since they need someone. */
const MOST_ROWS = 60;

/** @type {Record<import("./uploads.js").UploadState, string>} */
const STATE_WORDS = {
  waiting: "Waiting",
  sending: "Sending",
  working: "Reading",
  busy: "The service is busy; trying again soon",
  created: "Added",
  exists: "Already in the library",
  refused: "Refused",
  cancelled: "Cancelled",
};

export class UploadPanel extends HTMLElement {
  /** @type {import("./uploads.js").Uploads | null} */
  #uploads = null;
  #isScheduled = false;
  /** @type {Map<Upload, {row: HTMLElement, bar: HTMLProgressElement, words: HTMLElement, state: string}>} */
  #rows = new Map();
  #summary = element("p", { class: "summary", role: "status", "aria-live": "polite" });
  #total = element("progress", { max: 1, "aria-label": "All uploads" });
  #list = element("ul", { class: "uploads" });
  #more = element("p", { class: "hint" });
  #stop = element(
    "button",
    { type: "button", class: "button link", onclick: () => this.#uploads?.cancel() },
    "Stop",
  );
  #retry = element(
    "button",
    { type: "button", class: "button link", onclick: () => this.#uploads?.retry() },
    "Try again",
  );
  #fold = iconButton("down", "Show or hide the files", () => this.#toggle(), { "aria-expanded": "true" });
  #close = iconButton("close", "Close", () => this.#uploads?.clear());

  connectedCallback() {
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", "Uploads");
    this.append(
      element("header", {}, this.#summary, this.#stop, this.#retry, this.#fold, this.#close),
      this.#total,
      this.#list,
      this.#more,
    );
  }

  /** @param {import("./uploads.js").Uploads} uploads */
  watch(uploads) {
    this.#uploads = uploads;
    uploads.addEventListener("change", () => this.#schedule());
  }

  #toggle() {
    const isFolded = this.classList.toggle("folded");
    this.#fold.setAttribute("aria-expanded", String(!isFolded));
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // Not an animation frame: a hidden tab gets none, and would show old news when it is looked at again.
    window.setTimeout(() => {
      this.#isScheduled = false;
      this.#draw();
    }, 60);
  }

  #draw() {
    if (!this.#uploads) return;
    const { all, isActive } = this.#uploads;
    this.hidden = all.length === 0;
    const counts = countStates(all);
    const finished = all.length - counts.waiting - counts.sending - counts.working - counts.busy;
    write(
      this.#summary,
      isActive ? `Adding ${Math.min(finished + 1, all.length)} of ${all.length}` : summaryOf(counts),
    );
    // Spoken once, at the end; the count on the way there would never be silent.
    this.#summary.setAttribute("aria-live", isActive ? "off" : "polite");
    this.#total.hidden = !isActive;
    this.#total.value = all.reduce((sum, upload) => sum + shareOf(upload), 0) / Math.max(1, all.length);
    this.#stop.hidden = !isActive;
    this.#retry.hidden = isActive || this.#uploads.failed.length === 0;
    this.#close.hidden = isActive;
    const shown = pick(all);
    this.#list.replaceChildren(...shown.map((upload) => this.#row(upload)));
    for (const upload of this.#rows.keys()) if (!shown.includes(upload)) this.#rows.delete(upload);
    this.#more.hidden = shown.length === all.length;
    this.#more.textContent = `and ${count(all.length - shown.length, "file")} more`;
  }

  /** @param {Upload} upload */
  #row(upload) {
    let known = this.#rows.get(upload);
    if (!known) {
      const { name } = upload.file;
      const bar = element("progress", { max: 1, value: 0, "aria-label": `Sending ${name}` });
      const words = element("p", { class: "state" });
      const row = element("li", {}, element("p", { class: "name", title: name }, name), words, bar);
      known = { row, bar, words, state: "" };
      this.#rows.set(upload, known);
    }
    const { row, bar, words } = known;
    bar.value = shareOf(upload);
    bar.hidden = isFinished(upload);
    if (known.state !== upload.state) {
      known.state = upload.state;
      row.className = upload.state;
      const reason = upload.problem
        ? `${upload.problem.title}: ${upload.problem.detail}`
        : STATE_WORDS[upload.state];
      const mark = { created: "check", exists: "check", refused: "warning" }[
        /** @type {string} */ (upload.state)
      ];
      words.replaceChildren(...(mark ? [icon(/** @type {any} */ (mark))] : []), reason);
    }
    return row;
  }
}

/** @param {readonly Upload[]} uploads */
function countStates(uploads) {
  const counts = {
    waiting: 0,
    sending: 0,
    working: 0,
    busy: 0,
    created: 0,
    exists: 0,
    refused: 0,
    cancelled: 0,
  };
  for (const upload of uploads) counts[upload.state] += 1;
  return counts;
}

/** @param {ReturnType<typeof countStates>} counts */
function summaryOf(counts) {
  return [
    counts.created > 0 && `${counts.created} added`,
    counts.exists > 0 && `${counts.exists} already there`,
    counts.refused > 0 && `${counts.refused} refused`,
    counts.cancelled > 0 && `${counts.cancelled} cancelled`,
  ]
    .filter(Boolean)
    .join(", ");
}

/** @param {Upload} upload */
const isFinished = ({ state }) => ["created", "exists", "refused", "cancelled"].includes(state);

/** @param {Upload} upload */
const shareOf = (upload) => (isFinished(upload) ? 1 : upload.share * 0.95);

/**
 * At most `MOST_ROWS` of them: in their order while they are few, else by how much each is worth looking at.
 * @param {readonly Upload[]} uploads
 * @returns {Upload[]}
 */
function pick(uploads) {
  if (uploads.length <= MOST_ROWS && !uploads.every(isFinished)) return [...uploads];
  const order = ["refused", "sending", "working", "busy", "waiting", "created", "exists", "cancelled"];
  return order.flatMap((state) => uploads.filter((upload) => upload.state === state)).slice(0, MOST_ROWS);
}

/** Writes only what is new, since a live region speaks whatever is written. @param {HTMLElement} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

customElements.define("upload-panel", UploadPanel);
