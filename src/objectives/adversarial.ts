/**
 * Losses of two networks against each other, from the discriminator's logits z (before its sigmoid D = σ(z), so that no
 * logarithm of 0 arises), of any shape, averaged:
 *
 *   discriminator:  (BCE(D(real), 1) + BCE(D(fake), 0)) / 2 = (mean softplus(−z_real) + mean softplus(z_fake)) / 2
 *   generator, non-saturating:  BCE(D(fake), 1) = mean softplus(−z_fake)
 *
 * Source: "Generative Adversarial Nets", 2014.
 */
import type { Tensor } from "../tensor/index.js";

/** `fake` from images that the generator made, as constants: `discriminator.logits(stopGradient(pred))`. */
export const discriminatorLoss = (real: Tensor, fake: Tensor): Tensor =>
  real.neg().softplus().mean().add(fake.softplus().mean()).mul(0.5);

export const generatorLoss = (fake: Tensor): Tensor => fake.neg().softplus().mean();
