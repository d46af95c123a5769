// What runs on every page: the switch between light and dark, and the search.
import MiniSearch from "minisearch";
import { indexOptions, words } from "./terms.js";

const here = document.currentScript;
const base = here.src.replace(/[^/]*$/, "");
const root = document.documentElement;

const stored = (value) => {
  // Pages opened as files may have no storage.
  try {
    if (value) localStorage.setItem("layerwise-theme", value);
    return localStorage.getItem("layerwise-theme");
  } catch {
    return null;
  }
};
const theme = stored();
if (theme === "light" || theme === "dark") root.dataset.theme = theme;

document.addEventListener("DOMContentLoaded", () => {
  const button = document.querySelector("#site-theme");
  button.addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    stored(root.dataset.theme);
  });
  // On a wide screen the list of pages is always open.
  const menu = document.querySelector("#site-menu");
  const wide = matchMedia("(min-width: 900px)");
  const openWhereWide = () => {
    menu.open = wide.matches;
  };
  openWhereWide();
  wide.addEventListener("change", openWhereWide);
  menu.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  search(document.querySelector("#site-search"), document.querySelector("#site-results"));
});

/** The index comes with the first word, as a script: pages opened as files may not fetch. */
let index;
const load = () => {
  index ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${base}search-index.js`;
    script.onload = () => resolve(MiniSearch.loadJSON(window.layerwiseIndex, indexOptions));
    script.onerror = () => reject(new Error(`${script.src} is missing`));
    document.head.append(script);
  });
  return index;
};

function search(field, list) {
  let chosen = -1;
  const links = () => [...list.querySelectorAll("a")];
  const close = () => {
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
  };
  const choose = (next) => {
    const all = links();
    all[chosen]?.removeAttribute("aria-selected");
    chosen = Math.max(-1, Math.min(next, all.length - 1));
    all[chosen]?.setAttribute("aria-selected", "true");
    all[chosen]?.scrollIntoView({ block: "nearest" });
    if (all[chosen]) field.setAttribute("aria-activedescendant", all[chosen].id);
    else field.removeAttribute("aria-activedescendant");
  };
  const show = async () => {
    const query = field.value.trim();
    if (!query) return close();
    let found;
    try {
      found = namedFirst((await load()).search(query), query).slice(0, 20);
    } catch (error) {
      list.replaceChildren(message(error.message));
    }
    if (field.value.trim() !== query) return;
    if (found)
      list.replaceChildren(
        ...(found.length > 0
          ? found.map((item, i) => result(item, i, query))
          : [message(`Nothing is called or says “${query}”.`)]),
      );
    chosen = -1;
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
  };
  field.addEventListener("focus", load, { once: true });
  field.addEventListener("input", show);
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter") links()[Math.max(chosen, 0)]?.click();
    else if (event.key === "Escape") {
      field.value = "";
      close();
      field.blur();
    } else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    if (event.target.closest("a")) close();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[role=search]")) close();
  });
  document.addEventListener("keydown", (event) => {
    if (
      event.key !== "/" ||
      event.ctrlKey ||
      event.metaKey ||
      /^(?:INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName)
    )
      return;
    event.preventDefault();
    field.focus();
  });
}

/** Who writes a whole name means what is called so. */
function namedFirst(found, query) {
  const wanted = query.toLowerCase();
  const isNamed = ({ title }) => [title.toLowerCase(), title.toLowerCase().replace(/^.*\./, "")].includes(wanted);
  return [...found.filter(isNamed), ...found.filter((item) => !isNamed(item))];
}

function message(text) {
  const item = document.createElement("p");
  item.textContent = text;
  return item;
}

function result({ title, page, address, excerpt }, i, query) {
  const link = document.createElement("a");
  link.href = base + address;
  link.id = `result-${i}`;
  link.setAttribute("role", "option");
  const name = document.createElement("strong");
  name.append(...marked(title, query));
  const where = document.createElement("span");
  where.textContent = page === title ? "" : page;
  const text = document.createElement("small");
  text.append(...marked(excerpt, query));
  link.append(name, where, text);
  return link;
}

/** The text with what was searched for marked. */
function marked(text, query) {
  const terms = words(query).map((word) => word.replace(/[^\p{L}\p{N}]/gu, "\\$&"));
  if (terms.length === 0) return [text];
  return text.split(new RegExp(`(${terms.join("|")})`, "giu")).map((part, i) => {
    if (i % 2 === 0) return part;
    const mark = document.createElement("mark");
    mark.textContent = part;
    return mark;
  });
}
