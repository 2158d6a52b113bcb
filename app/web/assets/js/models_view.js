/** The Models view: versions, pairs, fine-tuning and jobs on one page, kept up to date while it is shown. */

import { Problem } from "./api.js";
import "./ask_dialog.js";
import { element, icon } from "./dom.js";
import "./fine_tune_form.js";
import { JobsFeed } from "./jobs_feed.js";
import "./jobs_panel.js";
import * as service from "./models_api.js";
import "./pairs_panel.js";
import "./version_list.js";
import "./version_report.js";

/**
 * @typedef {import("./models_api.js").Version} Version
 * @typedef {import("./models_api.js").Job} Job
 */

/** Announces `close`, `notice` with a text, and `problem` with what the service answered and what could not be done. */
export class ModelsView extends HTMLElement {
  #feed = new JobsFeed();
  /** @type {import("./version_list.js").VersionList} */
  #versions = element("version-list");
  /** @type {import("./version_report.js").VersionReport} */
  #report = element("version-report");
  /** @type {import("./pairs_panel.js").PairsPanel} */
  #pairs = element("pairs-panel");
  /** @type {import("./fine_tune_form.js").FineTuneForm} */
  #form = element("fine-tune-form");
  /** @type {import("./jobs_panel.js").JobsPanel} */
  #jobs = element("jobs-panel");
  /** @type {import("./ask_dialog.js").AskDialog} */
  #ask = element("ask-dialog");
  #title = element("h1", { tabindex: -1 }, "Models");

  connectedCallback() {
    const close = () => this.dispatchEvent(new Event("close"));
    this.append(
      element(
        "div",
        { class: "view-head" },
        element(
          "button",
          { type: "button", class: "button icon-only", "aria-label": "Back to the images", onclick: close },
          icon("back"),
        ),
        this.#title,
      ),
      element("section", { class: "card wide" }, this.#report),
      column(this.#versions, this.#jobs),
      column(this.#form, this.#pairs),
      this.#ask,
    );
    this.#jobs.watch(this.#feed);
    this.#listen();
  }

  get isShown() {
    return !this.hidden;
  }

  show() {
    if (this.isShown) return;
    this.hidden = false;
    this.#title.focus();
    this.#feed.start();
    this.#loadVersions();
    this.#pairs.load();
  }

  hide() {
    this.hidden = true;
    this.#feed.stop();
    this.#report.hide();
  }

  #listen() {
    /** @param {HTMLElement} part @param {string} type @param {(detail: any) => void} listener */
    const on = (part, type, listener) =>
      part.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));
    on(this.#versions, "promote", (version) => this.#promote(version));
    on(this.#versions, "build", (version) => this.#start(() => service.buildVersion(version.id)));
    on(this.#versions, "evaluate", (version) => this.#start(() => service.evaluateVersion(version.id)));
    on(this.#versions, "delete", (version) => this.#delete(version));
    on(this.#versions, "report", (version) => this.#showReport(version));
    on(this.#versions, "rollback", () => this.#rollBack());
    on(this.#versions, "register", (source) => this.#register(source));
    on(this.#report, "close", () => this.#report.hide());
    on(this.#form, "start", (settings) => this.#start(() => service.startFineTune(settings)));
    on(this.#pairs, "checked", (check) => this.#form.show(check));
    on(this.#pairs, "problem", (problem) => this.#tell(problem));
    on(this.#jobs, "problem", (problem) => this.#tell(problem));
    this.#feed.addEventListener("ended", () => this.#loadVersions());
  }

  async #loadVersions() {
    await this.#guarded("The versions can't be shown", async () => {
      this.#versions.show((await service.listModels()).items);
    });
  }

  /** @param {Version} version */
  async #promote(version, force = false) {
    try {
      await service.promoteModel(version.id, force);
      this.#say(`${version.id} answers from now on`);
    } catch (error) {
      const checks = error instanceof Problem ? error.members.checks : null;
      if (checks && !force) {
        if (await this.#ask.confirmForce(version.id, checks)) await this.#promote(version, true);
        return;
      }
      this.#tell(error, "Not promoted");
    }
    await this.#loadVersions();
  }

  async #rollBack() {
    await this.#guarded("Not rolled back", async () => {
      const version = await service.rollBack();
      this.#say(`${version.id} answers again`);
      await this.#loadVersions();
    });
  }

  /** @param {() => Promise<Job>} ask asks for a job */
  async #start(ask) {
    await this.#guarded("Not started", async () => {
      await this.#feed.look(await ask());
      await this.#loadVersions();
    });
  }

  /** @param {Version} version */
  async #delete(version) {
    if (!(await this.#ask.confirmDelete(version.id))) return;
    await this.#guarded("Not deleted", async () => {
      await service.deleteModel(version.id);
      this.#say(`${version.id} is deleted`);
      await this.#loadVersions();
    });
  }

  /** @param {string} source */
  async #register(source) {
    this.#versions.wait(true);
    await this.#guarded("Not registered", async () => {
      const made = await service.registerModel(source);
      this.#versions.clearSource();
      if ("kind" in made) {
        this.#say(`${source} is being fetched`);
        await this.#feed.look(made);
      } else {
        this.#say(`${made.id} is registered; embed the images to make it ready`);
      }
      await this.#loadVersions();
    });
    this.#versions.wait(false);
  }

  /** @param {Version} version */
  async #showReport(version) {
    await this.#guarded("The report can't be shown", async () => {
      this.#report.show(version, await service.getReport(version.id));
    });
  }

  /** @param {string} what could not be done @param {() => Promise<void>} work */
  async #guarded(what, work) {
    try {
      await work();
    } catch (error) {
      this.#tell(error, what);
    }
  }

  /** @param {string} text */
  #say(text) {
    this.dispatchEvent(new CustomEvent("notice", { detail: text }));
  }

  /** @param {unknown} error @param {string} [what] */
  #tell(error, what) {
    if (!(error instanceof Problem)) throw error;
    this.dispatchEvent(new CustomEvent("problem", { detail: { problem: error, what } }));
  }
}

/** @param {...HTMLElement} parts */
const column = (...parts) =>
  element("div", { class: "column" }, ...parts.map((part) => element("section", { class: "card" }, part)));

customElements.define("models-view", ModelsView);
