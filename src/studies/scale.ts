/** How large a study is. */
import type { Scale } from "./laboratory.js";

/** The models of the papers' sheets: about half a million parameters in the blocks. */
const model = { layers: 12, width: 64, heads: 4, hidden: 168, context: 64, batch: 8 } as const;

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** About four minutes on two cores. */
export const fullScale: Scale = { ...model, steps: 300, seeds: count(3), initialSeeds: count(10) };

/** Under one minute: enough to see everything work, too short and too few seeds to decide what needs training. */
export const quickScale: Scale = { ...model, layers: 6, steps: 50, seeds: count(1), initialSeeds: count(5) };
