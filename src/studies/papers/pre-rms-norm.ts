/** Pre-RMSNorm and Pre-CRMSNorm: the same function, the same training, cheaper norms. */
import { type GPT, gpt } from "../../models/index.js";
import { LayerNorm, RMSNorm, rewrite, toPreCRMSNorm, toPreRMSNorm, trainAsPreRMSNorm } from "../../nn/index.js";
import { adam } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import {
  crossEntropy,
  grad,
  NDArray,
  normalArray,
  philoxNormal,
  philoxUniform,
  type Tensor,
} from "../../tensor/index.js";
import { exact, judge } from "../judge.js";
import type { Laboratory } from "../laboratory.js";
import { countVerdicts, type PaperStudy } from "../study.js";

const trainingSteps = 50;
const difference = "largest difference of logits, relative to the largest logit";

export const study: PaperStudy = {
  paper: "pre-rms-norm",
  title: "Pre-RMSNorm and Pre-CRMSNorm: one function, three forms",
  summary: countVerdicts,
  limits: [
    "The paper's gain is 1 to 10 % of a whole model's time on accelerators; on two processor cores that is within the noise, so the whole model's ratio is shown and not judged.",
  ],
  async run(context) {
    const laboratory = await context.laboratory();
    const equality = await conversions(laboratory);
    const curves = await trainedAlike(laboratory);
    const times = await timeNorms();
    const claims = [
      exact({
        claim: "Converted to Pre-RMSNorm, a model gives the same outputs",
        metric: difference,
        label: "Pre-RMSNorm",
        values: equality.map((e) => e.rms),
        limit: 1e-5,
      }),
      exact({
        claim: "Converted to Pre-CRMSNorm, a stream one entry narrower, too",
        metric: difference,
        label: "Pre-CRMSNorm",
        values: equality.map((e) => e.crms),
        limit: 1e-5,
      }),
      judge({
        claim: "The algebra matters: replacing LayerNorm by RMSNorm alone changes the outputs",
        metric: difference,
        baseline: ["noticeable", [1e-2]],
        measured: ["RMSNorm alone", equality.map((e) => e.naive)],
        effect: equality.map((e) => Math.log(e.naive / 1e-2)),
        test: "log of the difference against log 0.01",
      }),
      exact({
        claim: `Trained in the re-parametrised form, ${trainingSteps} steps give the same losses`,
        metric: "largest difference of losses (nats)",
        label: "Pre-RMSNorm",
        values: curves,
        limit: 1e-4,
      }),
      judge({
        claim: "RMSNorm is not slower than LayerNorm",
        metric: "microseconds for a norm of [512, 768], alone",
        baseline: ["LayerNorm", times.map((t) => t.layer)],
        measured: ["RMSNorm", times.map((t) => t.rms)],
        effect: times.map((t) => Math.log(t.layer / t.rms)),
        test: "log ratio, over repeated timings in turns",
      }),
    ];
    return { setup: laboratory.setup(), claims, sections: [] };
  },
};

/** A GPT-2-shaped model with random gains and biases and a deliberate mean in its weights, so that nothing is trivial. */
function roughModel({ scale, data }: Laboratory, seed: number): GPT {
  const { width, heads, context } = scale;
  const model = gpt({
    layers: 4,
    width,
    heads,
    context,
    vocabulary: data.vocabulary,
    norm: "layer",
    mlp: "gelu",
    positions: "learned",
    bias: true,
    tieEmbeddings: true,
    seed,
  });
  for (const [path, variable] of model.namedVariables()) {
    const noise = philoxNormal({ seed, site: `rough ${path}` }, variable.size);
    const centre = path.endsWith("norm.weight") ? 1 : 0.05;
    variable.set(
      new NDArray(
        noise.map((z) => centre + 0.2 * z),
        variable.shape,
        "float32",
      ),
    );
  }
  return model;
}

async function conversions(laboratory: Laboratory) {
  const results = [];
  for (const seed of laboratory.scale.initialSeeds) {
    laboratory.signal?.throwIfAborted();
    const model = roughModel(laboratory, seed);
    const input = NDArray.from(
      philoxUniform({ seed, site: "input" }, 64).map((u) => Math.floor(u * laboratory.data.vocabulary)),
      "int32",
      [2, 32],
    );
    const options = { input, verify: false };
    const [rms, crms] = [(await toPreRMSNorm(model, options)).model, (await toPreCRMSNorm(model, options)).model];
    const [expected, ...outputs] = await logits([model, rms, crms], input);
    const [naive] = await logits([await withoutAlgebra(model)], input);
    const difference = (values: Float32Array) => {
      const largest = (expected as Float32Array).reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      return (
        values.reduce((m, v, i) => Math.max(m, Math.abs(v - ((expected as Float32Array)[i] as number))), 0) / largest
      );
    };
    results.push({
      rms: difference(outputs[0] as Float32Array),
      crms: difference(outputs[1] as Float32Array),
      naive: difference(naive as Float32Array),
    });
  }
  return results;
}

async function logits(models: readonly GPT[], input: NDArray): Promise<Float32Array[]> {
  const program = compile(({ tokens }: { tokens: Tensor }) =>
    Object.fromEntries(models.map((model, i) => [`logits${i}`, model.apply(tokens)])),
  );
  const results: Readonly<Record<string, NDArray>> = await program({ tokens: input });
  await program.release();
  return models.map((_, i) => (results[`logits${i}`] as NDArray).data as Float32Array);
}

/** The model with an RMSNorm of the same gain wherever it has a LayerNorm: what one must not do. */
async function withoutAlgebra(model: GPT): Promise<GPT> {
  const gains = await model.stateDict();
  return rewrite(model, (module, path) => {
    if (!(module instanceof LayerNorm)) return undefined;
    const norm = new RMSNorm(module.namedVariables().get("weight")?.size ?? 1, { eps: module.eps });
    norm.loadStateDict(new Map([["weight", gains.get(`${path}.weight`) as NDArray]]));
    return norm;
  });
}

/** Largest difference of losses, step by step, between a Pre-LN model and its re-parametrised twin. */
async function trainedAlike(laboratory: Laboratory): Promise<number[]> {
  const { scale, data } = laboratory;
  const build = (seed: number) =>
    gpt({
      layers: 2,
      width: scale.width,
      heads: scale.heads,
      context: scale.context,
      vocabulary: data.vocabulary,
      norm: "layer",
      mlp: "gelu",
      positions: "learned",
      bias: true,
      seed,
    });
  const results: number[] = [];
  for (const seed of scale.initialSeeds.slice(0, 3)) {
    const [plain, twin] = [trainer(build(seed)), trainer(trainAsPreRMSNorm(build(seed)))];
    let largest = 0;
    for await (const { tokens, targets } of data.batches({ size: 4, steps: trainingSteps, seed })) {
      laboratory.signal?.throwIfAborted();
      const [a, b] = [await plain({ tokens, targets }), await twin({ tokens, targets })];
      largest = Math.max(largest, Math.abs(a.loss.item() - b.loss.item()));
    }
    await Promise.all([plain.release(), twin.release()]);
    results.push(largest);
  }
  return results;
}

function trainer(model: GPT) {
  const parameters = model.parameters();
  const optimizer = adam(parameters, { learningRate: 1e-3 });
  return compile(({ tokens, targets }: { tokens: Tensor; targets: Tensor }) => {
    const loss = crossEntropy(model.apply(tokens), targets);
    optimizer.update(grad(loss, parameters));
    return { loss };
  });
}

/** Both norms in turns, so that a machine that slows down slows down for both; the median of each turn. */
async function timeNorms(turns = 10, repeats = 40): Promise<{ layer: number; rms: number }[]> {
  const x = normalArray({ seed: 0, site: "timing" }, [512, 768]);
  const stacked = 16; // one run of a tiny program costs as much as a norm, so each run does several
  const chain = (norm: (y: Tensor) => Tensor) =>
    compile(({ x }: { x: Tensor }) => ({
      y: Array.from({ length: stacked })
        .reduce<Tensor>((y) => norm(y), x)
        .slice({ end: 1 }),
    }));
  const [layer, rms] = [chain((y) => y.layerNorm()), chain((y) => y.rmsNorm())];
  const time = async (program: typeof layer) => {
    const samples: number[] = [];
    for (let i = 0; i < repeats; i++) {
      const start = performance.now();
      await program({ x });
      samples.push(((performance.now() - start) * 1000) / stacked);
    }
    return samples.sort((a, b) => a - b)[Math.floor(repeats / 2)] as number;
  };
  await time(layer);
  await time(rms);
  const results = [];
  for (let turn = 0; turn < turns; turn++) results.push({ layer: await time(layer), rms: await time(rms) });
  await Promise.all([layer.release(), rms.release()]);
  return results;
}
