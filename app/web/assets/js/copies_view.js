/** The review of images that look alike: group after group side by side, and what their owner decides. */

import { listGroups } from "./copies_api.js";
import "./copies_end.js";
import "./copies_search.js";
import { CopyGroup } from "./copy_group.js";
import { element, icon, isEditing, put } from "./dom.js";
import { Groups } from "./groups.js";

/**
 * @typedef {import("./api.js").Image} Image
 * @typedef {import("./api.js").Problem} Problem
 * @typedef {import("./copies_api.js").Grade} Grade
 * @typedef {{addressOf: (id: string) => string, isHidden: (id: string) => boolean, isKept: (key: string) => boolean}} Page
 */

/** @type {Record<Grade, string>} */
const WORDS = { same: "The same picture", similar: "Similar pictures" };

/** How far below the window the next page is asked for. */
const REACH = "800px";

/**
 * Announces `close`, `place` with `{grade, group}`, `open` with an image's id, `delete` with images, `keep` with
 * `{key, ids}`, and `problem` with what the service answered.
 */
export class CopiesView extends HTMLElement {
  /** @type {Page} */
  #page = { addressOf: () => "", isHidden: () => false, isKept: () => false };
  #groups = new Groups("same");
  /** @type {Map<string, CopyGroup>} by key */
  #cards = new Map();
  /** @type {CopyGroup[]} those in sight */
  #shown = [];
  /** @type {{key: string, id: string} | null} the group and the image in it that keys act on */
  #current = null;
  /** @type {Record<Grade, number | null>} */
  #totals = { same: null, similar: null };

  #title = element("h1", { tabindex: -1 }, "Copies");
  /** @type {Record<Grade, HTMLButtonElement>} */
  #tabs = { same: this.#tab("same"), similar: this.#tab("similar") };
  /** @type {import("./copies_search.js").CopiesSearch} */
  #search = element("copies-search");
  #list = element("ul", { class: "copies-list" });
  /** @type {import("./copies_end.js").CopiesEnd} */
  #end = element("copies-end");

  /** @param {Page} page what the page knows */
  watch(page) {
    this.#page = page;
  }

  connectedCallback() {
    const close = () => this.dispatchEvent(new Event("close"));
    const back = { type: "button", class: "button icon-only", "aria-label": "Back to the images", onclick: close };
    const tabs = { class: "tabs", role: "group", "aria-label": "What is shown" };
    this.append(
      element(
        "div",
        { class: "view-head" },
        element("button", back, icon("back")),
        this.#title,
        element("div", tabs, this.#tabs.same, this.#tabs.similar),
      ),
      this.#search,
      this.#list,
      this.#end,
    );
    this.#search.addEventListener("found", () => this.#load(this.#current?.key ?? null));
    this.#search.addEventListener("problem", (event) => {
      this.#announce("problem", /** @type {CustomEvent<Problem>} */ (event).detail);
    });
    this.#end.addEventListener("retry", () => this.#groups.more());
    this.#list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#onKey(event));
    this.#list.addEventListener("click", (/** @type {MouseEvent} */ event) => this.#onClick(event));
    this.#list.addEventListener("focusin", (/** @type {FocusEvent} */ event) => this.#onFocus(event));
    const reach = new IntersectionObserver((entries) => {
      if (this.isShown && !this.#groups.problem && entries.some((each) => each.isIntersecting)) this.#groups.more();
    }, { rootMargin: REACH });
    reach.observe(this.#end);
  }

  get isShown() {
    return !this.hidden;
  }

  /** @param {{grade: Grade, group: string | null}} place */
  show({ grade, group }) {
    if (!this.isShown) {
      this.hidden = false;
      this.#search.follow();
      this.#title.focus();
    } else if (grade === this.#groups.grade) return;
    this.#load(group, grade);
  }

  hide() {
    this.hidden = true;
    this.#search.leave();
    this.#groups.close();
  }

  /** The picture that was left gets the focus again. */
  returnFocus() {
    (this.#currentLink ?? this.#title).focus();
  }

  /** @param {string} id @returns {Image[]} the images in sight of the group that one stands in */
  imagesAround(id) {
    return this.#shown.find((card) => card.images.some((image) => image.id === id))?.images ?? [];
  }

  /** @param {string} id the image that is looked at large */
  moveTo(id) {
    const card = this.#shown.find((each) => each.images.some((image) => image.id === id));
    if (card) this.#setCurrent({ key: card.key, id });
  }

  /** Gives the focus to an image, or to the first of a group. @param {string} id */
  goTo(id) {
    const card = this.#shown.find((each) => each.images.some((image) => image.id === id));
    if (card) this.#focus(card, id);
  }

  /** An image is gone for good. @param {string} id */
  forgetImage(id) {
    this.#groups.forgetImage(id);
  }

  /** A group is decided for good. @param {string} key */
  forget(key) {
    this.#groups.forget(key);
  }

  /** Looks again at what is out of sight; the focus moves on from what has gone. */
  refresh() {
    if (!this.isShown) return;
    const place = this.#shown.findIndex((card) => card.key === this.#current?.key);
    const hadFocus = this.#list.contains(document.activeElement);
    this.#shown = [];
    for (const { key, group, images } of this.#groups.all) {
      const card = this.#cards.get(key) ?? this.#card(key, group);
      this.#cards.set(key, card);
      card.show(images.filter((image) => !this.#page.isHidden(image.id)));
      if (card.images.length > 1 && !this.#page.isKept(key)) this.#shown.push(card);
    }
    put(this.#list, this.#shown.map((card) => card.node));
    const card =
      this.#shown.find((each) => each.key === this.#current?.key) ??
      this.#shown[Math.min(Math.max(place, 0), this.#shown.length - 1)];
    const image = card?.images.find((each) => each.id === this.#current?.id) ?? card?.images[0];
    this.#setCurrent(card && image ? { key: card.key, id: image.id } : null);
    if (hadFocus && !this.#list.contains(document.activeElement)) this.returnFocus();
    this.#drawHead();
    this.#end.show(this.#groups, this.#shown.length === 0);
  }

  /** Loads the groups anew, down to one of them, which gets the focus. @param {string | null} key @param {Grade} grade */
  async #load(key, grade = this.#groups.grade) {
    this.#groups.close();
    const groups = new Groups(grade);
    this.#groups = groups;
    this.#cards.clear();
    this.#current = null;
    groups.addEventListener("change", () => this.refresh());
    this.refresh();
    await groups.more();
    if (key !== null) await groups.ensure(key);
    if (groups !== this.#groups) return;
    const card = this.#shown.find((each) => each.key === key);
    if (card) this.#focus(card, card.images[0].id);
    const other = groups.grade === "same" ? "similar" : "same";
    if (groups.problem) return;
    this.#totals[other] = (await listGroups({ grade: other, cursor: null, limit: 1 })).total;
    if (groups === this.#groups) this.#drawHead();
  }

  /** @param {string} key @param {import("./copies_api.js").Group} group */
  #card(key, group) {
    return new CopyGroup(key, group, {
      addressOf: this.#page.addressOf,
      decide: (decision, image) => this.#decide(this.#cards.get(key), decision, image),
    });
  }

  /** @param {CopyGroup | undefined} card @param {import("./copy_group.js").Decision} decision @param {Image | undefined} image */
  #decide(card, decision, image) {
    if (!card) return;
    if (decision === "keep") this.#announce("keep", { key: card.key, ids: card.images.map((each) => each.id) });
    else if (decision === "delete" && image) this.#announce("delete", [image]);
    else if (decision === "only" && image) this.#announce("delete", card.images.filter((each) => each !== image));
  }

  #drawHead() {
    const { grade, total, uncompared } = this.#groups;
    this.#totals[grade] = total;
    for (const each of /** @type {Grade[]} */ (["same", "similar"])) {
      const amount = this.#totals[each];
      this.#tabs[each].textContent = amount === null ? WORDS[each] : `${WORDS[each]} (${amount})`;
      this.#tabs[each].setAttribute("aria-pressed", String(each === grade));
    }
    this.#search.show(uncompared);
  }

  /** @param {Grade} grade @returns {HTMLButtonElement} */
  #tab(grade) {
    const choose = () => {
      this.#announce("place", { grade, group: null });
      this.show({ grade, group: null });
    };
    return element("button", { type: "button", class: "button", onclick: choose });
  }

  /** @param {{key: string, id: string} | null} current */
  #setCurrent(current) {
    const before = this.#current;
    this.#current = current;
    if (before && before.key !== current?.key) this.#cards.get(before.key)?.setCurrent(null);
    if (current) this.#cards.get(current.key)?.setCurrent(current.id);
    if (current && current.key !== before?.key)
      this.#announce("place", { grade: this.#groups.grade, group: current.key });
  }

  get #currentLink() {
    return this.#current && this.#cards.get(this.#current.key)?.linkOf(this.#current.id);
  }

  /** @param {CopyGroup} card @param {string} id */
  #focus(card, id) {
    this.#setCurrent({ key: card.key, id });
    card.linkOf(id)?.focus({ preventScroll: true });
    card.node.scrollIntoView({ block: "nearest" });
  }

  /** @param {FocusEvent} event */
  #onFocus({ target }) {
    const at = placeOf(target);
    const card = this.#shown.find((each) => each.key === at?.key);
    if (!card) return;
    const kept = this.#current?.key === card.key ? this.#current.id : card.images[0].id;
    this.#setCurrent({ key: card.key, id: at?.id ?? kept });
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const opensElsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
    if (opensElsewhere || !(event.target instanceof Element) || !event.target.closest("a")) return;
    event.preventDefault();
    this.#announce("open", placeOf(event.target)?.id);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isEditing(event.target)) return;
    const row = this.#shown.findIndex((card) => card.key === this.#current?.key);
    const card = this.#shown[row];
    if (!card) return;
    const column = card.images.findIndex((image) => image.id === this.#current?.id);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const rows = { ArrowUp: row - 1, ArrowDown: row + 1, Home: 0, End: this.#shown.length - 1 }[event.key];
    const decision = DECISIONS[event.key.toLowerCase()];
    if (step !== undefined) {
      const image = card.images[column + step];
      if (image) this.#focus(card, image.id);
    } else if (rows !== undefined) {
      const next = this.#shown[rows];
      if (next) this.#focus(next, next.images[Math.min(column, next.images.length - 1)].id);
    } else if (decision) this.#decide(card, decision, card.images[column]);
    else return;
    event.preventDefault();
  }

  /** @param {string} type @param {unknown} detail */
  #announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @type {Record<string, import("./copy_group.js").Decision>} */
const DECISIONS = { delete: "delete", k: "keep", o: "only" };

/** @param {EventTarget | null} target @returns {{key: string, id: string | undefined} | null} */
function placeOf(target) {
  if (!(target instanceof Element)) return null;
  /** @type {HTMLElement | null} */
  const group = target.closest(".copies-group");
  /** @type {HTMLElement | null} */
  const cell = target.closest(".copy");
  return group && { key: group.dataset.key ?? "", id: cell?.dataset.id };
}

customElements.define("copies-view", CopiesView);
