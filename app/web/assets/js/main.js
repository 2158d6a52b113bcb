/** Wires the page: the store says what to show, the views show it and say what is wanted. */

import "./copies_view.js";
import { wireCopies } from "./copies_wiring.js";
import { Deletions } from "./deletions.js";
import "./detail.js";
import { isEditing } from "./dom.js";
import "./dropping.js";
import "./grid.js";
import "./help.js";
import "./job_pill.js";
import { Keepings } from "./keepings.js";
import { Library } from "./library.js";
import "./models_view.js";
import "./notices.js";
import { Query } from "./query.js";
import "./results_bar.js";
import "./results_end.js";
import "./search_box.js";
import { Store } from "./store.js";
import "./upload_panel.js";
import { Uploads } from "./uploads.js";

/**
 * @typedef {import("./api.js").Image} Image
 * @typedef {import("./results.js").Results} Results
 */

/** @param {string} selector @returns {any} an element of index.html, which has it */
const find = (selector) => document.querySelector(selector);

/** @type {import("./search_box.js").SearchBox} */
const searchBox = find("search-box");
/** @type {import("./results_bar.js").ResultsBar} */
const bar = find("results-bar");
/** @type {import("./grid.js").ImageGrid} */
const grid = find("image-grid");
/** @type {import("./results_end.js").ResultsEnd} */
const end = find("results-end");
/** @type {import("./detail.js").ImageDetail} */
const detail = find("image-detail");
/** @type {import("./upload_panel.js").UploadPanel} */
const panel = find("upload-panel");
/** @type {import("./notices.js").NoticeStack} */
const notices = find("notice-stack");
/** @type {import("./dropping.js").DropVeil} */
const veil = find("drop-veil");
/** @type {import("./models_view.js").ModelsView} */
const models = find("models-view");
/** @type {import("./copies_view.js").CopiesView} */
const copies = find("copies-view");
/** @type {import("./help.js").HelpDialog} */
const help = find("help-dialog");

const store = new Store();
const library = new Library();
const deletions = new Deletions(library, notices);
const keepings = new Keepings(notices);
/** @type {Deletions | Keepings} what was done last, to be undone first */
let latest = deletions;
for (const each of [deletions, keepings]) each.addEventListener("added", () => (latest = each));
const uploads = new Uploads();

/** @type {Results} the list of the present address */
let results = library.results(store.list, store.query);
/** @type {Results | null} the list in the grid: the one before stays until the new one has an answer */
let shown = null;

/** @param {Event} event */
const detailOf = (event) => /** @type {CustomEvent} */ (event).detail;

function showList() {
  const before = results;
  before.removeEventListener("change", drawList);
  results = library.results(store.list, store.query);
  if (before !== results) before.cancel();
  results.addEventListener("change", drawList);
  searchBox.show(store.query);
  document.title = store.query.isEmpty ? "Beholder" : `${store.query.words} – Beholder`;
  results.ensure(Math.max(1, store.place?.count ?? 0));
  drawList();
}

function drawList() {
  const isArriving = results !== shown;
  const isWaiting = isArriving && (!results.hasAnswer || isRestoring()) && results.problem === null;
  document.documentElement.classList.toggle("waiting", isWaiting);
  grid.setAttribute("aria-busy", String(results.isLoading));
  drawBar();
  if (isWaiting && shown !== null) return;
  end.show(results);
  grid.show(results.images, {
    scores: results.scores,
    addressOf: (id) => store.addressOf(id),
    copiesOf: (id) => Math.max(0, results.stackOf(id).length - 1),
  });
  if (isArriving && !isWaiting) {
    shown = results;
    grid.restore(store.place);
    if (!results.query.isEmpty)
      notices.announce(results.problem ? results.problem.title : "The results are shown");
  }
  if (detail.isShown && store.open !== null) detail.surround(surroundings(store.open));
}

function showView() {
  find("#main").hidden = store.view !== null;
  find("#models").setAttribute("aria-expanded", String(store.view === "models"));
  find("#copies").setAttribute("aria-expanded", String(store.view === "copies"));
  const left = models.isShown ? "#models" : copies.isShown ? "#copies" : null;
  if (store.view !== "models") models.hide();
  if (store.view !== "copies") copies.hide();
  if (store.view === null) {
    if (left === null) return;
    showList();
    if (shown === results) grid.restore(store.place);
    find(left).focus({ preventScroll: true });
    return;
  }
  window.scrollTo(0, 0);
  document.title = `${store.view === "models" ? "Models" : "Copies"} – Beholder`;
  if (store.view === "models") models.show();
  else copies.show(store.copies);
}

function drawBar() {
  bar.show(results, { canGoBack: store.canGoBack, hiddenCount: library.hiddenCount });
}

/** Whether the list must still grow before the place it was left at exists. */
const isRestoring = () =>
  store.place !== null &&
  !results.isComplete &&
  results.images.length < store.place.count &&
  results.problem === null;

function showOpen() {
  const id = store.open;
  drawBar();
  if (id === null) {
    detail.hide();
    if (store.view === "copies") copies.returnFocus();
    else if (grid.current !== null) grid.focusImage(grid.current, { reveal: "if-gone" });
    if (results === shown) store.keepPlace(grid.place);
  } else if (library.isHidden(id)) {
    store.closeImage();
  } else {
    detail.show(id, library.find(id) ?? listed(id).find((image) => image.id === id), surroundings(id));
    if (store.view === "copies") copies.moveTo(id);
    else if (indexOf(id) !== -1) grid.focusImage(id, { focus: false, reveal: "if-gone" });
  }
}

/** What an image stands among, which the detail view steps through. @param {string} id */
const listed = (id) => (store.view === "copies" ? copies.imagesAround(id) : results.images);

/** @param {string} id */
const indexOf = (id) => listed(id).findIndex((image) => image.id === id);

/** @param {string} id */
function surroundings(id) {
  const index = indexOf(id);
  const hasNext = index !== -1 && index < listed(id).length - 1;
  const copies = store.view === null ? results.stackOf(id).filter((image) => image.id !== id) : [];
  return { score: results.scores.get(id), copies, hasPrevious: index > 0, hasNext };
}

/** @param {Image} image */
function remove(image) {
  // The viewer moves on to the next image, or to the one before when it was the last.
  const images = listed(image.id);
  const index = indexOf(image.id);
  const next = images[index + 1] ?? images[index - 1];
  const wasOpen = store.open === image.id;
  deletions.remove(image);
  if (!wasOpen) return;
  if (next && index !== -1) store.openImage(next.id);
  else store.closeImage();
}

/** @param {File[]} files */
function upload(files) {
  // What is added while one collection is shown is meant for it.
  const [only, ...others] = store.query.collections;
  if (files.length > 0) uploads.add(files, only !== undefined && others.length === 0 ? only : null);
}

store.addEventListener("list", showList);
store.addEventListener("open", showOpen);
store.addEventListener("view", showView);

searchBox.addEventListener("typing", () => {
  if (!results.hasAnswer) results.cancel();
});
searchBox.addEventListener("query", (event) => {
  const { query, typed } = detailOf(event);
  const isNew = !query.equals(store.query) || !results.hasAnswer || results.problem !== null;
  if (isNew) store.search(query, { typed });
  if (!typed) store.settle();
});
searchBox.addEventListener("leave", () => grid.focusImage(grid.current));
searchBox.addEventListener("problem", (event) => notices.showProblem(detailOf(event)));

bar.addEventListener("back", () => store.back());
bar.addEventListener("choose", (event) =>
  store.search(store.query.with({ collections: detailOf(event) }), { typed: true }),
);
bar.addEventListener("closed", () => store.settle());
bar.addEventListener("problem", (event) => notices.showProblem(detailOf(event)));

grid.addEventListener("open", (event) => store.openImage(detailOf(event)));
grid.addEventListener("like", (event) => store.search(store.query.like(detailOf(event))));
grid.addEventListener("delete", (event) => {
  const image = results.images.find((each) => each.id === detailOf(event));
  if (image) remove(image);
});
grid.addEventListener("near-end", () => {
  if (results === shown && results.problem === null) results.more();
});
grid.addEventListener("place", () => {
  if (results === shown) store.keepPlace(grid.place);
});

end.addEventListener("retry", () => results.more());
end.addEventListener("widen", () => store.search(store.query.with({ minScore: null })));
end.addEventListener("everywhere", () => store.search(store.query.with({ collections: [] })));
end.addEventListener("add", () => chooseFiles());

detail.addEventListener("close", () => store.closeImage());
detail.addEventListener("open", (event) => store.openImage(detailOf(event)));
detail.addEventListener("like", (event) => store.search(store.query.like(detailOf(event).id)));
detail.addEventListener("delete", (event) => remove(detailOf(event)));
detail.addEventListener("step", (event) => {
  const open = store.open ?? "";
  const image = listed(open)[indexOf(open) + detailOf(event)];
  if (image) store.openImage(image.id);
});
detail.addEventListener("edited", (event) => library.replace(detailOf(event)));
detail.addEventListener("problem", (event) => notices.showProblem(detailOf(event), "Not saved"));
library.addEventListener("change", (event) => detail.update(detailOf(event)));
deletions.addEventListener("undone", (event) => {
  const [id] = detailOf(event);
  if (store.open !== null) return;
  if (store.view === "copies") copies.goTo(id);
  else grid.focusImage(id);
});

veil.addEventListener("upload", (event) => upload(detailOf(event)));
veil.addEventListener("search-picture", (event) => searchBox.addPicture(detailOf(event)));
veil.addEventListener("search-image", (event) => searchBox.addImage(detailOf(event)));

/** Whether the collections hold more than when they were last asked for. */
let hasGrown = false;
panel.watch(uploads);
uploads.addEventListener("image", (event) => {
  /** @type {Image} */
  const image = detailOf(event);
  deletions.keep(image.id);
  // One that was stored before has its place in the library already.
  if (image.created) library.add([image]);
  hasGrown ||= image.created === true;
});
uploads.addEventListener("change", () => {
  if (uploads.isActive || !hasGrown) return;
  hasGrown = false;
  bar.refreshCollections();
});
window.addEventListener("beforeunload", (event) => {
  if (uploads.isActive) event.preventDefault();
});

/** @type {HTMLInputElement} */
const fileInput = Object.assign(document.createElement("input"), { type: "file", multiple: true });
fileInput.accept = "image/*,.heic,.heif,.avif";
fileInput.addEventListener("change", () => {
  upload([...(fileInput.files ?? [])]);
  fileInput.value = "";
});
const chooseFiles = () => fileInput.click();

find("#add").addEventListener("click", chooseFiles);
for (const view of /** @type {const} */ (["models", "copies"])) {
  find(`#${view}`).addEventListener("click", () => (store.view === view ? store.closeView() : store.showView(view)));
}
find("job-pill").addEventListener("click", () => store.showView("models"));
models.addEventListener("close", () => store.closeView());
models.addEventListener("notice", (event) => notices.show(detailOf(event)));
models.addEventListener("problem", (event) => {
  const { problem, what } = detailOf(event);
  notices.showProblem(problem, what);
});
wireCopies(copies, { store, library, keepings, notices, remove });
find("#keys").addEventListener("click", () => help.show());
find("#home").addEventListener("click", (/** @type {MouseEvent} */ event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  store.search(new Query());
});
find(".skip").addEventListener("click", (/** @type {Event} */ event) => {
  event.preventDefault();
  grid.focusImage(grid.current);
});

document.addEventListener("keydown", (event) => {
  if (isEditing(event.target) || event.altKey) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z") latest.undo();
  else if (event.ctrlKey || event.metaKey) return;
  else if (event.key === "/" && !detail.isShown) searchBox.focusInput();
  else if (event.key === "?") help.show();
  else return;
  event.preventDefault();
});

showList();
showOpen();
showView();
