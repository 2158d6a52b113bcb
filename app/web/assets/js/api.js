/**
 * The one door to the service: every request leaves here and every problem document is read here.
 * All addresses are relative to the page, so it also works behind a path prefix it knows nothing of.
 */

/**
 * @typedef {{file: string, thumbnail: string}} ImageAddresses
 * @typedef {{
 *   id: string, filename: string, format: string, width: number, height: number, bytes: number, created: boolean | null,
 *   taken_at: string | null, tags: string[], caption: string | null, metadata: Record<string, unknown>,
 *   collection: string, created_at: string, urls: ImageAddresses,
 * }} Image
 * @typedef {{items: Image[], next_cursor: string | null, total: number}} ImagePage
 * @typedef {{image: Image, score: number, copies: {image: Image, score: number}[]}} Hit
 * @typedef {{hits: Hit[], next_cursor: string | null, warnings: string[],
 *   took_ms: {total: number}}} SearchResult
 * @typedef {{name: string, images: number, searched_by_default: boolean}} Collection
 * @typedef {{text?: string, image_id?: string, image?: string, weight: number}} QueryPart
 */

/** What the service answered instead of what was asked for, in its own words. */
export class Problem extends Error {
  /**
   * @param {{title?: string, detail?: string, status?: number}} body
   * @param {{requestId?: string | null, retryAfterSeconds?: number | null}} [facts]
   */
  constructor(body, { requestId = null, retryAfterSeconds = null } = {}) {
    super(body.title ?? "The service refused");
    this.name = "Problem";
    this.title = this.message;
    this.detail = body.detail ?? "";
    /** 0 when no answer came at all. */
    this.status = body.status ?? 0;
    this.requestId = requestId;
    this.retryAfterSeconds = retryAfterSeconds;
    /** What the document says beyond that, such as the `checks` that a promotion did not pass. @type {any} */
    this.members = body;
  }
}

const UNREACHABLE = {
  title: "The service does not answer",
  detail: "Check that it is running and that this device is online, then try again.",
};

/**
 * @param {string} path relative, such as "v1/images"
 * @param {Record<string, unknown>} [parameters] null and undefined are left out, lists are repeated
 */
export function address(path, parameters = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat())
      if (one !== null && one !== undefined) url.searchParams.append(name, String(one));
  }
  return url;
}

/**
 * @param {number} status
 * @param {string} text
 * @param {(name: string) => string | null} header
 */
function problemFrom(status, text, header) {
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy in between answers in HTML or not at all; its words are of no use to the reader.
  }
  const retryAfter = Number(header("Retry-After") ?? Number.NaN);
  return new Problem(
    { title: "The service could not do this", detail: `It answered with status ${status}.`, ...body, status },
    { requestId: header("X-Request-ID"), retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : null },
  );
}

/**
 * @param {URL} url
 * @param {RequestInit} [options]
 * @returns {Promise<any>} the answer's JSON, null when it has no body
 */
export async function ask(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
  const text = await response.text();
  if (!response.ok) throw problemFrom(response.status, text, (name) => response.headers.get(name));
  return answerFrom(text);
}

/** @param {string} text @returns {any} */
function answerFrom(text) {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    throw new Problem({
      title: "Something else answered",
      detail: "The answer is not from Beholder; a proxy may want you to sign in. Load the page again.",
    });
  }
}

/** @param {"POST" | "PATCH"} method @param {unknown} body */
export const json = (method, body) => ({
  method,
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

/**
 * The library or some collections of it, newest first.
 * @param {{collection: readonly string[], cursor: string | null, limit: number, signal: AbortSignal}} page
 * @returns {Promise<ImagePage>}
 */
export const listImages = ({ signal, ...page }) => ask(address("v1/images", page), { signal });

/**
 * @param {{query: QueryPart[], collections: readonly string[], minScore: number | null, isStacked: boolean,
 *   cursor: string | null, limit: number, signal: AbortSignal}} search
 * @returns {Promise<SearchResult>}
 */
export function search({ query, collections, minScore, isStacked, cursor, limit, signal }) {
  const body = {
    query,
    limit,
    ...(cursor !== null && { cursor }),
    ...(minScore !== null && { min_score: minScore }),
    ...(isStacked && { group_duplicates: true }),
    ...(collections.length > 0 && { collection: collections }),
  };
  return ask(address("v1/search"), { ...json("POST", body), signal });
}

/** Every collection, by name. @returns {Promise<Collection[]>} */
export async function listCollections() {
  /** @type {Collection[]} */
  const collections = [];
  let cursor = null;
  do {
    const page = await ask(address("v1/collections", { limit: 1000, cursor }));
    collections.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return collections;
}

/** @param {string} id */
const imagePath = (id) => `v1/images/${encodeURIComponent(id)}`;

/** @param {string} id @returns {Promise<Image>} */
export const getImage = (id) => ask(address(imagePath(id)));

/** @param {string} id @param {{tags?: string[], caption?: string | null}} changes @returns {Promise<Image>} */
export const patchImage = (id, changes) => ask(address(imagePath(id)), json("PATCH", changes));

/** Deletes an image, even while the page is being left. @param {string} id */
export const deleteImage = (id) => ask(address(imagePath(id)), { method: "DELETE", keepalive: true });

/** The sizes a thumbnail is asked for in, those the service keeps: any other would be made to be thrown away. */
const THUMBNAIL_SIZES = [160, 320, 640, 1280, 2560];

/** So far a thumbnail is stretched before the next size is asked for, which costs the service another decoding. */
const STRETCH = 1.25;

/**
 * @param {string} id
 * @param {number} pixels the longest side it will be shown in, in device pixels
 */
export function thumbnailAddress(id, pixels) {
  const size =
    THUMBNAIL_SIZES.find((each) => each * STRETCH >= pixels) ?? THUMBNAIL_SIZES[THUMBNAIL_SIZES.length - 1];
  return address(`${imagePath(id)}/thumbnail`, { size }).href;
}

/** @param {string} id */
export const fileAddress = (id) => address(`${imagePath(id)}/file`).href;

/**
 * Sends a form with files. `fetch` cannot tell how much of a body has left, so this uses XMLHttpRequest.
 * @param {string} path
 * @param {FormData} body
 * @param {{onProgress: (share: number) => void, signal: AbortSignal}} options share in [0, 1]
 * @returns {Promise<any>} the answer's JSON
 */
export function sendForm(path, body, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(path));
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      const { status, responseText } = request;
      try {
        if (status < 200 || status >= 300)
          throw problemFrom(status, responseText, (name) => request.getResponseHeader(name));
        resolve(answerFrom(responseText));
      } catch (error) {
        reject(error);
      }
    };
    request.onerror = () =>
      reject(
        new Problem({
          title: "The connection broke while sending",
          detail: "The service may be unreachable, or the file may be larger than it takes.",
        }),
      );
    request.onabort = () => reject(new DOMException("Upload cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

/**
 * @param {File} file
 * @param {string | null} collection null for the one that the service chooses
 * @param {{onProgress: (share: number) => void, signal: AbortSignal}} options share in [0, 1]
 * @returns {Promise<Image>} with `created`: whether this upload made it, or the same bytes were there before
 */
export function uploadImage(file, collection, options) {
  const body = new FormData();
  if (collection !== null) body.append("collection", collection);
  body.append("file", file);
  return sendForm("v1/images", body, options);
}

/**
 * Follows a stream of server-sent events; the browser comes back by itself after a break, with what it has seen last.
 * @param {string} path
 * @param {Record<string, (data: any) => void>} listeners by the event's name, each given the event's JSON
 * @param {() => void} broken called when the browser will not come back, since something else was answered
 * @returns {() => void} ends it
 */
export function follow(path, listeners, broken) {
  const stream = new EventSource(address(path));
  for (const [name, listener] of Object.entries(listeners))
    stream.addEventListener(name, (event) => listener(JSON.parse(/** @type {MessageEvent} */ (event).data)));
  stream.addEventListener("error", () => stream.readyState === EventSource.CLOSED && broken());
  return () => stream.close();
}
