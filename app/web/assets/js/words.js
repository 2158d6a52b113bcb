/** Numbers, sizes and dates as people read them. */

const NUMBER = new Intl.NumberFormat("en");

/** @param {number} amount @param {string} thing */
export const count = (amount, thing) => `${NUMBER.format(amount)} ${thing}${amount === 1 ? "" : "s"}`;

/** @param {number} value in milliseconds */
export const milliseconds = (value) =>
  value < 1000 ? `${Math.max(1, Math.round(value))} ms` : `${(value / 1000).toFixed(1)} s`;

/** @param {number} size in bytes */
export function bytes(size) {
  if (size < 1000) return `${size} B`;
  if (size < 1e6) return `${Math.round(size / 1000)} kB`;
  if (size < 1e9) return `${(size / 1e6).toFixed(1)} MB`;
  return `${(size / 1e9).toFixed(2)} GB`;
}

const WALL_CLOCK = new Intl.DateTimeFormat("en", { dateStyle: "long", timeStyle: "short" });

/**
 * The date and time on the camera's own clock, wherever the reader is.
 * @param {string} taken RFC 3339, the offset optional
 */
export const wallClock = (taken) => WALL_CLOCK.format(new Date(taken.slice(0, 19)));

/** @param {string} moment RFC 3339 @returns {string} in the reader's time zone */
export const localTime = (moment) => WALL_CLOCK.format(new Date(moment));

/** @param {number | null | undefined} share of 1 */
export const percent = (share) => (typeof share === "number" ? `${(100 * share).toFixed(1)} %` : "–");
