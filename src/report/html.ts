/** Text that is HTML already; anything else is escaped when it enters a template. */
export class Html {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
}

export type Content = Html | string | number | null | undefined | readonly Content[];

/**
 * A template that escapes what is put into it: html`<p>${name}</p>`. Arrays are joined, null and undefined are
 * nothing. Run names, file paths and captions come from outside, so nothing reaches a page any other way.
 */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  return new Html(String.raw({ raw: strings }, ...values.map(render)));
}

/** Marks our own markup (an SVG we drew, the style sheet) as HTML. */
export function trusted(markup: string): Html {
  return new Html(markup);
}

function render(value: Content): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(render).join("");
  return escapeText(String(value));
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** For text and quoted attributes. */
export function escapeText(text: string): string {
  return printable(text).replace(/[&<>"']/g, (c) => entities[c] ?? c);
}

/**
 * Replaces control characters but tab and line ends by U+FFFD: no HTML or SVG parser accepts them, and a terminal
 * would obey them.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\t\n\r]/gu, "\ufffd");
}
