/** Advice that is not an error: printed once per text, or given to a listener of your own. */
export type WarningListener = (message: string) => void;

const said = new Set<string>();
const printOnce: WarningListener = (message) => {
  if (!said.has(message)) console.warn(`layerwise: ${message}`);
  said.add(message);
};
let listener = printOnce;

export const warn = (message: string): void => listener(message);

/** Send warnings to `next` (default: print each text once); gives back the listener before it. */
export function onWarning(next: WarningListener = printOnce): WarningListener {
  const before = listener;
  listener = next;
  return before;
}
