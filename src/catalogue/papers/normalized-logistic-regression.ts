import { entry } from "../paper.js";

export const normalizedLogisticRegression = entry({
  id: "normalized-logistic-regression",
  title: "From Logistic Regression to the Perceptron Algorithm: Exploring Gradient Descent with Large Step Sizes",
  year: 2024,
  link: "https://arxiv.org/abs/2412.08424",
  kind: "inspection",
  summary:
    "Shows that logistic regression with huge gradient steps is the batch perceptron: the loss is large, yet the " +
    "data are separated sooner. Normalising the gradient by one scalar removes the dependence of the iteration " +
    "count on the number of samples.",
  state: "planned",
});
