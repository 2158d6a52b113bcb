/** The model versions: what each is, what was measured of it, and what can be done with it. */

import { element } from "./dom.js";
import { localTime, percent } from "./words.js";

/** @typedef {import("./models_api.js").Version} Version */

/** @type {Record<Version["state"], string>} */
const STATE_WORDS = { live: "Live", ready: "Ready", building: "Being built", retired: "Retired" };

/** @type {Record<string, string>} */
const ORIGIN_WORDS = {
  "first start": "from the first start",
  reindex: "made by a reindex",
  registered: "registered",
  "fine-tune": "fine-tuned here",
};

/**
 * Announces `promote`, `build`, `evaluate`, `delete` and `report` with a version, `rollback`, and `register` with a
 * source.
 */
export class VersionList extends HTMLElement {
  #list = element("ul", { class: "versions" });
  #rollBack = element(
    "button",
    { type: "button", class: "button", onclick: () => this.#announce("rollback") },
    "Roll back",
  );
  #source = element("input", {
    id: "model-source",
    type: "text",
    required: true,
    maxlength: 4096,
    placeholder: "Name of a model, on the hub or shipped, or the path of one on the server",
    autocomplete: "off",
    spellcheck: "false",
  });

  #register = element("button", { class: "button" }, "Register");

  connectedCallback() {
    const form = element(
      "form",
      {
        class: "register",
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          this.#announce("register", this.#source.value.trim());
        },
      },
      element("label", { for: "model-source", class: "spoken" }, "Model to register"),
      this.#source,
      this.#register,
    );
    this.append(
      element("div", { class: "section-head" }, element("h2", {}, "Versions"), this.#rollBack),
      this.#list,
      form,
    );
  }

  /** A checkpoint is read and copied, which takes a while. @param {boolean} isRegistering */
  wait(isRegistering) {
    this.#register.disabled = isRegistering;
    this.#register.textContent = isRegistering ? "Registering …" : "Register";
  }

  /** The source was taken: the field is free for the next. */
  clearSource() {
    this.#source.value = "";
  }

  /** @param {Version[]} versions newest first */
  show(versions) {
    const wasFocused = document.activeElement?.getAttribute("data-key");
    const before = versions.filter((version) => version.state === "retired" && version.promoted_at);
    this.#rollBack.hidden = before.length === 0;
    const order = { live: 0, ready: 1, building: 2, retired: 3 };
    const shown = [...versions].sort((one, other) => order[one.state] - order[other.state]);
    this.#list.replaceChildren(...shown.map((version) => this.#row(version)));
    if (wasFocused) this.querySelector(`[data-key="${CSS.escape(wasFocused)}"]`)?.focus();
  }

  /** @param {Version} version */
  #row(version) {
    const { id, state } = version;
    const origin = ORIGIN_WORDS[version.origin] ?? version.origin;
    const since = version.promoted_at ? `live since ${localTime(version.promoted_at)}` : localTime(version.created_at);
    /** @param {string} type @param {string} label */
    const button = (type, label) =>
      element(
        "button",
        {
          type: "button",
          class: type === "promote" ? "button primary" : "button link",
          "aria-label": `${label} ${id}`,
          "data-key": `${type} ${id}`,
          onclick: () => this.#announce(type, version),
        },
        label,
      );
    return element(
      "li",
      { class: state },
      element(
        "div",
        { class: "row-head" },
        element("h3", {}, id),
        element("span", { class: `badge ${state}` }, STATE_WORDS[state]),
      ),
      element("p", { class: "hint" }, `${version.architecture}, ${version.dimension} dimensions, ${origin}, ${since}`),
      measures(version.metrics),
      element(
        "div",
        { class: "row-actions" },
        version.metrics.fine_tune && button("report", "Report"),
        (state === "ready" || state === "retired") && button("promote", "Promote"),
        (state === "building" || state === "retired") && button("build", "Embed the images"),
        (state === "ready" || state === "retired") && button("evaluate", "Compare"),
        state !== "live" && button("delete", "Delete"),
      ),
    );
  }

  /** @param {string} type @param {unknown} [detail] */
  #announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {any} metrics */
function measures(metrics) {
  const evaluation = metrics.evaluation;
  if (!evaluation) return null;
  const after = evaluation.domain?.text_to_image ?? {};
  const before = evaluation.domain_before?.text_to_image ?? {};
  /** @type {[string, number | null | undefined, number | null | undefined][]} */
  const rows = [
    ["Recall@1, your pairs", before.recall_at_1, after.recall_at_1],
    ["Recall@10, your pairs", before.recall_at_10, after.recall_at_10],
    ["Zero-shot top-1", evaluation.domain_before?.zero_shot_top_1, evaluation.domain?.zero_shot_top_1],
    ["Agreement, general queries", null, evaluation.general?.agreement],
  ];
  const known = rows.filter(([, , now]) => typeof now === "number");
  if (known.length === 0) return null;
  return element(
    "dl",
    { class: "measures" },
    ...known.map(([name, then, now]) =>
      element(
        "div",
        {},
        element("dt", {}, name),
        element("dd", {}, typeof then === "number" ? `${percent(then)} → ${percent(now)}` : percent(now)),
      ),
    ),
    metrics.promotion?.forced && element("div", {}, element("dt", {}, "Promoted"), element("dd", {}, "by force")),
  );
}

customElements.define("version-list", VersionList);
