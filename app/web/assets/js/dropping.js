/** Dropping and pasting: onto the search box searches, anywhere else adds to the library. */

import { element, icon } from "./dom.js";
import { DRAGGED_IMAGE } from "./tile.js";

/**
 * Announces `upload` with files, `search-picture` with a file, and `search-image` with an id, as `detail`.
 * It shows where things would go while something is dragged over the page.
 */
export class DropVeil extends HTMLElement {
  connectedCallback() {
    this.setAttribute("aria-hidden", "true");
    this.append(
      element(
        "div",
        { class: "drop-hint" },
        icon("add"),
        element("p", {}, "Drop to add to the library"),
        element("p", { class: "hint" }, "or onto the search box to search with it"),
      ),
    );
    document.addEventListener("dragover", (event) => this.#over(event));
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) this.#mark(null);
    });
    document.addEventListener("dragend", () => this.#mark(null));
    document.addEventListener("drop", (event) => this.#drop(event));
    document.addEventListener("paste", (event) => this.#paste(event));
  }

  /** @param {DragEvent} event */
  #over(event) {
    const kind = kindOf(event.dataTransfer);
    if (kind === null || !event.dataTransfer) return;
    const isSearch = isOnSearch(event);
    if (kind === "image" && !isSearch) {
      this.#mark("image");
      return;
    }
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    this.#mark(isSearch ? "search" : "upload");
  }

  /** @param {DragEvent} event */
  #drop(event) {
    this.#mark(null);
    const kind = kindOf(event.dataTransfer);
    if (kind === null || !event.dataTransfer) return;
    event.preventDefault();
    if (kind === "image") {
      if (isOnSearch(event)) this.#announce("search-image", event.dataTransfer.getData(DRAGGED_IMAGE));
    } else if (isOnSearch(event)) {
      for (const file of event.dataTransfer.files) this.#announce("search-picture", file);
    } else {
      filesOf(event.dataTransfer).then((files) => this.#announce("upload", files));
    }
  }

  /** @param {ClipboardEvent} event */
  #paste(event) {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (files.length === 0) return;
    event.preventDefault();
    for (const file of files) this.#announce("search-picture", file);
  }

  /** @param {"upload" | "search" | "image" | null} target */
  #mark(target) {
    const { classList } = document.documentElement;
    classList.toggle("dragging", target !== null);
    for (const each of ["upload", "search", "image"]) classList.toggle(`dragging-${each}`, target === each);
  }

  /** @param {string} type @param {unknown} detail */
  #announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {DataTransfer | null} transfer @returns {"image" | "files" | null} */
function kindOf(transfer) {
  if (transfer?.types.includes(DRAGGED_IMAGE)) return "image";
  return transfer?.types.includes("Files") ? "files" : null;
}

/** @param {DragEvent} event */
const isOnSearch = (event) => event.target instanceof Element && event.target.closest("search-box") !== null;

/** @param {DataTransfer} transfer @returns {Promise<File[]>} its files and those in its folders, hidden ones left out */
async function filesOf(transfer) {
  // The list empties itself at the first pause, so the entries are taken before.
  const entries = [...transfer.items]
    .map((item) => item.webkitGetAsEntry?.())
    .filter((entry) => entry !== null);
  if (entries.length === 0 || entries.some((entry) => entry === undefined)) return [...transfer.files];
  /** @type {File[]} */
  const files = [];
  for (const entry of entries) await walk(/** @type {FileSystemEntry} */ (entry), files);
  return files;
}

/** @param {FileSystemEntry} entry @param {File[]} files gains what is found */
async function walk(entry, files) {
  if (/^(\.|Thumbs\.db$|desktop\.ini$)/.test(entry.name)) return;
  if (entry.isFile) {
    files.push(
      await new Promise((resolve, reject) =>
        /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject),
      ),
    );
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    // A reader gives at most a hundred entries at a time.
    /** @type {FileSystemEntry[]} */
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return;
    for (const each of entries) await walk(each, files);
  }
}

customElements.define("drop-veil", DropVeil);
