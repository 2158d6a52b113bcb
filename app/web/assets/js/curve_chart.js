/** Curves of a training run, drawn as SVG: one small chart for each measure, over the steps. */

import { element } from "./dom.js";

/** @typedef {Record<string, unknown>} Point a record of a run: its `step` and what was measured there */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 280;
const HEIGHT = 120;
const MARGIN = { top: 8, right: 8, bottom: 18, left: 44 };

/** What is not a measure, or says the same as another. */
const NOT_DRAWN = new Set(["step", "stage", "seconds"]);

/** @type {Record<string, string>} */
const TITLES = {
  loss: "Loss",
  learning_rate: "Learning rate",
  recall_at_1: "Text to image, recall@1",
  recall_at_5: "Text to image, recall@5",
  recall_at_10: "Text to image, recall@10",
  image_to_text_recall_at_1: "Image to text, recall@1",
  image_to_text_recall_at_5: "Image to text, recall@5",
  image_to_text_recall_at_10: "Image to text, recall@10",
  median_rank: "Median rank",
  zero_shot_top_1: "Zero-shot top-1",
  agreement: "Agreement on general queries",
};

/** The measures shown first; the others follow in the order they come. */
const FIRST = ["loss", "recall_at_10", "agreement", "zero_shot_top_1"];

/**
 * @param {Point[]} points
 * @returns {HTMLElement[]} a figure for each measure with two points or more
 */
export function curveCharts(points) {
  return measuresOf(points).flatMap((name) => {
    const measured = points.filter((point) => typeof point[name] === "number");
    // Each stage of a run counts its steps from the start; the last one that measured this is drawn.
    const stage = measured[measured.length - 1]?.stage;
    const line = measured.flatMap((point) => {
      if (point.stage !== stage) return [];
      const [x, y] = [point.step, point[name]];
      return typeof x === "number" && typeof y === "number" && Number.isFinite(y) ? [{ x, y }] : [];
    });
    return line.length < 2 ? [] : [figure(TITLES[name] ?? name.replaceAll("_", " "), line)];
  });
}

/** @param {Point[]} points */
function measuresOf(points) {
  const found = new Set(points.flatMap((point) => Object.keys(point)));
  for (const name of NOT_DRAWN) found.delete(name);
  return [...FIRST.filter((name) => found.delete(name)), ...found];
}

/** @param {string} title @param {{x: number, y: number}[]} line */
function figure(title, line) {
  const last = line[line.length - 1];
  const caption = element(
    "figcaption",
    {},
    element("span", {}, title),
    element("strong", {}, shortNumber(last.y)),
  );
  const description = `${title}: from ${shortNumber(line[0].y)} to ${shortNumber(last.y)} at step ${last.x}`;
  return element("figure", { class: "curve" }, caption, drawing(line, description));
}

/** @param {{x: number, y: number}[]} line @param {string} description */
function drawing(line, description) {
  const [left, right] = extent(line.map(({ x }) => x));
  const [low, high] = extent(line.map(({ y }) => y));
  const across = WIDTH - MARGIN.left - MARGIN.right;
  const down = HEIGHT - MARGIN.top - MARGIN.bottom;
  /** @param {number} x */
  const toX = (x) => MARGIN.left + (across * (x - left)) / (right - left || 1);
  /** @param {number} y */
  const toY = (y) => MARGIN.top + down * (1 - (y - low) / (high - low || 1));
  const path = line.map(({ x, y }, at) => `${at ? "L" : "M"}${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": description });
  for (const y of [low, high])
    svg.append(
      shape("line", { class: "rule", x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: toY(y), y2: toY(y) }),
      words({ x: MARGIN.left - 6, y: toY(y) + 4, "text-anchor": "end" }, shortNumber(y)),
    );
  svg.append(
    words({ x: MARGIN.left, y: HEIGHT - 4 }, String(left)),
    words({ x: WIDTH - MARGIN.right, y: HEIGHT - 4, "text-anchor": "end" }, `step ${right}`),
    shape("path", { class: "line", d: path.join("") }),
    shape("circle", { class: "end", r: 3, cx: toX(right), cy: toY(line[line.length - 1].y) }),
  );
  return svg;
}

/** @param {number[]} values @returns {[number, number]} the least and the greatest; a flat line gets some room */
function extent(values) {
  const low = values.reduce((one, other) => Math.min(one, other));
  const high = values.reduce((one, other) => Math.max(one, other));
  return low === high ? [low - 0.5 * Math.abs(low || 1), high + 0.5 * Math.abs(high || 1)] : [low, high];
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function shape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

/** @param {Record<string, string | number>} attributes @param {string} text */
function words(attributes, text) {
  const node = shape("text", attributes);
  node.textContent = text;
  return node;
}

/** @param {number} value three digits that count */
const shortNumber = (value) =>
  value !== 0 && Math.abs(value) < 0.001
    ? value.toExponential(1)
    : String(Number(value.toPrecision(3)));
