/**
 * The GPT whose training step is measured: learned positions, pre-LayerNorm, exact GELU, biases, untied head. `layerwise` is
 * handed in where the step is made, so that Node and a page run the same.
 */

/** 11.1 and 25.5 million parameters, and the model of nanoGPT's recipe for characters. */
export const gptSizes = {
  small: { layers: 6, width: 384, heads: 6, context: 256, batch: 8, vocabulary: 512 },
  medium: { layers: 12, width: 416, heads: 8, context: 256, batch: 8, vocabulary: 512 },
  characters: { layers: 4, width: 128, heads: 4, context: 64, batch: 12, vocabulary: 65 },
};

export const titleOf = ({ layers, width, context, batch }) =>
  `${layers} layers of ${width}, ${batch} × ${context} tokens`;

/** The size as bench/peers/pytorch-gpt.py takes it. */
export const sizeArguments = ({ layers, width, heads }) => ["--layers", layers, "--width", width, "--heads", heads];

/** Token numbers, the same for all sides. */
export function gptTokens({ batch, context, vocabulary }) {
  const tokens = Int32Array.from({ length: batch * context }, (_, i) => (i * 7919) % vocabulary);
  return { tokens, targets: tokens.map((id) => (id * 31 + 7) % vocabulary) };
}

/** The gradients' scale where products are in float16, as `fit` finds one. */
const lossScale = 1024;

/** Our step, not yet compiled. */
export function gptStep(layerwise, size, options = {}, precision = "float32") {
  const { autocast, compile, grad, NDArray, nn, optim } = layerwise;
  const { batch, context, ...shape } = size;
  const model = nn.gpt({ ...shape, context, norm: "layer", mlp: "gelu", positions: "learned", bias: true });
  const optimizer = optim.adamW(model.parameters(), { learningRate: 1e-3 });
  const program = compile(({ tokens, targets }) => {
    const forward = () => nn.crossEntropy(model.apply(tokens), targets);
    const isHalf = precision === "float16";
    const loss = isHalf ? autocast("float16", forward) : forward();
    const scale = isHalf ? lossScale : 1; // the compiler leaves out what is multiplied by 1
    optimizer.update(grad(loss.mul(scale), model.parameters()).map((g) => g.mul(1 / scale)));
    return { loss };
  }, options);
  const ids = gptTokens(size);
  const array = (values) => new NDArray(values, [batch, context], "int32");
  const feeds = { tokens: array(ids.tokens), targets: array(ids.targets) };
  return {
    step: async () => (await program(feeds)).loss.item(),
    /** Traces and compiles. */
    prepare: () => program.prepare(feeds),
    release: () => program.release(),
    parameters: model.parameters().reduce((sum, { size }) => sum + size, 0),
    gflops: (model.flopsPerToken() * batch * context) / 1e9,
  };
}
