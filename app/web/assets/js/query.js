/** What is searched for: a sentence, pictures, something to avoid; in the page's address and in the service's words. */

/**
 * A picture in a query: one of the library by its id, or one the user brought, kept by this tab under a key.
 * @typedef {{kind: "like" | "picture", value: string, weight: number}} QueryPicture
 * @typedef {{text: string, textWeight: number, without: string, pictures: readonly QueryPicture[],
 *   minScore: number | null, collections: readonly string[], isStacked: boolean}} QueryFields
 */

/** How strongly "without …" pushes away. At -1 what is avoided drowns what is wanted. */
const WITHOUT_WEIGHT = -0.5;

/** One query; never changed, only replaced. */
export class Query {
  /** @param {Partial<QueryFields>} [fields] */
  constructor({
    text = "",
    textWeight = 1,
    without = "",
    pictures = [],
    minScore = null,
    collections = [],
    isStacked = false,
  } = {}) {
    this.text = text;
    this.textWeight = textWeight;
    this.without = without;
    this.pictures = pictures;
    this.minScore = minScore;
    /** The names of those that are shown and searched, none for all. */
    this.collections = collections;
    /** Whether copies stand under the best of them; if not, the collection's own setting holds. */
    this.isStacked = isStacked;
    Object.freeze(this);
  }

  /** @param {string} id the images most like this one, in the same collections */
  like(id) {
    return new Query({ pictures: [{ kind: "like", value: id, weight: 1 }], collections: this.collections });
  }

  /** @param {Partial<QueryFields>} changes */
  with(changes) {
    return new Query({ ...this, ...changes });
  }

  /** Nothing to look for: the library itself is shown, or collections of it. Avoiding something alone finds nothing. */
  get isEmpty() {
    return this.text.trim() === "" && this.pictures.length === 0;
  }

  /** Whether the parts' weights are anything but the plain ones. */
  get isTuned() {
    const weights = [this.textWeight, ...this.pictures.map((picture) => picture.weight)];
    const isPlain = this.without.trim() === "" && this.minScore === null && !this.isStacked;
    return !isPlain || weights.some((weight) => weight !== 1);
  }

  /** @param {Query} other */
  equals(other) {
    return this.toAddress().toString() === other.toAddress().toString();
  }

  /**
   * Reads `?q=red coat&like=ID&picture=KEY&not=hood&weights=1,0.5,1&min_score=0.2&stack=1&collection=sea`.
   * What cannot be read is left out: an address may come from anywhere.
   * @param {URLSearchParams} parameters
   */
  static fromAddress(parameters) {
    const weights = (parameters.get("weights") ?? "").split(",").map(Number);
    const weight = (/** @type {number} */ at) =>
      parameters.has("weights") && Number.isFinite(weights[at]) ? Math.max(-1, Math.min(2, weights[at])) : 1;
    /** @type {QueryPicture[]} */
    const pictures = [];
    for (const [name, value] of parameters) {
      if ((name === "like" || name === "picture") && value !== "") {
        pictures.push({ kind: name, value, weight: weight(pictures.length + 1) });
      }
    }
    const minScore = Number.parseFloat(parameters.get("min_score") ?? "");
    return new Query({
      text: parameters.get("q") ?? "",
      textWeight: weight(0),
      without: parameters.get("not") ?? "",
      pictures,
      minScore: Number.isFinite(minScore) ? Math.max(-1, Math.min(1, minScore)) : null,
      isStacked: parameters.get("stack") === "1",
      collections: [...new Set(parameters.getAll("collection"))].filter((name) => name.trim() !== ""),
    });
  }

  /** @returns {URLSearchParams} what `fromAddress` reads back */
  toAddress() {
    const parameters = new URLSearchParams();
    for (const name of this.collections) parameters.append("collection", name);
    if (this.isEmpty) return parameters;
    if (this.text.trim() !== "") parameters.set("q", this.text.trim());
    for (const picture of this.pictures) parameters.append(picture.kind, picture.value);
    if (this.without.trim() !== "") parameters.set("not", this.without.trim());
    const weights = [this.textWeight, ...this.pictures.map((picture) => picture.weight)];
    if (weights.some((weight) => weight !== 1)) parameters.set("weights", weights.join(","));
    if (this.minScore !== null) parameters.set("min_score", String(this.minScore));
    if (this.isStacked) parameters.set("stack", "1");
    return parameters;
  }

  /**
   * @param {(key: string) => string} base64Of the bytes of a picture the user brought
   * @returns {import("./api.js").QueryPart[]}
   */
  toParts(base64Of) {
    /** @type {import("./api.js").QueryPart[]} */
    const parts = [];
    if (this.text.trim() !== "") parts.push({ text: this.text.trim(), weight: this.textWeight });
    for (const { kind, value, weight } of this.pictures) {
      parts.push(kind === "like" ? { image_id: value, weight } : { image: base64Of(value), weight });
    }
    if (this.without.trim() !== "") parts.push({ text: this.without.trim(), weight: WITHOUT_WEIGHT });
    return parts.filter((part) => part.weight !== 0);
  }

  /** The query in words, for headings and titles. */
  get words() {
    const pictures = this.pictures.length;
    return [
      this.text.trim() && `“${this.text.trim()}”`,
      pictures === 1 && (this.pictures[0].weight < 0 ? "unlike a picture" : "like a picture"),
      pictures > 1 && `like ${pictures} pictures`,
      this.without.trim() && `without “${this.without.trim()}”`,
      this.collections.length > 0 && `in ${this.collections.join(", ")}`,
    ]
      .filter(Boolean)
      .join(", ");
  }
}
