/** One group of images that look alike, side by side: what differs between them, and what can be decided. */

import { thumbnailAddress } from "./api.js";
import { element, icon } from "./dom.js";
import { bytes, count, localTime, wallClock } from "./words.js";

/**
 * @typedef {import("./api.js").Image} Image
 * @typedef {import("./copies_api.js").Group} Group
 * @typedef {"delete" | "only" | "keep"} Decision `only`: keep this image, delete the others
 */

const THUMBNAIL_PIXELS = 320;

/** Its element stays while images come and go in it, so that the focus stays too. */
export class CopyGroup {
  #heading = element("h2");
  #likeness = element("span", { class: "hint" });
  #row = element("ul", { class: "copies-row" });
  #keep;
  /** @type {Map<string, HTMLElement>} by image id */
  #cells = new Map();
  #shown = "";

  /**
   * @param {string} key what the group is known by
   * @param {Group} group
   * @param {{addressOf: (id: string) => string, decide: (decision: Decision, image?: Image) => void}} options
   */
  constructor(key, group, options) {
    this.key = key;
    this.group = group;
    this.options = options;
    /** @type {Image[]} */
    this.images = [];
    this.#keep = element(
      "button",
      { type: "button", class: "button", tabindex: -1, onclick: () => options.decide("keep") },
      icon("check"),
      element("span"),
    );
    this.node = element(
      "li",
      { class: "card copies-group", role: "group", "data-key": key },
      element("div", { class: "row-head" }, this.#heading, this.#likeness, this.#keep),
      this.#row,
    );
  }

  /** @param {Image[]} images those of the group that are there */
  show(images) {
    const shown = images.map((image) => image.id).join();
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.images = images;
    const more = this.group.size - this.group.images.length;
    this.#heading.textContent = count(images.length + more, "image");
    this.#likeness.textContent = likenessOf(this.group, images);
    const keep = images.length === 2 ? "Keep both" : `Keep all ${images.length}`;
    /** @type {HTMLElement} */ (this.#keep.lastElementChild).textContent = keep;
    this.#keep.title = `${keep} beside each other (K)`;
    this.node.setAttribute("aria-label", `${this.#heading.textContent}: ${images.map(nameOf).join(", ")}`);
    const differences = differing(images);
    this.#row.replaceChildren(...images.map((image) => this.#cell(image, images, differences)));
  }

  /** @param {string} id @returns {HTMLElement | null | undefined} the link of one image */
  linkOf(id) {
    return this.#cells.get(id)?.querySelector("a");
  }

  /** Whether Tab stops here: at the picture, then at what can be done with the group. @param {string | null} id */
  setCurrent(id) {
    for (const each of this.node.querySelectorAll("a, button")) each.setAttribute("tabindex", "-1");
    if (id === null) return;
    this.linkOf(id)?.setAttribute("tabindex", "0");
    for (const each of this.node.querySelectorAll("button")) each.setAttribute("tabindex", "0");
  }

  /** @param {Image} image @param {Image[]} images @param {Set<string>} differences */
  #cell(image, images, differences) {
    const isCurrent = this.#cells.get(image.id)?.querySelector("a")?.tabIndex === 0;
    /** @param {Decision} decision @param {string} label @param {string} title */
    const button = (decision, label, title) =>
      element(
        "button",
        {
          type: "button",
          class: "button link",
          tabindex: isCurrent ? 0 : -1,
          title,
          "aria-label": `${label}: ${nameOf(image)}`,
          onclick: () => this.options.decide(decision, image),
        },
        label,
      );
    const cell = element(
      "li",
      { class: "copy", "data-id": image.id },
      element(
        "a",
        { href: this.options.addressOf(image.id), tabindex: isCurrent ? 0 : -1, title: "Look at it large" },
        element("img", {
          src: thumbnailAddress(image.id, THUMBNAIL_PIXELS),
          alt: nameOf(image),
          width: image.width,
          height: image.height,
          loading: "lazy",
          decoding: "async",
        }),
      ),
      element(
        "dl",
        {},
        ...factsOf(image, images)
          .filter(({ name }) => name !== "Collection" || differences.has(name))
          .map(({ name, value, most }) =>
            element(
              "div",
              { class: differences.has(name) ? "differs" : "" },
              element("dt", { class: "spoken" }, name),
              element("dd", {}, value, most && element("span", { class: "badge" }, most)),
            ),
          ),
      ),
      element(
        "div",
        { class: "row-actions" },
        button("delete", "Delete", "Delete this one (Del)"),
        images.length > 2 && button("only", "Keep only this", "Delete the others (O)"),
      ),
    );
    this.#cells.set(image.id, cell);
    return cell;
  }
}

/** @param {Image} image */
const nameOf = (image) => image.caption || image.filename;

/** @param {Image} image @param {Image[]} images it stands among */
function factsOf(image, images) {
  const area = (/** @type {Image} */ each) => each.width * each.height;
  const smallest = Math.min(...images.map(area));
  const isLargest = area(image) === Math.max(...images.map(area)) && area(image) > smallest;
  const moment = image.taken_at
    ? `Taken ${wallClock(image.taken_at)}`
    : `Added ${localTime(image.created_at)}`;
  return [
    { name: "Name", value: image.filename },
    { name: "Size", value: `${image.width} × ${image.height}`, most: isLargest && "largest" },
    { name: "Format", value: image.format.toUpperCase() },
    { name: "Bytes", value: bytes(image.bytes) },
    { name: "Date", value: moment },
    { name: "Collection", value: image.collection },
  ];
}

/** @param {Image[]} images @returns {Set<string>} the names of the facts in which they are not all alike */
function differing(images) {
  /** @type {Map<string, Set<string>>} */
  const values = new Map();
  for (const image of images)
    for (const { name, value } of factsOf(image, images))
      values.set(name, (values.get(name) ?? new Set()).add(value));
  return new Set([...values].filter(([, each]) => each.size > 1).map(([name]) => name));
}

/** @param {Group} group @param {Image[]} images */
function likenessOf(group, images) {
  const ids = new Set(images.map((image) => image.id));
  const cosines = group.pairs
    .filter((pair) => pair.cosine !== null && pair.image_ids.every((id) => ids.has(id)))
    .map((pair) => /** @type {number} */ (pair.cosine).toFixed(2));
  if (cosines.length === 0) return "";
  const [least, most] = [cosines.reduce((a, b) => (a < b ? a : b)), cosines.reduce((a, b) => (a > b ? a : b))];
  return least === most ? `likeness ${least}` : `likeness ${least} to ${most}`;
}
