import { currentPath } from "../tensor/index.js";

/** `LayerNorm at model.layers.3.input_layernorm`: who speaks in an error of a running model. */
export const at = (name: string): string => (currentPath() ? `${name} at ${currentPath()}` : name);
