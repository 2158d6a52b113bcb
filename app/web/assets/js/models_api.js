/** What the service is asked about models, pairs and jobs; `api.js` sends it. */

import { address, ask, follow, json, sendForm } from "./api.js";

/**
 * @typedef {{id: string, kind: string, state: "queued" | "running" | "succeeded" | "failed" | "cancelled",
 *   message: string, progress: {done: number, total: number | null, unit: string}, result: any,
 *   problem: {title: string, detail: string} | null, cancel_requested: boolean,
 *   paused: {by: string, at: string} | null, created_at: string, finished_at: string | null}} Job
 * @typedef {{name: string, data: Record<string, any>, at: string}} JobRecord
 * @typedef {{name: string, title: string, before: number | null, after: number | null, allowed: string,
 *   passed: boolean}} Check
 * @typedef {{id: string, architecture: string, dimension: number, origin: string,
 *   state: "building" | "ready" | "live" | "retired", metrics: any, created_at: string,
 *   promoted_at: string | null}} Version
 * @typedef {{id: string, image_id: string, text: string, split: "train" | "validation"}} Pair
 * @typedef {{code: string, level: "error" | "warning", detail: string, count: number}} Finding
 * @typedef {{pairs: number, images: number, texts: number, train_images: number, validation_images: number,
 *   is_trainable: boolean, findings: Finding[]}} PairCheck
 * @typedef {{added: number, existing: number, images_added: number, files_unused: number, refused_total: number,
 *   refused: {line: number | null, entry: string | null, reason: string}[]}} PairsAdded
 * @typedef {{curves: Record<string, any>[], before: any, after: any,
 *   urls: {curves: string | null, contact_sheet: string | null}, queries: {text: string, image_id: string,
 *   rank_before: number | null, rank_after: number | null}[]}} Report
 */

/** @param {string} id */
const modelPath = (id) => `v1/models/${encodeURIComponent(id)}`;

/** @param {string} id */
const jobPath = (id) => `v1/jobs/${encodeURIComponent(id)}`;

/** @returns {Promise<{items: Version[]}>} newest first */
export const listModels = () => ask(address("v1/models"));

/**
 * @param {string} source the name of a shipped model, a name on the hub, or a path on the server
 * @returns {Promise<Version | Job>} the job that fetches it where it is the hub's
 */
export const registerModel = (source) => ask(address("v1/models"), json("POST", { source }));

/** @param {string} id @param {boolean} force whether to pass by the gate @returns {Promise<Version>} */
export const promoteModel = (id, force) => ask(address(`${modelPath(id)}/promote`), json("POST", { force }));

/** @returns {Promise<Version>} the version that is live then */
export const rollBack = () => ask(address("v1/models/rollback"), { method: "POST" });

/** @param {string} id */
export const deleteModel = (id) => ask(address(modelPath(id)), { method: "DELETE" });

/** @param {string} id @returns {Promise<Report>} */
export const getReport = (id) => ask(address(`${modelPath(id)}/report`));

/** The picture of queries with their first hits before and after. @param {string} id */
export const contactSheetAddress = (id) => address(`${modelPath(id)}/report/contact-sheet.png`).href;

/** Embeds every image by a version and leaves it ready. @param {string} id @returns {Promise<Job>} */
export const buildVersion = (id) =>
  ask(address("v1/admin/reindex"), json("POST", { model_version: id, promote: false }));

/** Compares a version with the live one on the held-out pairs. @param {string} id @returns {Promise<Job>} */
export const evaluateVersion = (id) =>
  ask(address("v1/admin/evaluate"), json("POST", { model_version: id }));

/** @param {Record<string, unknown>} settings @returns {Promise<Job>} */
export const startFineTune = (settings) => ask(address("v1/admin/fine-tune"), json("POST", settings));

/** @returns {Promise<PairCheck>} */
export const checkPairs = () => ask(address("v1/pairs/check"));

/**
 * @param {{cursor: string | null, limit: number}} page
 * @returns {Promise<{items: Pair[], next_cursor: string | null}>} newest first
 */
export const listPairs = (page) => ask(address("v1/pairs", page));

/** @param {string} id */
export const deletePair = (id) => ask(address(`v1/pairs/${encodeURIComponent(id)}`), { method: "DELETE" });

export const pairsExportAddress = () => address("v1/pairs/export", { format: "tsv" }).href;

/**
 * Imports pairs: a table, a zip of images, or one of each.
 * @param {File[]} files
 * @param {{onProgress: (share: number) => void, signal: AbortSignal}} options
 * @returns {Promise<PairsAdded>}
 */
export function importPairs(files, options) {
  const body = new FormData();
  for (const file of files) body.append("file", file);
  return sendForm("v1/pairs/import", body, options);
}

/** @param {number} limit @returns {Promise<{items: Job[]}>} the newest jobs */
export const listJobs = (limit) => ask(address("v1/jobs", { limit }));

/** @param {string} id @param {"cancel" | "pause" | "resume"} action @returns {Promise<Job>} */
export const steerJob = (id, action) => ask(address(`${jobPath(id)}/${action}`), { method: "POST" });

/** @param {string} id */
export const failuresAddress = (id) => address(`${jobPath(id)}/failures.tsv`).href;

/**
 * @param {string} id
 * @param {{job: (job: Job) => void, record: (record: JobRecord) => void}} listeners
 * @param {() => void} broken called when the stream will not go on
 * @returns {() => void} ends it
 */
export const followJob = (id, listeners, broken) => follow(`${jobPath(id)}/events`, listeners, broken);
