/** What layers of a model contribute: angular distances, block influence, variance, and the loss without each block. */
import {
  angularDistance,
  blockInfluence,
  dropEffect,
  hiddenStates,
  layerStatistics,
  normalizeRows,
} from "../../inspect/index.js";
import { tolerance } from "./case.js";
import type { GoldenKind } from "./index.js";
import { load, nextTokens } from "./language-model.js";

export const diagnostics: GoldenKind = {
  matches: (file) => file.has("input_ids", "hidden_states", "angular_distance_last_token"),
  run: async (file) => {
    const model = load(file);
    const batch = nextTokens(file.take("input_ids"));
    const states = await hiddenStates(model, batch.tokens);
    file.compare("hidden_states", states);
    const angles = angularDistance(states);
    file.compare("angular_distance_last_token", flat(angles));
    file.compare("angular_distance_row_normalised", flat(normalizeRows(angles)));
    file.compare("block_influence", blockInfluence(states));
    file.compare("residual_variance", (await layerStatistics(model, batch)).variance);
    const { loss, lossWithout, delta } = await dropEffect(model, [batch]);
    file.compare("loss", [loss]);
    file.compare("loss_without_layer", lossWithout);
    file.compare("delta_loss", delta, differenceOf(loss, delta));
  },
};

/** The error of a difference is that of the two losses, however small the difference itself. */
function differenceOf(loss: number, delta: readonly number[]): { tolerance: number; because: string } | undefined {
  const magnification = loss / Math.max(...delta.map(Math.abs));
  if (magnification <= 1) return undefined;
  return { tolerance: tolerance * magnification, because: "relative to the losses whose difference it is" };
}

/** Row by row, −1 where a distance is not defined. */
const flat = (rows: readonly (readonly (number | null)[])[]): number[] => rows.flat().map((value) => value ?? -1);
