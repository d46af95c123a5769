/** 32 groups, as the paper's authors use, or the largest smaller number that divides the width. */
export function groupsFor(width: number): number {
  let groups = Math.min(32, width);
  while (width % groups !== 0) groups--;
  return groups;
}
