/**
 * Low-rank adapters: W stays as it is, and s B A with few parameters is trained beside it (LoRA: Low-Rank Adaptation of
 * Large Language Models, 2021). Several adapters share one base:
 *
 *   const adapters = lora(model, { name: "tone", rank: 8 });   // model.parameters() are now A and B alone
 *   adapters.use("tone"); adapters.use(undefined);             // with it, without it; nothing is compiled again
 *   await adapters.merge(); adapters.strip();                  // a plain model with W + s B A
 */
import { type AnyModule, Linear, rewrite, uninitialized } from "../nn/index.js";
import { type CompileOptions, compile } from "../runtime/index.js";
import { fail, formatShape, NDArray, sameShape, structureChanged, Variable } from "../tensor/index.js";
import { LoraLinear, type LoraSettings, plainLinear } from "./lora-linear.js";
import { byPattern, type Targets, targetLayers } from "./targets.js";

export interface LoraOptions {
  /** Letters, digits, `_` and `-` (default "default"). */
  readonly name?: string;
  /** Width r of the adapter (default 8). */
  readonly rank?: number;
  /** Strength α (default 8): B A is scaled by α / r. */
  readonly alpha?: number;
  /** On the adapter's input while it is trained (default 0). */
  readonly dropout?: number;
  /** Default "all-linear". */
  readonly targets?: Targets;
  /** Scale by α / √r, so that a large rank learns as fast (default false). */
  readonly rslora?: boolean;
  /** Other ranks and α by the end of a path, as PEFT's `rank_pattern`: `{ "layers.0.mlp.up_proj": 4 }`. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Of A's first values (default 0). */
  readonly seed?: number;
}

/**
 * Put an adapter on a model's linear layers, in use and to be trained; the base, and adapters already there, are frozen
 * and cost neither gradient nor moments. Changes the model; a model that is itself a Linear is replaced, see `.model`.
 * Throws for a name that is taken, targets that match nothing, ranks that are not positive, and a merged model.
 */
export function lora<M extends AnyModule>(model: M, options: LoraOptions = {}): Lora<M> {
  const { name = "default", rank = 8, alpha = 8, dropout = 0, rslora = false, seed = 0 } = options;
  const { targets = "all-linear", rankPattern = {}, alphaPattern = {} } = options;
  const before = new Lora(model);
  before.requireUnmerged("lora");
  if (!/^[A-Za-z0-9][\w-]*$/.test(name))
    fail("argument", `lora: "${name}" is no name for an adapter; use letters, digits, _ and -`);
  if (before.names.includes(name))
    fail("argument", `lora: there is already an adapter named "${name}"; delete("${name}") first, or choose another`);
  const layers = targetLayers(model, targets);
  const settings = new Map(
    Array.from(layers.keys(), (path) => {
      const own = { rank: byPattern(path, rankPattern, rank), alpha: byPattern(path, alphaPattern, alpha) };
      return [path, checked({ ...own, dropout, rslora }, path)] as const;
    }),
  );
  for (const variable of model.namedVariables().values()) freezeBase(variable);
  const active = new Variable(NDArray.from(1), { trainable: false });
  const adapted = new Map<Linear, LoraLinear>();
  for (const [path, layer] of layers) {
    const wrapped = layer instanceof LoraLinear ? layer : uninitialized(() => new LoraLinear(layer));
    wrapped.add(name, settings.get(path) as LoraSettings, active, { seed, site: `${path}.lora_A.${name}` });
    adapted.set(layer, wrapped);
  }
  const handle = new Lora(rewrite(model, (module) => (module instanceof Linear ? adapted.get(module) : undefined)));
  handle.use(name, { train: true });
  return handle;
}

/** What can be done with the adapters of a model. It keeps nothing itself: `new Lora(model)` gives another handle. */
export class Lora<M extends AnyModule = AnyModule> {
  constructor(public model: M) {}

  /** Layers with adapters, by path. */
  get layers(): Map<string, LoraLinear> {
    const all = [...this.model.namedModules()];
    return new Map(all.filter((entry): entry is [string, LoraLinear] => entry[1] instanceof LoraLinear));
  }

  get names(): string[] {
    return [...new Set([...this.layers.values()].flatMap(({ adapters }) => adapters))];
  }

  /** Adapters in use. Read from the model's state, so it is right after a resume. */
  async active(): Promise<string[]> {
    const switches = [...this.switches()];
    const on = await Promise.all(switches.map(async ([, variable]) => (await variable.data()).item() !== 0));
    return switches.flatMap(([name], i) => (on[i] ? [name] : []));
  }

  /**
   * Use these adapters, added up, and no others; undefined: the base alone. Compiled programs go on, unless what is to
   * be trained changes: with `train` the adapters in use (default: none). Adapters not in use still cost their two thin
   * products; delete those that are done with. Throws for unknown names and a merged model.
   */
  use(names: string | readonly string[] | undefined, { train = false }: { readonly train?: boolean } = {}): void {
    this.requireUnmerged("use");
    const chosen = new Set(names === undefined ? [] : typeof names === "string" ? [names] : names);
    for (const name of chosen) this.require(name);
    for (const [name, variable] of this.switches()) variable.set(chosen.has(name) ? 1 : 0);
    this.train((name) => train && chosen.has(name));
  }

  /**
   * W ← W + s B A for the adapters in use: no cost at inference. Runs on the device that `options` choose. Throws where
   * adapters are merged already, and where none is in use.
   */
  async merge(options: CompileOptions = {}): Promise<void> {
    this.requireUnmerged("merge");
    const names = await this.active();
    if (names.length === 0) fail("argument", "merge: no adapter is in use; use(name) first");
    await this.fold(() => names, 1, options);
    for (const [name, variable] of this.switches()) if (names.includes(name)) variable.set(0);
    this.train(() => false);
  }

  /** Back to W and adapters beside it, as before `merge` but for rounding. Throws where nothing is merged. */
  async unmerge(options: CompileOptions = {}): Promise<void> {
    const merged = this.merged();
    if (merged.size === 0) fail("argument", "unmerge: no adapter is merged");
    await this.fold((layer) => Object.keys(layer.merged), -1, options);
    for (const [name, variable] of this.switches()) if (merged.has(name)) variable.set(1);
    this.train((name) => merged.get(name) === true);
  }

  /** Take an adapter away; a layer without any is a plain `Linear` again. Throws for unknown names and when merged. */
  delete(name: string): void {
    this.requireUnmerged("delete");
    this.require(name);
    for (const layer of this.layers.values()) layer.delete(name);
    this.unwrap(({ adapters }) => adapters.length === 0);
  }

  /** Take all adapters away: the plain model with W as it is now, merged or not, and trainable as before `lora`. */
  strip(): M {
    this.unwrap(() => true);
    return this.model;
  }

  /** An adapter's A and B as `<path>.lora_A.weight`, `<path>.lora_B.weight`. */
  async stateDict(name: string): Promise<Map<string, NDArray>> {
    const entries = Array.from(this.variablesOf(name), async ([path, v]) => [path, await v.data()] as const);
    return new Map(await Promise.all(entries));
  }

  /** Load an adapter's A and B. Throws, naming them, where some are missing, left over or of another shape. */
  loadStateDict(name: string, values: ReadonlyMap<string, NDArray>): void {
    const variables = this.variablesOf(name);
    const wrong = [
      ...[...variables.keys()].filter((path) => !values.has(path)).map((path) => `${path} is missing`),
      ...[...values.keys()].filter((path) => !variables.has(path)).map((path) => `${path} is not in the adapter`),
      ...[...variables].flatMap(([path, { shape }]) => {
        const value = values.get(path);
        return !value || sameShape(value.shape, shape)
          ? []
          : [`${path} is ${formatShape(value.shape)}, expected ${formatShape(shape)}`];
      }),
    ];
    if (wrong.length > 0)
      fail(
        "file",
        `adapter "${name}": ${wrong.slice(0, 5).join("; ")}${wrong.length > 5 ? `; … (${wrong.length})` : ""}`,
      );
    for (const [path, variable] of variables) variable.set(values.get(path) as NDArray);
  }

  /** The model's values without the adapters': as the base would give them. */
  async baseStateDict(): Promise<Map<string, NDArray>> {
    const own = this.adapterVariables();
    const base = [...this.model.namedVariables()].filter(([, variable]) => !own.has(variable));
    return new Map(await Promise.all(base.map(async ([path, variable]) => [path, await variable.data()] as const)));
  }

  /** Load the base's values and keep the adapters. Throws as `Module.loadStateDict` does. */
  async loadBaseStateDict(values: ReadonlyMap<string, NDArray>): Promise<void> {
    this.requireUnmerged("loadBaseStateDict");
    const own = this.adapterVariables();
    const kept = [...this.model.namedVariables()].filter(([, variable]) => own.has(variable));
    const current = await Promise.all(kept.map(async ([path, variable]) => [path, await variable.data()] as const));
    this.model.loadStateDict(new Map([...values, ...current]));
  }

  /** Throws for a name that no adapter has. */
  require(name: string): void {
    if (!this.names.includes(name))
      fail("argument", `lora: there is no adapter named "${name}"; there are: ${this.names.join(", ") || "none"}`);
  }

  /** Throws where adapters are merged into the weights. */
  requireUnmerged(what: string): void {
    const merged = [...this.merged().keys()];
    if (merged.length > 0)
      fail(
        "argument",
        `${what}: ${merged.map((name) => `"${name}"`).join(", ")} is merged into the weights; unmerge() first`,
      );
  }

  private unwrap(which: (layer: LoraLinear) => boolean): void {
    const done = [...this.layers.values()].filter(which);
    const plain = new Map<AnyModule, Linear>(done.map((layer) => [layer, plainLinear(layer)]));
    this.model = rewrite(this.model, (module) => plain.get(module));
    if (this.layers.size > 0) return;
    for (const variable of this.model.namedVariables().values())
      if (frozenHere.delete(variable)) variable.trainable = true;
  }

  private merged(): Map<string, boolean> {
    return new Map([...this.layers.values()].flatMap(({ merged }) => Object.entries(merged)));
  }

  private switches(): Map<string, Variable> {
    return new Map([...this.layers.values()].flatMap(({ lora_active }) => Object.entries(lora_active)));
  }

  private variablesOf(name: string): Map<string, Variable> {
    this.require(name);
    const own = [...this.layers].filter(([, layer]) => layer.adapters.includes(name));
    return new Map(
      own.flatMap(([path, layer]) =>
        layer.variables(name).map((variable, i) => [`${path}.lora_${"AB"[i]}.weight`, variable] as const),
      ),
    );
  }

  private adapterVariables(): Set<Variable> {
    const layers = [...this.layers.values()];
    const matrices = layers.flatMap((layer) => layer.adapters.flatMap((name) => layer.variables(name)));
    return new Set([...matrices, ...this.switches().values()]);
  }

  private train(which: (name: string) => boolean): void {
    let changed = false;
    for (const layer of this.layers.values())
      for (const name of layer.adapters)
        for (const variable of layer.variables(name)) {
          changed ||= variable.trainable !== which(name);
          variable.trainable = which(name);
        }
    if (changed) structureChanged();
  }

  /** One layer after the other, so that no more than one copy of a weight is held beside the model. */
  private async fold(which: (layer: LoraLinear) => string[], sign: 1 | -1, options: CompileOptions): Promise<void> {
    for (const layer of this.layers.values()) {
      const names = which(layer).filter((name) => layer.adapters.includes(name));
      if (names.length === 0) continue;
      const program = compile(() => {
        const sum = names.map((name) => layer.delta(name)).reduce((a, b) => a.add(b));
        layer.weight.assign(sign > 0 ? layer.weight.add(sum) : layer.weight.sub(sum));
        return {};
      }, options);
      try {
        await program({});
      } finally {
        await program.release();
      }
      const trained = names.map((name) => [name, layer.variables(name).some(({ trainable }) => trainable)] as const);
      layer.merged = sign > 0 ? Object.fromEntries(trained) : {};
    }
  }
}

/** Variables of bases that `lora` froze, to be trained again once the adapters are gone. */
const frozenHere = new WeakSet<Variable>();

function freezeBase(variable: Variable): void {
  if (!variable.trainable) return;
  variable.trainable = false;
  frozenHere.add(variable);
}

function checked(settings: LoraSettings, path: string): LoraSettings {
  const { rank, alpha, dropout } = settings;
  if (!Number.isInteger(rank) || rank < 1)
    fail("argument", `lora: expected a rank that is a positive whole number, got ${rank} for ${path}`);
  if (!Number.isFinite(alpha)) fail("argument", `lora: expected alpha to be a number, got ${alpha} for ${path}`);
  if (!(dropout >= 0 && dropout < 1)) fail("argument", `lora: dropout must be in [0, 1), got ${dropout}`);
  return settings;
}
