/** Building elements. Text only ever enters as text nodes, so no user's words become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * A new element. Functions named `on…` become listeners, booleans toggle their attribute,
 * null and undefined are left out, everything else is set as an attribute.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any} typed loosely: a caller knows the tag it asked for
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function")
      node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (typeof value === "boolean") node.toggleAttribute(name, value);
    else if (value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Stroke paths of the page's icons on a 24 x 24 field. */
const ICONS = {
  search: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14Zm5.2 12.2L20.5 20.5",
  picture: "M4 5h16v14H4ZM4 16l4.5-4.5 4 4L15.5 12.5 20 17M15.5 9h.01",
  tune: "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h11M19 17h1M15 5v4M9 10v4M17 15v4",
  close: "M6 6l12 12M18 6L6 18",
  back: "M19 12H5M11 6l-6 6 6 6",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  like: "M12 4l1.8 5.2L19 11l-5.2 1.8L12 18l-1.8-5.2L5 11l5.2-1.8ZM19 16v4M17 18h4",
  download: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  bin: "M5 7h14M10 7V4.5h4V7M6.5 7l1 13h9l1-13M10.5 11v5M13.5 11v5",
  add: "M12 5v14M5 12h14",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warning: "M12 4L2.5 20h19ZM12 10v4.5M12 17.5h.01",
  down: "M6 9l6 6 6-6",
  copies: "M9 9h11v11H9ZM15 9V4H4v11h5",
};

/**
 * @param {keyof typeof ICONS} name
 * @returns {SVGSVGElement} an icon that takes the colour of the text around it
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button that shows only an icon; its label is what a screen reader says and what a pointer shows.
 * @param {keyof typeof ICONS} name
 * @param {string} label
 * @param {(event: Event) => void} run
 * @param {Record<string, unknown>} [properties]
 */
export function iconButton(name, label, run, properties = {}) {
  return element(
    "button",
    {
      type: "button",
      class: "button icon-only",
      "aria-label": label,
      title: label,
      onclick: run,
      ...properties,
    },
    icon(name),
  );
}

/** @param {EventTarget | null} target whether keys pressed there belong to a field the user writes in */
export function isEditing(target) {
  return (
    target instanceof HTMLElement && (target.isContentEditable || target.matches("textarea, select, input"))
  );
}

/**
 * Makes `nodes` the children of `parent` in this order, without touching one that is in its place, which would take the
 * focus from it.
 * @param {HTMLElement} parent
 * @param {HTMLElement[]} nodes
 */
export function put(parent, nodes) {
  const wanted = new Set(/** @type {Element[]} */ (nodes));
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, at) => {
    if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] ?? null);
  });
}
