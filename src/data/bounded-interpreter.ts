import { fail } from "../tensor/errors.js";
import { Interpreter, type JinjaEnvironment, type JinjaNode, type JinjaValue } from "./jinja.js";

/** Bounds on one rendering. Real templates stay far below: a thousand messages take some 300 thousand steps. */
export const bounds = {
  /** Steps; a step handles a node, or 16 characters or one item of what an operation reads and makes. */
  steps: 1 << 21,
  /** Characters of a value, counting an item of a list as 16 and shared parts as often as they would be printed. */
  size: 1 << 23,
  /** Characters one operation could make of what it is given. */
  product: 1 << 27,
  /** Nodes within nodes, macros that call macros among them. */
  depth: 400,
  /** Numbers in a range. */
  range: 100_000,
} as const;

interface Frame {
  /** Size and items of the values of the nodes directly inside. */
  size: number;
  items: number;
  /** Whether the operation repeats one operand for each part of another. */
  readonly multiplies: boolean;
}

const multiplying = new Set(["join", "replace", "indent", "tojson"]);
const scanning = new Set([
  "FilterExpression",
  "FilterStatement",
  "CallExpression",
  "TestExpression",
  "SliceExpression",
]);

/**
 * The interpreter with a limit on everything a template could use to run on or to fill the memory. Limits count work,
 * not time, so a template that passes on one machine passes on all.
 *
 * @throws LayerwiseError "file" naming the template and the limit.
 */
export class BoundedInterpreter extends Interpreter {
  private steps = 0;
  private depth = 0;
  private frame: Frame = { size: 0, items: 0, multiplies: false };
  private readonly sizes = new WeakMap<object, number>();

  constructor(
    environment: JinjaEnvironment,
    private readonly name: string,
    /** Steps that declaring a macro takes: its body is searched. */
    private readonly macroSteps: number,
  ) {
    super(environment);
  }

  override evaluate(node: JinjaNode | undefined, environment: JinjaEnvironment): JinjaValue {
    const outer = this.frame;
    const own: Frame = { size: 0, items: 0, multiplies: multiplies(node) };
    this.spend(node?.type === "Macro" || node?.type === "CallStatement" ? this.macroSteps : 1);
    if (++this.depth > bounds.depth) this.refuse(`nested deeper than ${bounds.depth}; does a macro call itself?`);
    this.frame = own;
    try {
      const value = super.evaluate(node, environment);
      const size = this.sizeOf(value);
      if (node && reads(node, own)) this.spend((own.size + size) / 16);
      this.spend(own.items);
      this.note(outer, value, size);
      return isMethod(node, value) ? this.guarded(value, own.size) : value;
    } finally {
      this.frame = outer;
      this.depth--;
    }
  }

  /** The numbers of Python's `range`. */
  range(start: number, stop?: number, step = 1): number[] {
    const [from, to] = stop === undefined ? [0, start] : [start, stop];
    const count = Math.max(0, Math.ceil((to - from) / step));
    if (!(count <= bounds.range)) this.refuse(`range of ${count} numbers; at most ${bounds.range}`);
    this.spend(count);
    return Array.from({ length: count }, (_, i) => from + i * step);
  }

  private spend(steps: number): void {
    this.steps += steps;
    if (this.steps > bounds.steps) this.refuse(`more than ${bounds.steps} steps; does it end?`);
  }

  /** Adds a value to what the operation around it has been given. */
  private note(frame: Frame, value: JinjaValue, size: number): void {
    if (size > bounds.size) this.refuse(`a value of more than ${bounds.size} characters`);
    if (frame.multiplies) this.checkProduct(frame.size, factor(value, size));
    frame.size += size;
    if (Array.isArray(value.value)) frame.items += value.value.length;
    else if (value.value instanceof Map) frame.items += value.value.size;
  }

  private checkProduct(size: number, by: number): void {
    if (size * by > bounds.product) this.refuse(`an operation that could make ${size * by} characters`);
  }

  /** A method of a text that checks what it is given before it runs. */
  private guarded(method: JinjaValue, size: number): JinjaValue {
    type Method = (args: JinjaValue[], scope: unknown) => JinjaValue;
    const run = method.value as Method;
    const checked: Method = (args, scope) => {
      for (const arg of args) this.checkProduct(size, factor(arg, this.sizeOf(arg)));
      return run(args, scope);
    };
    return new (method.constructor as new (value: Method) => JinjaValue)(checked);
  }

  private sizeOf(value: JinjaValue): number {
    const { value: content, type } = value;
    if (typeof content === "string") return content.length;
    if (typeof content !== "object" || content === null) return 1;
    // A namespace changes, so its size is not remembered, and nothing that remembers its own may hold it.
    if (type === "NamespaceValue") return this.sum(content as Map<string, JinjaValue>);
    const known = this.sizes.get(content);
    if (known !== undefined) return known;
    const size = this.sum(content as JinjaValue[] | Map<string, JinjaValue>);
    this.sizes.set(content, size);
    return size;
  }

  private sum(parts: readonly JinjaValue[] | ReadonlyMap<string, JinjaValue>): number {
    let size = 2;
    for (const [key, part] of parts.entries()) {
      if (part.type === "NamespaceValue") this.refuse("a namespace inside another value");
      size += 16 + (typeof key === "string" ? key.length : 0) + this.sizeOf(part);
    }
    this.spend(size / 16);
    return size;
  }

  private refuse(problem: string): never {
    return fail("file", `${this.name}: the template was stopped: ${problem}`);
  }
}

/** How often a value could repeat another: by its length, or as a count. */
const factor = ({ value }: JinjaValue, size: number): number => (typeof value === "number" ? Math.abs(value) : size);

function multiplies(node: JinjaNode | undefined): boolean {
  const name = node?.filter?.type === "CallExpression" ? node.filter.callee?.value : undefined;
  return typeof name === "string" && multiplying.has(name);
}

/** Whether the work grows with the operands; joining two texts does not copy them. */
const reads = ({ type, operator }: JinjaNode, { items }: Frame): boolean =>
  scanning.has(type) ||
  (type === "BinaryExpression" && ((operator?.value !== "~" && operator?.value !== "+") || items > 0));

/** `text.replace`, under whatever name it is kept and called later. */
const isMethod = (node: JinjaNode | undefined, { type }: JinjaValue): boolean =>
  type === "FunctionValue" &&
  node?.type === "MemberExpression" &&
  (node.computed === true || node.property?.value === "replace");
