/**
 * The networks of bench/vision.js in TensorFlow.js, written with its core operations: a training step (Adam) of each, and
 * inference of the residual network. `tf` is handed in, so that Node and a page run the same.
 */
export function tasks(tf) {
  const weight = (shape, std = 0.05) => tf.variable(tf.randomNormal(shape, 0, std));
  const vector = (n, value) => tf.variable(tf.fill([n], value));

  function batchNorm(n) {
    const [gain, bias] = [vector(n, 1), vector(n, 0)];
    return (x) => {
      const axes = x.shape.map((_, i) => i).slice(0, -1);
      const { mean, variance } = tf.moments(x, axes);
      return tf.batchNorm(x, mean, variance, bias, gain, 1e-5);
    };
  }

  function conv(inputs, outputs, kernel, stride) {
    const w = weight([kernel, kernel, inputs, outputs]);
    return (x) => tf.conv2d(x, w, stride, "same");
  }

  function dense(inputs, outputs) {
    const [w, b] = [weight([inputs, outputs]), vector(outputs, 0)];
    return (x) => tf.add(tf.reshape(tf.matMul(tf.reshape(x, [-1, inputs]), w), [...x.shape.slice(0, -1), outputs]), b);
  }

  function layerNorm(n) {
    const [gain, bias] = [vector(n, 1), vector(n, 0)];
    return (x) => {
      const { mean, variance } = tf.moments(x, -1, true);
      return tf.add(tf.mul(tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-5))), gain), bias);
    };
  }

  function residual(inputs, outputs, stride) {
    const [c1, b1, c2, b2] = [
      conv(inputs, outputs, 3, stride),
      batchNorm(outputs),
      conv(outputs, outputs, 3, 1),
      batchNorm(outputs),
    ];
    const shortcut = stride !== 1 || inputs !== outputs ? [conv(inputs, outputs, 1, stride), batchNorm(outputs)] : [];
    return (x) => {
      const branch = b2(c2(tf.relu(b1(c1(x)))));
      return tf.relu(
        tf.add(
          branch,
          shortcut.reduce((y, layer) => layer(y), x),
        ),
      );
    };
  }

  function resnet({ stem, stages, classes }) {
    const layers = [conv(3, stem.width, stem.kernel, stem.stride), batchNorm(stem.width), tf.relu];
    if (stem.pool) layers.push((x) => tf.maxPool(x, 3, 2, "same"));
    let width = stem.width;
    for (const { blocks, planes, stride } of stages)
      for (let i = 0; i < blocks; i++) {
        layers.push(residual(width, planes, i === 0 ? stride : 1));
        width = planes;
      }
    layers.push((x) => tf.mean(x, [1, 2]), dense(width, classes));
    return (x) => layers.reduce((y, layer) => layer(y), x);
  }

  function attention(width, heads) {
    const [q, k, v, o] = Array.from({ length: 4 }, () => dense(width, width));
    return (x, mask) => {
      const [B, T] = x.shape;
      const split = (y) => tf.transpose(tf.reshape(y, [B, T, heads, width / heads]), [0, 2, 1, 3]);
      const scores = tf.mul(tf.matMul(split(q(x)), split(k(x)), false, true), 1 / Math.sqrt(width / heads));
      const weights = tf.softmax(mask ? tf.add(scores, mask) : scores);
      return o(tf.reshape(tf.transpose(tf.matMul(weights, split(v(x))), [0, 2, 1, 3]), [B, T, width]));
    };
  }

  function transformerBlock(width, heads, hidden, norm) {
    const [n1, n2, mix, up, down] = [
      norm(width),
      norm(width),
      attention(width, heads),
      dense(width, hidden),
      dense(hidden, width),
    ];
    const gelu = (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
    return (x, mask) => {
      const y = tf.add(x, mix(n1(x), mask));
      return tf.add(y, down(gelu(up(n2(y)))));
    };
  }

  function vit({ size, patch, width, layers, heads, hidden, classes }) {
    const tokens = (size / patch) ** 2;
    const embed = dense(patch * patch * 3, width);
    const rows = size / patch;
    const [token, places] = [weight([1, 1, width]), weight([1, tokens + 1, width])];
    const blocks = Array.from({ length: layers }, () => transformerBlock(width, heads, hidden, layerNorm));
    const [last, head] = [layerNorm(width), dense(width, classes)];
    return (x) => {
      const B = x.shape[0];
      const cut = tf.transpose(tf.reshape(x, [B, rows, patch, rows, patch * 3]), [0, 1, 3, 2, 4]);
      const patches = embed(tf.reshape(cut, [B, tokens, patch * patch * 3]));
      const start = tf.add(tf.concat([tf.tile(token, [B, 1, 1]), patches], 1), places);
      const y = last(blocks.reduce((h, block) => block(h), start));
      return head(tf.reshape(tf.slice(y, [0, 0, 0], [B, 1, width]), [B, width]));
    };
  }

  function graph({ nodes, width, layers, heads, classes }) {
    const embed = dense(16, width);
    const blocks = Array.from({ length: layers }, () => transformerBlock(width, heads, 2 * width, batchNorm));
    const head = dense(width, classes);
    return (x, mask) => {
      const y = blocks.reduce((h, block) => block(h, mask), embed(x));
      return tf.reshape(head(y), [x.shape[0] * nodes, classes]);
    };
  }

  const models = { resnet20: resnet, resnet18: resnet, vit, graph };
  return {
    /** Milliseconds of each of `steps` training steps, after one to warm up. */
    async train(name, size, batch, steps) {
      const model = models[name](size);
      const isGraph = name === "graph";
      const x = tf.randomNormal(isGraph ? [batch, size.nodes, 16] : [batch, size.size, size.size, 3]);
      const mask = isGraph
        ? tf.tidy(() =>
            tf.mul(tf.cast(tf.less(tf.randomUniform([batch, 1, size.nodes, size.nodes]), 0.7), "float32"), -1e9),
          )
        : undefined;
      const count = isGraph ? batch * size.nodes : batch;
      const labels = tf.oneHot(
        tf.tensor1d(
          Array.from({ length: count }, (_, i) => i % size.classes),
          "int32",
        ),
        size.classes,
      );
      const optimizer = tf.train.adam(1e-4);
      const times = [];
      for (let i = 0; i <= steps; i++) {
        const start = performance.now();
        const loss = optimizer.minimize(() => tf.losses.softmaxCrossEntropy(labels, model(x, mask)), true);
        await loss.data();
        if (i > 0) times.push(performance.now() - start);
      }
      return times;
    },
    /** An inference pass as a call. */
    inference(name, size, batch) {
      const model = models[name](size);
      const x = tf.randomNormal([batch, size.size, size.size, 3]);
      return async () => {
        const y = tf.tidy(() => model(x));
        await y.data();
        y.dispose();
      };
    },
  };
}
