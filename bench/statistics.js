/** What is measured in turns, and what is said of it: a machine that slows down then slows down for all sides. */

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median, least, greatest; `turns` is how many there were. */
export const summary = (values) => ({
  median: median(values),
  low: Math.min(...values),
  high: Math.max(...values),
  turns: values.length,
});

/** How many times as long (or as much) as we: turn by turn, so that what slows both down cancels. */
export const ratio = (theirs, ours) => summary(theirs.map((value, turn) => value / ours[turn]));

/**
 * Of one side in several settings, `turns` of a value for each, the values of the setting whose median is best. The best one of every
 * turn would be partly luck, which a side with a single setting does not have.
 */
export function bestSetting(turns, better) {
  const settings = turns[0].map((_, i) => turns.map((values) => values[i]));
  const medians = settings.map(median);
  return settings[medians.indexOf(better(...medians))];
}

/** Milliseconds of each of `count` calls after those that warm up. */
export async function timed(call, count, warmUp = 0) {
  const times = [];
  for (let i = -warmUp; i < count; i++) {
    const start = performance.now();
    await call();
    if (i >= 0) times.push(performance.now() - start);
  }
  return times;
}

/**
 * What each side gives in each turn, by name. The order moves on from turn to turn: nobody is always the first one after
 * something else.
 */
export async function inTurns(sides, turns, title) {
  const names = Object.keys(sides);
  const values = Object.fromEntries(names.map((name) => [name, []]));
  for (let turn = 0; turn < turns; turn++) {
    if (title) process.stderr.write(`${title}, turn ${turn + 1} of ${turns}\n`);
    const first = (turn * 2) % names.length;
    for (const name of [...names.slice(first), ...names.slice(0, first)]) values[name].push(await sides[name]());
  }
  return values;
}

/** Sides that may fail: one that did says why in `problems`, and is not asked again. */
export function guarded(sides) {
  const problems = {};
  const guard = async (name, run) => {
    if (problems[name] !== undefined) return undefined;
    try {
      return await run();
    } catch (error) {
      problems[name] = error.message.split("\n")[0];
      return undefined;
    }
  };
  const calls = Object.entries(sides).map(([name, run]) => [name, () => guard(name, run)]);
  return { sides: Object.fromEntries(calls), problems };
}
