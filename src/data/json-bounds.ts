/**
 * JSON text held against what it would become: `[[[[…` and `{},{},…` take twenty times their size once parsed and more, so
 * a file of a hundred megabytes could take all memory before anything looks at it.
 */

/** What can be nested deeper is not walked by anything here either. */
const maxDepth = 512;
/** Objects and lists; the largest files in use (a tokenizer's merges, a set of chats) have a few million. */
const maxContainers = 1 << 22;
/** Members of all objects and lists. */
const maxMembers = 1 << 23;
/** Shorter texts are not looked through: they cannot hold enough to matter. */
const harmless = 1 << 16;

/** What is wrong with the size of what the text holds, and at which character; undefined where nothing is. */
export function tooMuchJson(text: string): string | undefined {
  if (text.length < harmless) return undefined;
  let [depth, containers, members] = [0, 0, 0];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === quote) i = stringEnd(text, i);
    else if (code === comma) members++;
    else if (code === list || code === object) {
      containers++;
      if (++depth > maxDepth) return `nested deeper than ${maxDepth} levels at character ${i}`;
    } else if (code === listEnd || code === objectEnd) depth--;
    if (containers > maxContainers) return `more than ${maxContainers} objects and lists at character ${i}`;
    if (members > maxMembers) return `more than ${maxMembers} values at character ${i}`;
  }
  return undefined;
}

const [quote, comma, list, listEnd, object, objectEnd, backslash] = [0x22, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d, 0x5c];

/** The place of the quote that closes the string begun at `start`, or the end of the text. */
function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === backslash) escapes++;
    if (escapes % 2 === 0) return end;
  }
  return text.length;
}
