/**
 * What is used of `@huggingface/jinja`, an interpreter over its own values: it evaluates no JavaScript and reaches no
 * prototype. Its declarations name their files without extensions, which Node's module resolution does not find, so
 * the few members needed are declared here.
 */
import * as library from "@huggingface/jinja";

/** A node of the syntax tree, with the members that some kinds have. */
export interface JinjaNode {
  readonly type: string;
  readonly value?: unknown;
  readonly computed?: boolean;
  readonly property?: JinjaNode;
  readonly callee?: JinjaNode;
  readonly filter?: JinjaNode;
  readonly operator?: { readonly value: string };
}

export interface JinjaValue {
  readonly type: string;
  readonly value: unknown;
}

export interface JinjaEnvironment {
  set(name: string, value: unknown): JinjaValue;
}

export interface JinjaInterpreter {
  run(program: JinjaNode): JinjaValue;
  evaluate(node: JinjaNode | undefined, environment: JinjaEnvironment): JinjaValue;
}

interface Library {
  readonly Environment: new () => JinjaEnvironment;
  readonly Interpreter: new (environment: JinjaEnvironment) => JinjaInterpreter;
  readonly tokenize: (source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }) => unknown;
  readonly parse: (tokens: unknown) => JinjaNode;
}

export const { Environment, Interpreter, tokenize, parse } = library as unknown as Library;
