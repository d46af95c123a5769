import { entry } from "../paper.js";

export const preRmsNorm = entry({
  id: "pre-rms-norm",
  title: "Pre-RMSNorm and Pre-CRMSNorm Transformers: Equivalent and Efficient Pre-LN Transformers",
  year: 2023,
  link: "https://arxiv.org/abs/2305.14858",
  kind: "placement",
  summary:
    "Converts a pre-norm transformer with LayerNorm into one with RMSNorm, exactly: whatever writes to the " +
    "residual stream is recentred, so the mean to subtract is always zero. A second form stores the stream with " +
    "one feature less.",
  state: "done",
  exports: ["nn.toPreRMSNorm", "nn.toPreCRMSNorm", "nn.trainAsPreRMSNorm", "nn.rmsNorm", "nn.crmsNorm"],
  when: "A Pre-LN model that is there and should run cheaper: same outputs, RMSNorms instead of LayerNorms, exactly.",
  example: `import { nn } from "layerwise";

const model = nn.gpt({ depth: 2, vocabulary: 256, context: 64, norm: "layer", bias: true });
const { model: cheaper } = await nn.toPreRMSNorm(model);
console.log(cheaper.parameters().length);`,
  study: "pre-rms-norm",
});
