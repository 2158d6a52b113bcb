/** The report of a fine-tuned version: what changed in numbers, the curves, and queries before and after. */

import { checksTable } from "./ask_dialog.js";
import { curveCharts } from "./curve_chart.js";
import { element, iconButton } from "./dom.js";
import { contactSheetAddress } from "./models_api.js";
import { percent } from "./words.js";

/** @type {[string, (measures: any) => number | null | undefined][]} */
const MEASURES = [
  ["Text to image, recall@1", (measures) => measures?.text_to_image?.recall_at_1],
  ["Text to image, recall@5", (measures) => measures?.text_to_image?.recall_at_5],
  ["Text to image, recall@10", (measures) => measures?.text_to_image?.recall_at_10],
  ["Image to text, recall@1", (measures) => measures?.image_to_text?.recall_at_1],
  ["Image to text, recall@10", (measures) => measures?.image_to_text?.recall_at_10],
  ["Zero-shot top-1", (measures) => measures?.zero_shot_top_1],
];

/** Announces `close`. */
export class VersionReport extends HTMLElement {
  connectedCallback() {
    this.hidden = true;
  }

  /** @param {import("./models_api.js").Version} version @param {import("./models_api.js").Report} report */
  show(version, report) {
    const title = element("h2", { tabindex: -1 }, `Report of ${version.id}`);
    const checks = version.metrics.evaluation?.gate?.checks;
    this.replaceChildren(
      element(
        "div",
        { class: "section-head" },
        title,
        iconButton("close", "Close the report", () => this.dispatchEvent(new Event("close"))),
      ),
      element("p", { class: "hint" }, "Measured on the pairs that were held out."),
      measuresTable(report),
      ...(checks?.length ? [element("h3", {}, "What the promotion asks for"), checksTable(checks)] : []),
      element("h3", {}, "Curves"),
      element("div", { class: "curves" }, ...curveCharts(report.curves)),
      ...contactSheet(version.id, report),
    );
    this.hidden = false;
    title.focus();
  }

  hide() {
    this.hidden = true;
    this.replaceChildren();
  }
}

/** @param {import("./models_api.js").Report} report */
function measuresTable(report) {
  const rows = MEASURES.map(([name, of]) => ({ name, before: of(report.before), after: of(report.after) }));
  const head = ["Measure", "Before", "After"];
  return element(
    "table",
    { class: "checks" },
    element("thead", {}, element("tr", {}, ...head.map((each) => element("th", { scope: "col" }, each)))),
    element(
      "tbody",
      {},
      ...rows
        .filter(({ after }) => typeof after === "number")
        .map(({ name, before, after }) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, name),
            element("td", {}, percent(before)),
            element("td", {}, percent(after)),
          ),
        ),
    ),
  );
}

/** @param {string} id @param {import("./models_api.js").Report} report @returns {Node[]} */
function contactSheet(id, report) {
  if (report.urls.contact_sheet === null) return [];
  const words = report.queries.map(
    ({ text, rank_before: before, rank_after: after }) =>
      `“${text}”: rank ${before ?? "none"} before, ${after ?? "none"} after`,
  );
  const address = contactSheetAddress(id);
  const alt = `Queries with their first hits before and after. ${words.slice(0, 12).join("; ")}`;
  return [
    element("h3", {}, "Queries before and after"),
    element(
      "a",
      { class: "sheet", href: address, target: "_blank", rel: "noopener" },
      element("img", { src: address, alt, loading: "lazy" }),
    ),
  ];
}

customElements.define("version-report", VersionReport);
