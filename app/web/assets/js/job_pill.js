/** A small sign that a job such as a reindex is running, with how far it is. */

import { Problem } from "./api.js";
import { element } from "./dom.js";
import { listJobs } from "./models_api.js";

const IDLE_SECONDS = 30;
const RUNNING_SECONDS = 2;

export class JobPill extends HTMLElement {
  #bar = element("progress", { max: 1 });
  #words = element("span");
  /** @type {number | undefined} */
  #timer;

  connectedCallback() {
    this.hidden = true;
    const look = "See the jobs";
    this.append(element("button", { type: "button", "aria-label": look, title: look }, this.#bar, this.#words));
    document.addEventListener("visibilitychange", () => this.#look());
    this.#look();
  }

  async #look() {
    window.clearTimeout(this.#timer);
    if (document.hidden) return;
    let isRunning = false;
    try {
      const { items } = await listJobs(5);
      const job = items.find((each) => each.state === "running" || each.state === "queued");
      isRunning = job !== undefined;
      if (job) this.#draw(job);
    } catch (error) {
      // Not worth a message: whatever else the visitor does will say that the service is away.
      if (!(error instanceof Problem)) throw error;
    }
    this.hidden = !isRunning;
    this.#timer = window.setTimeout(() => this.#look(), (isRunning ? RUNNING_SECONDS : IDLE_SECONDS) * 1000);
  }

  /** @param {import("./models_api.js").Job} job */
  #draw({ kind, state, progress: { done, total } }) {
    const isCounting = state === "running" && total !== null && total > 0;
    if (isCounting) this.#bar.value = done / total;
    else this.#bar.removeAttribute("value");
    this.#words.textContent = kind.replaceAll(/[_-]/g, " ");
    this.title = isCounting ? `${kind}: ${done} of ${total}` : `${kind}: ${state}`;
  }
}

customElements.define("job-pill", JobPill);
