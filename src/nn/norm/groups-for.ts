/** `most` groups (32, as the authors of group norm use), or the largest smaller number that divides the width. */
export function groupsFor(width: number, most = 32): number {
  let groups = Math.min(most, width);
  while (width % groups !== 0) groups--;
  return groups;
}
