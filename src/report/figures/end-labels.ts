/** A label wants to stand at height `y` (pixels); `place` moves labels apart so that no two are closer than `gap`. */
export interface EndLabel {
  readonly text: string;
  readonly key: string;
  readonly y: number;
}

export interface PlacedLabel extends EndLabel {
  readonly at: number;
}

/**
 * Spreads labels over [top, bottom], in their order from top to bottom, each as near to its curve as the others
 * allow: groups that would overlap are merged and centred on the mean of their wishes.
 */
export function placeLabels(labels: readonly EndLabel[], gap: number, top: number, bottom: number): PlacedLabel[] {
  interface Group {
    readonly members: EndLabel[];
    centre: number;
  }
  const groups: Group[] = [];
  for (const label of [...labels].sort((a, b) => a.y - b.y)) {
    let group: Group = { members: [label], centre: clampCentre(label.y, 1) };
    for (let above = groups.at(-1); above && overlaps(above, group); above = groups.at(-1)) {
      groups.pop();
      const members = [...above.members, ...group.members];
      const wish = members.reduce((sum, { y }) => sum + y, 0) / members.length;
      group = { members, centre: clampCentre(wish, members.length) };
    }
    groups.push(group);
  }
  return groups.flatMap(({ members, centre }) =>
    members.map((label, i) => ({ ...label, at: centre + (i - (members.length - 1) / 2) * gap })),
  );

  function overlaps(above: Group, below: Group): boolean {
    return below.centre - above.centre < ((above.members.length + below.members.length) / 2) * gap;
  }
  function clampCentre(wish: number, count: number): number {
    const half = ((count - 1) / 2) * gap;
    return Math.max(top + half, Math.min(bottom - half, wish));
  }
}
