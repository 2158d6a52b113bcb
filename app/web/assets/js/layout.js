/** The justified grid's geometry: rows of one height each that fill the width and keep every aspect ratio. */

/**
 * @typedef {{top: number, height: number, first: number, widths: number[]}} Row `first` is the index of its first image
 */

/** Panoramas and strips beyond this are shown cropped; otherwise one of them would make a row a hand's breadth high. */
const WIDEST_RATIO = 3.6;
const NARROWEST_RATIO = 0.45;

/**
 * Closes each row where its height comes nearest to `targetHeight`; the last row keeps that height and may end early.
 * @param {number[]} ratios width / height of each image
 * @param {{width: number, targetHeight: number, gap: number}} frame in CSS pixels
 * @returns {{rows: Row[], height: number}}
 */
export function justify(ratios, { width, targetHeight, gap }) {
  /** @type {Row[]} */
  const rows = [];
  let top = 0;
  let first = 0;
  let sum = 0;
  /** @param {number} end @param {number} height */
  const close = (end, height) => {
    const widths = [];
    for (let at = first; at < end; at += 1) widths.push(shown(ratios[at]) * height);
    rows.push({ top, height, first, widths });
    top += height + gap;
    first = end;
  };
  for (let at = 0; at < ratios.length; at += 1) {
    const ratio = shown(ratios[at]);
    const heightBefore = (width - gap * (at - first - 1)) / sum;
    const heightAfter = (width - gap * (at - first)) / (sum + ratio);
    if (heightAfter > targetHeight) {
      sum += ratio;
    } else if (at > first && heightBefore / targetHeight < targetHeight / heightAfter) {
      close(at, heightBefore);
      sum = ratio;
      if (width / ratio <= targetHeight) {
        close(at + 1, width / ratio);
        sum = 0;
      }
    } else {
      close(at + 1, heightAfter);
      sum = 0;
    }
  }
  if (first < ratios.length) close(ratios.length, targetHeight);
  return { rows, height: Math.max(0, top - gap) };
}

/** @param {number} ratio */
const shown = (ratio) => Math.min(WIDEST_RATIO, Math.max(NARROWEST_RATIO, ratio));

/**
 * @param {Row[]} rows
 * @param {number} y
 * @returns {number} index of the first row that ends below `y`; `rows.length` when none does
 */
export function rowAt(rows, y) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top + rows[middle].height > y) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * @param {Row[]} rows
 * @param {number} index of an image
 * @returns {number} index of the row it stands in
 */
export function rowOf(rows, index) {
  let low = 0;
  let high = rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle].first <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * Where an arrow key leads; up and down lead to the image under the present one's middle.
 * @param {Row[]} rows
 * @param {number} index of the present image
 * @param {string} key a keyboard event's
 * @param {number} gap
 * @returns {number | undefined} index of an image; undefined when the key moves nothing
 */
export function stepTo(rows, index, key, gap) {
  const bottom = rows[rows.length - 1];
  const last = bottom.first + bottom.widths.length - 1;
  if (key === "ArrowRight") return Math.min(last, index + 1);
  if (key === "ArrowLeft") return Math.max(0, index - 1);
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (key !== "ArrowDown" && key !== "ArrowUp") return undefined;
  const from = rows[rowOf(rows, index)];
  const to = rows[rowOf(rows, index) + (key === "ArrowDown" ? 1 : -1)];
  if (!to) return index;
  const column = index - from.first;
  const middle = leftEdge(from.widths, column, gap) + from.widths[column] / 2;
  const under = to.widths.findIndex((width, at) => leftEdge(to.widths, at, gap) + width + gap / 2 > middle);
  return to.first + (under === -1 ? to.widths.length - 1 : under);
}

/** @param {number[]} widths @param {number} column @param {number} gap */
const leftEdge = (widths, column, gap) =>
  widths.slice(0, column).reduce((sum, width) => sum + width + gap, 0);
