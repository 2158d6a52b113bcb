/** The detail view: one image large, what is known of it, and what can be done with it. */

import { fileAddress, getImage, Problem, thumbnailAddress } from "./api.js";
import { element, icon, iconButton, isEditing } from "./dom.js";
import "./image_facts.js";

/**
 * @typedef {import("./api.js").Image} Image
 * @typedef {{score: number | undefined, copies: Image[], hasPrevious: boolean, hasNext: boolean}} Surroundings what its list knows
 */

/**
 * Announces `close`, `step` with -1 or 1 as `detail`, and `like` and `delete` with the image as `detail`;
 * `open` with the id of a copy; `edited` and `problem` come from the facts beside the picture.
 * While it is shown, the rest of the page is inert, save the messages and uploads beside it.
 */
export class ImageDetail extends HTMLElement {
  /** @type {Image | null} */
  #image = null;
  /** The image asked for last; an answer for another one comes too late. */
  #wanted = "";
  /** @type {number | undefined} */
  #score = undefined;
  /** @type {HTMLImageElement} */
  #picture = element("img", { alt: "" });
  #broken = element(
    "p",
    { class: "broken-note", hidden: true },
    icon("warning"),
    "This picture cannot be shown here.",
  );
  #stage = element("div", { class: "stage" }, this.#picture, this.#broken);
  #title = element("h2", { id: "detail-title", tabindex: -1 });
  /** @type {import("./image_facts.js").ImageFacts} */
  #facts = element("image-facts");
  #copies = element("ul", { class: "stack-list" });
  #stack = element(
    "section",
    { class: "stack-of", hidden: true, "aria-label": "The same picture" },
    element("h3", {}, "The same picture"),
    this.#copies,
  );
  #problem = element("div", { class: "detail-problem", role: "alert", hidden: true });
  #previous = iconButton("previous", "Previous image (left arrow)", () => this.#step(-1), {
    class: "button step previous",
  });
  #next = iconButton("next", "Next image (right arrow)", () => this.#step(1), { class: "button step next" });
  #download = element(
    "a",
    { class: "button icon-only", "aria-label": "Download", title: "Download the original file" },
    icon("download"),
  );
  #tools = element(
    "div",
    { class: "tools" },
    element(
      "button",
      { type: "button", class: "button", title: "More like this (L)", onclick: () => this.#act("like") },
      icon("like"),
      "More like this",
    ),
    this.#download,
    iconButton("bin", "Delete (Del)", () => this.#act("delete")),
  );

  connectedCallback() {
    this.setAttribute("role", "dialog");
    this.setAttribute("aria-modal", "true");
    this.setAttribute("aria-labelledby", "detail-title");
    const close = iconButton("back", "Back to the images (Esc)", () => this.#close(), {
      class: "button icon-only",
    });
    this.append(
      element(
        "div",
        { class: "viewer" },
        element("div", { class: "viewer-bar" }, close, this.#tools),
        this.#previous,
        this.#stage,
        this.#next,
      ),
      element("aside", { class: "about" }, this.#problem, this.#title, this.#facts, this.#stack),
    );
    this.addEventListener("keydown", (event) => this.#onKey(event));
    this.#picture.addEventListener("error", () => this.#showBroken(true));
    this.#picture.addEventListener("load", () => this.#showBroken(false));
  }

  get isShown() {
    return !this.hidden;
  }

  /**
   * @param {string} id
   * @param {Image | undefined} image as far as a list has it
   * @param {Surroundings} surroundings
   */
  async show(id, image, surroundings) {
    this.#wanted = id;
    this.#enter();
    this.#problem.hidden = true;
    this.surround(surroundings);
    if (image) this.#draw(image);
    else {
      this.#clear("Loading…");
      try {
        const answer = await getImage(id);
        if (this.#wanted === id) this.#draw(answer);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (this.#wanted === id) this.#showProblem(error);
      }
    }
  }

  /** The list around the image has changed. @param {Surroundings} surroundings */
  surround({ score, copies, hasPrevious, hasNext }) {
    this.#previous.hidden = !hasPrevious;
    this.#next.hidden = !hasNext;
    this.#stack.hidden = copies.length === 0;
    this.#copies.replaceChildren(...copies.map((copy) => this.#copyRow(copy)));
    if (score === this.#score) return;
    this.#score = score;
    if (this.#image) this.#facts.show(this.#image, score);
  }

  /** @param {Image} copy */
  #copyRow(copy) {
    const open = () => {
      // The button goes, and keys with it.
      this.#title.focus({ preventScroll: true });
      this.dispatchEvent(new CustomEvent("open", { detail: copy.id }));
    };
    return element(
      "li",
      {},
      element(
        "button",
        { type: "button", onclick: open },
        element("img", { src: thumbnailAddress(copy.id, 100), alt: "", width: 48, height: 48, loading: "lazy" }),
        element("span", {}, `${copy.filename}, ${copy.width} × ${copy.height}`),
      ),
    );
  }

  /** The image changed, here or elsewhere. @param {Image} image */
  update(image) {
    if (this.isShown && image.id === this.#wanted) this.#draw({ ...this.#image, ...image });
  }

  hide() {
    if (this.hidden) return;
    this.hidden = true;
    this.#wanted = "";
    this.#picture.removeAttribute("src");
    setInert(false);
  }

  #enter() {
    if (this.isShown) return;
    this.hidden = false;
    setInert(true);
    this.#title.focus({ preventScroll: true });
  }

  /** @param {Image} image */
  #draw(image) {
    const isSame = this.#image?.id === image.id && this.#picture.hasAttribute("src");
    this.#image = image;
    this.#title.textContent = image.filename;
    this.#tools.hidden = false;
    this.#facts.hidden = false;
    this.#facts.show(image, this.#score);
    this.#download.setAttribute("href", fileAddress(image.id));
    this.#download.setAttribute("download", image.filename);
    this.#picture.alt = image.caption || image.filename;
    if (isSame) return;
    this.#showBroken(false);
    // The grid's thumbnail is there already and stands in until the large one has come.
    this.#picture.style.backgroundImage = `url("${thumbnailAddress(image.id, 320)}")`;
    this.#picture.style.aspectRatio = `${image.width} / ${image.height}`;
    this.#picture.width = image.width;
    this.#picture.height = image.height;
    const side = Math.max(window.innerWidth, window.innerHeight) * window.devicePixelRatio;
    this.#picture.src = thumbnailAddress(image.id, side);
  }

  /** @param {string} title */
  #clear(title) {
    this.#image = null;
    this.#title.textContent = title;
    this.#picture.removeAttribute("src");
    this.#picture.style.backgroundImage = "";
    this.#tools.hidden = true;
    this.#facts.hidden = true;
    this.#broken.hidden = true;
  }

  /** @param {Problem} problem */
  #showProblem(problem) {
    this.#clear(problem.title);
    this.#problem.hidden = false;
    this.#problem.replaceChildren(icon("warning"), element("p", {}, problem.detail));
  }

  /** @param {boolean} isBroken */
  #showBroken(isBroken) {
    this.#broken.hidden = !isBroken;
    this.#picture.classList.toggle("broken", isBroken);
  }

  #close() {
    this.dispatchEvent(new Event("close"));
  }

  /** @param {-1 | 1} direction */
  #step(direction) {
    this.dispatchEvent(new CustomEvent("step", { detail: direction }));
  }

  /** @param {"like" | "delete"} type */
  #act(type) {
    if (this.#image) this.dispatchEvent(new CustomEvent(type, { detail: this.#image }));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") this.#close();
    else if (isEditing(event.target)) return;
    else if (event.key === "ArrowLeft" && !this.#previous.hidden) this.#step(-1);
    else if (event.key === "ArrowRight" && !this.#next.hidden) this.#step(1);
    else if (event.key === "Delete") this.#act("delete");
    else if (event.key === "l") this.#act("like");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** @param {boolean} isInert whether the page behind the detail view can be reached */
function setInert(isInert) {
  for (const part of document.querySelectorAll("#top, #main, models-view, copies-view"))
    /** @type {HTMLElement} */ (part).inert = isInert;
  document.documentElement.classList.toggle("detail-open", isInert);
}

customElements.define("image-detail", ImageDetail);
