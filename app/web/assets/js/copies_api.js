/** What the service is asked about images that look alike; `api.js` sends it. */

import { address, ask, json } from "./api.js";

/**
 * @typedef {import("./api.js").Image} Image
 * @typedef {"same" | "similar"} Grade
 * @typedef {{grade: Grade, size: number, images: Image[], pairs: {image_ids: [string, string],
 *   differing_bits: number | null, cosine: number | null}[]}} Group
 * @typedef {{items: Group[], next_cursor: string | null, total: number, uncompared: number}} GroupPage
 */

/**
 * Groups that nobody decided about, the oldest first.
 * @param {{grade: Grade, cursor: string | null, limit: number}} page
 * @returns {Promise<GroupPage>}
 */
export const listGroups = (page) => ask(address("v1/duplicates", page));

/** Compares every image that was not compared yet. @returns {Promise<import("./models_api.js").Job>} */
export const findCopies = () => ask(address("v1/admin/find-duplicates"), { method: "POST" });

/** Decides that images stay beside each other, even while the page is being left. @param {string[]} ids */
export const keepBesideEachOther = (ids) =>
  ask(address("v1/duplicates/decide"), { ...json("POST", { keep: ids }), keepalive: true });
