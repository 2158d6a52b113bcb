/** What is known of one image, with its tags and caption to be edited in place. */

import { patchImage, Problem } from "./api.js";
import { element, iconButton } from "./dom.js";
import { bytes, localTime, wallClock } from "./words.js";

/** @typedef {import("./api.js").Image} Image */

/** Announces `edited` with the image the service answered, and `problem` with a Problem, as `detail`. */
export class ImageFacts extends HTMLElement {
  /** @type {Image | null} */
  #image = null;
  /** @type {HTMLTextAreaElement} */
  #caption = element("textarea", {
    id: "caption",
    rows: 2,
    placeholder: "Add a caption",
    oninput: () => this.#captionChanged(),
    onkeydown: (/** @type {KeyboardEvent} */ event) => this.#captionKey(event),
  });
  #saveCaption = element("button", { type: "submit", class: "button", hidden: true }, "Save caption");
  #tags = element("ul", { class: "tags" });
  /** @type {HTMLInputElement} */
  #newTag = element("input", {
    id: "new-tag",
    type: "text",
    placeholder: "Add a tag",
    autocomplete: "off",
    enterkeyhint: "done",
    maxlength: 100,
    onkeydown: (/** @type {KeyboardEvent} */ event) => event.key === "," && this.#addTag(event),
  });
  #list = element("dl");

  connectedCallback() {
    this.append(
      element(
        "form",
        { class: "caption-form", onsubmit: (/** @type {Event} */ event) => this.#submitCaption(event) },
        element("label", { for: "caption", class: "field" }, "Caption"),
        this.#caption,
        this.#saveCaption,
      ),
      element(
        "form",
        { onsubmit: (/** @type {Event} */ event) => this.#addTag(event) },
        element("label", { for: "new-tag", class: "field" }, "Tags"),
        this.#tags,
        this.#newTag,
      ),
      this.#list,
    );
  }

  /** @param {Image} image @param {number | undefined} score */
  show(image, score) {
    const isOther = image.id !== this.#image?.id;
    const isDirty = !isOther && this.#caption.value !== (this.#image?.caption ?? "");
    this.#image = image;
    // What someone is still writing is not taken away when another field is saved.
    if (!isDirty) this.#caption.value = image.caption ?? "";
    if (isOther) this.#newTag.value = "";
    this.#captionChanged();
    this.#tags.hidden = image.tags.length === 0;
    this.#tags.replaceChildren(...image.tags.map((tag) => this.#tag(tag)));
    this.#list.replaceChildren(
      ...factsOf(image, score).flatMap(([name, value]) => [
        element("dt", {}, name),
        element("dd", {}, value),
      ]),
    );
  }

  /** @param {string} tag */
  #tag(tag) {
    return element(
      "li",
      {},
      element("span", {}, tag),
      iconButton("close", `Remove the tag ${tag}`, () => {
        this.#change({ tags: (this.#image?.tags ?? []).filter((each) => each !== tag) });
        this.#newTag.focus();
      }),
    );
  }

  /** @param {Event} event */
  #addTag(event) {
    event.preventDefault();
    const tag = this.#newTag.value.trim();
    const tags = this.#image?.tags ?? [];
    this.#newTag.value = "";
    if (tag !== "" && !tags.includes(tag)) this.#change({ tags: [...tags, tag] });
  }

  #captionChanged() {
    this.#saveCaption.hidden = this.#caption.value.trim() === (this.#image?.caption ?? "");
  }

  /** @param {KeyboardEvent} event */
  #captionKey(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#submitCaption(event);
  }

  /** @param {Event} event */
  #submitCaption(event) {
    event.preventDefault();
    const caption = this.#caption.value.trim();
    if (caption !== (this.#image?.caption ?? "")) this.#change({ caption: caption === "" ? null : caption });
  }

  /** @param {{tags?: string[], caption?: string | null}} changes */
  async #change(changes) {
    const image = /** @type {Image} */ (this.#image);
    try {
      const answer = await patchImage(image.id, changes);
      if ("caption" in changes && this.#image?.id === image.id) this.#caption.value = answer.caption ?? "";
      this.dispatchEvent(new CustomEvent("edited", { detail: answer, bubbles: true }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.dispatchEvent(new CustomEvent("problem", { detail: error, bubbles: true }));
    }
  }
}

/** @param {Image} image @param {number | undefined} score @returns {[string, string | Node][]} */
function factsOf(image, score) {
  /** @type {[string, string | Node][]} */
  const facts = [];
  if (score !== undefined) facts.push(["Likeness", meter(score)]);
  if (image.taken_at) facts.push(["Taken", wallClock(image.taken_at)]);
  facts.push(["Size", `${image.width} × ${image.height} · ${bytes(image.bytes)}`]);
  facts.push(["Format", image.format.toUpperCase()]);
  facts.push(["Added", localTime(image.created_at)]);
  facts.push(["Collection", image.collection]);
  for (const [key, value] of Object.entries(image.metadata ?? {})) {
    facts.push([key, typeof value === "string" ? value : JSON.stringify(value)]);
  }
  facts.push(["Id", element("code", {}, image.id)]);
  return facts;
}

/** @param {number} score */
function meter(score) {
  return element(
    "span",
    { class: "likeness" },
    element("meter", { min: 0, max: 1, value: Math.max(0, score), "aria-hidden": "true" }),
    score.toFixed(3),
  );
}

customElements.define("image-facts", ImageFacts);
