/**
 * The GPT of bench/gpt.js in TensorFlow.js, written with its core operations, and its training step with Adam. `tf` is handed
 * in, so that Node and a page run the same. Embeddings are products with one-hot rows: the WebAssembly backend has no
 * kernel for the gradient of a look-up (UnsortedSegmentSum).
 */
export function gptStep(tf, { layers, width, heads, context, batch, vocabulary }, { tokens, targets }) {
  const weight = (shape) => tf.variable(tf.randomNormal(shape, 0, 0.02));
  const vector = (n, value) => tf.variable(tf.fill([n], value));

  // The WebAssembly backend multiplies by a transposed matrix, and many matrices at once, in a loop that is ten times as
  // slow: transposed first and matrix by matrix, the step takes 0.75 s instead of 5.2 (one row of 256 tokens).
  const isWasm = tf.getBackend() === "wasm";
  const transposing = tf.customGrad((x, w, save) => {
    save([x, w]);
    const gradFunc = (dy, [x, w]) => [tf.matMul(dy, tf.transpose(w)), tf.matMul(tf.transpose(x), dy)];
    return { value: tf.matMul(x, w), gradFunc };
  });
  const product = isWasm ? transposing : (x, w) => tf.matMul(x, w);
  const oneByOne = (a, b) => {
    const others = tf.unstack(b);
    return tf.stack(tf.unstack(a).map((x, i) => product(x, others[i])));
  };
  const products = isWasm ? oneByOne : product;

  function dense(inputs, outputs, bias = true) {
    const w = weight([inputs, outputs]);
    const b = bias ? vector(outputs, 0) : undefined;
    return (x) => {
      const y = product(x, w);
      return b ? tf.add(y, b) : y;
    };
  }

  function layerNorm(n) {
    const [gain, bias] = [vector(n, 1), vector(n, 0)];
    return (x) => {
      const { mean, variance } = tf.moments(x, -1, true);
      return tf.add(tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5))), gain), bias);
    };
  }

  function attention(hidden) {
    const [q, k, v, o] = Array.from({ length: 4 }, () => dense(width, width));
    const split = (x) =>
      tf.reshape(tf.transpose(tf.reshape(x, [batch, context, heads, width / heads]), [0, 2, 1, 3]), [
        -1,
        context,
        width / heads,
      ]);
    return (x) => {
      const scores = tf.mul(products(split(q(x)), tf.transpose(split(k(x)), [0, 2, 1])), 1 / Math.sqrt(width / heads));
      const mixed = tf.reshape(products(tf.softmax(tf.add(scores, hidden)), split(v(x))), [
        batch,
        heads,
        context,
        width / heads,
      ]);
      return o(tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * context, width]));
    };
  }

  const gelu = (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));

  function block(hidden) {
    const [norm1, mix, norm2] = [layerNorm(width), attention(hidden), layerNorm(width)];
    const [up, down] = [dense(width, 4 * width), dense(4 * width, width)];
    return (x) => {
      const y = tf.add(x, mix(norm1(x)));
      return tf.add(y, down(gelu(up(norm2(y)))));
    };
  }

  const hidden = tf.tensor2d(
    Float32Array.from({ length: context ** 2 }, (_, i) => (i % context > Math.floor(i / context) ? -1e9 : 0)),
    [context, context],
  );
  const oneHot = (ids) => tf.cast(tf.oneHot(tf.tensor1d(ids, "int32"), vocabulary), "float32");
  const [inputs, labels] = [oneHot(tokens), oneHot(targets)];
  const [table, places] = [weight([vocabulary, width]), weight([context, width])];
  const blocks = Array.from({ length: layers }, () => block(hidden));
  const [last, head] = [layerNorm(width), dense(width, vocabulary, false)];
  const loss = () => {
    const embedded = tf.reshape(product(inputs, table), [batch, context, width]);
    const stream = tf.reshape(tf.add(embedded, places), [batch * context, width]);
    const logits = head(last(blocks.reduce((x, layer) => layer(x), stream)));
    return tf.losses.softmaxCrossEntropy(labels, logits);
  };
  const parameters = Object.values(tf.engine().state.registeredVariables).reduce((sum, { size }) => sum + size, 0);
  const optimizer = tf.train.adam(1e-3);
  return {
    parameters,
    async step() {
      const value = optimizer.minimize(loss, true);
      const [number] = await value.data();
      value.dispose();
      return number;
    },
  };
}
