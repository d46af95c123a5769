/** Losses and scores for classes of very different sizes. */
import { crossEntropy, fail, type NDArray, oneHot, type Tensor, where } from "../tensor/index.js";

/**
 * Cross-entropy in which a class weighs the less, the more of the batch it is:
 *
 *   w_c = (V − n_c) / V;   loss = Σ w_y · nll / Σ w_y
 *
 * logits [.., C], labels int [..], of which −100 does not count; V labels count, n_c of them of class c. 0 where all are
 * of one class. Source: "Benchmarking Graph Neural Networks", 2020, where it is the loss of the block-model tasks.
 */
export function balancedCrossEntropy(logits: Tensor, labels: Tensor): Tensor {
  const classes = logits.dim(-1);
  const flat = labels.reshape([labels.size]);
  const counts = flat.notEqual(-100);
  const known = where(counts, flat, 0);
  const hot = where(counts.unsqueeze(-1), oneHot(known, classes), 0); // [labels, C]
  const total = counts.cast("float32").sum();
  const weights = hot.mul(total.sub(hot.sum(0)).div(total.maximum(1))).sum(-1); // 0 where a label does not count
  const losses = crossEntropy(logits.reshape([flat.size, classes]), known, { reduction: "none" });
  const sum = weights.sum();
  return losses
    .mul(weights)
    .sum()
    .div(where(sum.greater(0), sum, 1));
}

/**
 * The mean over classes of the share of its members that were told right, of classes that have any; logits [.., C],
 * labels int [..], −100 does not count. Throws where no label counts.
 */
export function balancedAccuracy(logits: NDArray, labels: NDArray): number {
  const classes = logits.shape.at(-1) as number;
  const [right, all] = [new Float64Array(classes), new Float64Array(classes)];
  for (const [i, label] of labels.toNumbers().entries()) {
    if (label === -100) continue;
    const row = Array.from({ length: classes }, (_, c) => logits.at(i * classes + c));
    all[label] = (all[label] as number) + 1;
    if (row.indexOf(Math.max(...row)) === label) right[label] = (right[label] as number) + 1;
  }
  const shares = Array.from(all.keys()).flatMap((c) => (all[c] ? [(right[c] as number) / (all[c] as number)] : []));
  if (shares.length === 0) fail("argument", "balancedAccuracy: expected labels that count, got none");
  return shares.reduce((a, b) => a + b, 0) / shares.length;
}
