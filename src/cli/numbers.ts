/** Numbers on the command line. */
import { InvalidArgumentError } from "commander";

export function wholeNumber(value: string): number {
  const n = Number(value);
  if (value.trim() === "" || !Number.isSafeInteger(n) || n < 0)
    throw new InvalidArgumentError("expected a whole number of at least 0.");
  return n;
}

export function number(value: string): number {
  const n = Number(value);
  if (value.trim() === "" || !Number.isFinite(n)) throw new InvalidArgumentError("expected a number.");
  return n;
}
