/**
 * Errors are sentences: what was expected, what came, where, what to do.
 * Every error this library throws on purpose is a `LayerwiseError`; `code` says which kind.
 */
export class LayerwiseError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "LayerwiseError";
    this.code = code;
  }
}

export type ErrorCode =
  | "shape" // shapes that do not fit together
  | "dtype" // element types that do not fit together
  | "argument" // a value outside what a function accepts
  | "gradient" // something that has no gradient
  | "trace" // a construct that is not allowed while, or outside of, tracing
  | "variable" // assignment or loading of variables
  | "backend" // an engine that is missing, fails, or computes wrong numbers
  | "file" // a file that is missing, broken or hostile
  | "config" // a configuration that does not validate
  | "numeric" // a number that is not finite
  | "conversion"; // a model that cannot be converted as asked

export function fail(code: ErrorCode, message: string, options?: ErrorOptions): never {
  throw new LayerwiseError(code, message, options);
}
