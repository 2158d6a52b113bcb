/** Pictures brought as queries: kept for this tab only, so that going back or reloading finds them again. */

import { Problem } from "./api.js";

/** Longer than this a query picture is made smaller before it is sent; the model looks at far fewer pixels. */
const LONGEST_SIDE_PIXELS = 1600;
const KEPT_AS_IS_BYTES = 1_000_000;
const STORAGE_PREFIX = "beholder.picture.";

/** @type {Map<string, string>} key to data URL */
const pictures = new Map();

/**
 * @param {Blob} file
 * @returns {Promise<string>} the key under which this tab keeps it
 */
export async function keepPicture(file) {
  const url = await dataUrl(file.size > KEPT_AS_IS_BYTES ? await smaller(file) : file);
  // Keys begin with the time, so that their order is their age.
  const key = `${Date.now().toString(36)}-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
  pictures.set(key, url);
  remember(key, url);
  return key;
}

/** @param {string} key @returns {string | null} something an <img> can show, null when this tab never had it */
export function picturePreview(key) {
  return pictures.get(key) ?? tabStorage()?.getItem(STORAGE_PREFIX + key) ?? null;
}

/** @param {string} key @returns {string} @throws {Problem} when this tab does not have the picture */
export function pictureBase64(key) {
  const url = picturePreview(key);
  if (url === null) {
    throw new Problem({
      title: "The picture of this search is gone",
      detail: "It was only kept in the tab it was dropped into. Drop it onto the search box again.",
    });
  }
  return url.slice(url.indexOf(",") + 1);
}

/** @param {string} key @param {string} url */
function remember(key, url) {
  const storage = tabStorage();
  if (storage === null) return;
  const older = Object.keys(storage).filter((name) => name.startsWith(STORAGE_PREFIX));
  older.sort();
  for (;;) {
    try {
      storage.setItem(STORAGE_PREFIX + key, url);
      return;
    } catch {
      // The tab's storage is full: the oldest go first; a picture too large for it lives until a reload.
      const oldest = older.shift();
      if (oldest === undefined) return;
      storage.removeItem(oldest);
    }
  }
}

/** @returns {Storage | null} null where the visitor forbids pages to keep anything: asking for it throws there */
function tabStorage() {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

/** @param {Blob} file @returns {Promise<Blob>} the file itself where the browser cannot read it: the service may */
async function smaller(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return file;
  }
  const scale = Math.min(1, LONGEST_SIDE_PIXELS / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "white"; // as the service does with transparent pictures; a canvas would give black
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? file), "image/jpeg", 0.92));
}

/** @param {Blob} blob @returns {Promise<string>} */
function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(/** @type {string} */ (reader.result));
    reader.onerror = () =>
      reject(
        new Problem({
          title: "The picture could not be read",
          detail: "Its file may have moved or be a folder.",
        }),
      );
    reader.readAsDataURL(blob);
  });
}
