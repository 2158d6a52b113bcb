/** Short messages at the edge of the page, spoken by screen readers too. */

import { element, icon, iconButton } from "./dom.js";

/**
 * @typedef {{dismiss: () => void}} Notice
 * @typedef {{action?: {label: string, run: () => void}, seconds?: number, onExpire?: () => void,
 *   tone?: "plain" | "problem"}} NoticeOptions
 */

export class NoticeStack extends HTMLElement {
  /** @type {HTMLElement} */
  #spoken = element("p", { class: "spoken", role: "status", "aria-live": "polite" });

  connectedCallback() {
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", "Messages");
    this.append(this.#spoken);
  }

  /** Says something to screen readers alone. @param {string} text */
  announce(text) {
    this.#spoken.textContent = text;
  }

  /**
   * @param {string} text
   * @param {NoticeOptions} [options] it stays longer while the pointer or the focus is on it
   * @returns {Notice}
   */
  show(text, { action, seconds = 6, onExpire, tone = "plain" } = {}) {
    /** @type {number | undefined} */
    let timer;
    const dismiss = () => {
      window.clearTimeout(timer);
      box.remove();
    };
    const expire = () => {
      dismiss();
      onExpire?.();
    };
    const start = () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(expire, seconds * 1000);
    };
    const hold = () => window.clearTimeout(timer);
    const box = element(
      "div",
      {
        class: `notice ${tone}`,
        onpointerenter: hold,
        onpointerleave: start,
        onfocusin: hold,
        onfocusout: start,
      },
      tone === "problem" && icon("warning"),
      element("p", {}, text),
      action &&
        element("button", { type: "button", class: "button link", onclick: action.run }, action.label),
      iconButton("close", "Dismiss", expire),
    );
    this.append(box);
    this.announce(action ? `${text}. ${action.label} is offered.` : text);
    start();
    return { dismiss };
  }

  /** @param {import("./api.js").Problem} problem @param {string} [what] what could not be done */
  showProblem(problem, what) {
    return this.show(`${what ?? problem.title}. ${problem.detail}`, { tone: "problem", seconds: 12 });
  }
}

customElements.define("notice-stack", NoticeStack);
