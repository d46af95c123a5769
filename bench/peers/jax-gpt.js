/**
 * The GPT of bench/gpt.js in jax-js, and its training step as one jitted function: loss, gradients and Adam. `jax` is handed in, so
 * that Node and a page run the same. Arrays are counted: `.ref` wherever one is used again.
 */
export function gptStep(jax, { layers, width, heads, context, batch, vocabulary }, { tokens, targets }) {
  const { numpy: np, nn, tree } = jax;
  let draws = 0;
  const weight = (shape) => jax.random.normal(jax.random.key(draws++), shape).mul(0.02);
  const dense = (inputs, outputs) => ({ w: weight([inputs, outputs]), b: np.zeros([outputs]) });
  const norm = () => ({ gain: np.ones([width]), bias: np.zeros([width]) });

  const linear = (x, { w, b }) => np.matmul(x, w).add(b);
  const layerNorm = (x, { gain, bias }) => nn.standardize(x, -1, { epsilon: 1e-5 }).mul(gain).add(bias);

  function attention(x, { q, k, v, o }, hidden) {
    const split = (y) => y.reshape([batch, context, heads, width / heads]).transpose([0, 2, 1, 3]);
    const [queries, keys, values] = [split(linear(x.ref, q)), split(linear(x.ref, k)), split(linear(x, v))];
    const scores = np.matmul(queries, keys.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(width / heads));
    const mixed = np.matmul(nn.softmax(scores.add(hidden), -1), values);
    return linear(mixed.transpose([0, 2, 1, 3]).reshape([batch * context, width]), o);
  }

  function block(x, { norm1, mix, norm2, up, down }, hidden) {
    const y = x.ref.add(attention(layerNorm(x, norm1), mix, hidden));
    return y.ref.add(linear(nn.gelu(linear(layerNorm(y, norm2), up), { approximate: false }), down));
  }

  function loss(parameters, inputs, labels, hidden) {
    const { table, places, blocks, last, head } = parameters;
    const embedded = np.matmul(inputs, table).reshape([batch, context, width]).add(places);
    const stream = blocks.reduce((x, own) => block(x, own, hidden.ref), embedded.reshape([batch * context, width]));
    hidden.dispose();
    const logits = np.matmul(layerNorm(stream, last), head);
    return nn
      .logSoftmax(logits, -1)
      .mul(labels)
      .sum()
      .mul(-1 / (batch * context));
  }

  function update(parameters, m, v, rate, inputs, labels, hidden) {
    const [value, gradients] = jax.valueAndGrad(loss)(tree.ref(parameters), inputs, labels, hidden);
    const nextM = tree.map((old, g) => old.mul(0.9).add(g.mul(0.1)), m, tree.ref(gradients));
    const nextV = tree.map((old, g) => old.mul(0.999).add(np.square(g).mul(0.001)), v, gradients);
    // The correction of both moments is in the rate, which is fed.
    const next = tree.map(
      (p, a, b) => p.sub(a.mul(rate.ref).div(np.sqrt(b).add(1e-8))),
      parameters,
      tree.ref(nextM),
      tree.ref(nextV),
    );
    rate.dispose();
    return [value, next, nextM, nextV];
  }

  const oneHot = (ids) => nn.oneHot(np.array(ids, { dtype: np.int32 }), vocabulary);
  const [inputs, labels] = [oneHot(tokens), oneHot(targets)];
  const hidden = np
    .array(Float32Array.from({ length: context ** 2 }, (_, i) => (i % context > Math.floor(i / context) ? -1e9 : 0)))
    .reshape([context, context]);
  let parameters = {
    table: weight([vocabulary, width]),
    places: weight([context, width]),
    blocks: Array.from({ length: layers }, () => ({
      norm1: norm(),
      mix: { q: dense(width, width), k: dense(width, width), v: dense(width, width), o: dense(width, width) },
      norm2: norm(),
      up: dense(width, 4 * width),
      down: dense(4 * width, width),
    })),
    last: norm(),
    head: weight([width, vocabulary]),
  };
  const zeros = () => tree.map((p) => np.zeros(p.shape), parameters);
  let [m, v] = [zeros(), zeros()];
  const jitted = jax.jit(update);
  let steps = 0;
  return {
    parameters: tree.leaves(parameters).reduce((sum, { size }) => sum + size, 0),
    async step() {
      steps++;
      const rate = (1e-3 * Math.sqrt(1 - 0.999 ** steps)) / (1 - 0.9 ** steps);
      let value;
      [value, parameters, m, v] = jitted(parameters, m, v, np.array(rate), inputs.ref, labels.ref, hidden.ref);
      const [number] = await value.data();
      await jax.blockUntilReady([parameters, m, v]);
      return number;
    },
  };
}
