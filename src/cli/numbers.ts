/** Numbers on the command line. */
import { InvalidArgumentError } from "commander";

const from =
  (least: number) =>
  (value: string): number => {
    const n = Number(value);
    if (value.trim() === "" || !Number.isSafeInteger(n) || n < least)
      throw new InvalidArgumentError(`expected a whole number of at least ${least}.`);
    return n;
  };
export const wholeNumber = from(0);
export const positiveNumber = from(1);

export function number(value: string): number {
  const n = Number(value);
  if (value.trim() === "" || !Number.isFinite(n)) throw new InvalidArgumentError("expected a number.");
  return n;
}
