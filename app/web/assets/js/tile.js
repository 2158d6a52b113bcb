/** One image of the grid: a link to its detail view with its thumbnail and, in a search, its score. */

import { thumbnailAddress } from "./api.js";
import { element, iconButton } from "./dom.js";
import { count } from "./words.js";

/** @typedef {import("./api.js").Image} Image */

/** What a dragged tile carries, so that it can be dropped onto the search box. */
export const DRAGGED_IMAGE = "application/x-beholder-image";

/**
 * @param {Image} image
 * @param {{score: number | undefined, address: string, copies: number}} facts
 * @returns {HTMLElement} a grid cell whose size `resizeTile` sets
 */
export function createTile(image, { score, address, copies }) {
  const name = image.caption || image.filename;
  const link = element(
    "a",
    { href: address, tabindex: -1, draggable: "true" },
    element("img", { alt: name, title: name, loading: "lazy", decoding: "async", draggable: "false" }),
    score !== undefined && element("span", { class: "score", title: "Likeness (cosine)" }, score.toFixed(2)),
    copies > 0 && element("span", { class: "stack", title: `${count(copies + 1, "image")} of this picture` }, `+${copies}`),
  );
  const tile = element("div", { class: "tile", role: "gridcell", "data-id": image.id }, link);
  link.addEventListener("dragstart", (/** @type {DragEvent} */ event) => {
    event.dataTransfer?.setData(DRAGGED_IMAGE, image.id);
    event.dataTransfer?.setData("text/uri-list", link.href);
  });
  const picture = /** @type {HTMLImageElement} */ (link.firstElementChild);
  picture.addEventListener("load", () => tile.classList.add("loaded"));
  picture.addEventListener("error", () => tile.classList.add("broken"));
  return tile;
}

/**
 * Gives a tile its place in a row; only a larger size than before asks for another thumbnail.
 * @param {HTMLElement} tile
 * @param {{width: number, height: number}} size in CSS pixels
 * @param {Image} image
 */
export function resizeTile(tile, { width, height }, image) {
  tile.style.width = `${width}px`;
  const picture = /** @type {HTMLImageElement} */ (tile.querySelector("img"));
  picture.width = Math.round(width);
  picture.height = Math.round(height);
  // A cropped panorama's longest side reaches beyond its tile.
  const scale = Math.max(width / image.width, height / image.height) * window.devicePixelRatio;
  const pixels = Math.max(image.width, image.height) * scale;
  if (pixels <= Number(picture.dataset.pixels ?? 0)) return;
  const source = thumbnailAddress(image.id, pixels);
  picture.dataset.pixels = new URL(source).searchParams.get("size") ?? "";
  picture.src = source;
}

/**
 * Buttons laid over whichever tile the pointer is on; one set for all tiles keeps the page light.
 * Without a pointer the same is done by keys or in the detail view.
 * @param {(type: "like" | "delete", event: Event) => void} act
 * @returns {HTMLElement}
 */
export function createActions(act) {
  return element(
    "div",
    { class: "tile-actions" },
    iconButton("like", "More like this", (event) => act("like", event), { tabindex: -1 }),
    iconButton("bin", "Delete", (event) => act("delete", event), { tabindex: -1 }),
  );
}
