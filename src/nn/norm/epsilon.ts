import { fail } from "../../tensor/errors.js";

/** Every norm's ε must be positive: it is what keeps a constant case finite. */
export function checkEpsilon(where: string, eps: number): number {
  if (!(eps > 0 && Number.isFinite(eps))) fail("argument", `${where}: expected a positive eps, got ${eps}`);
  return eps;
}
