// The public API as data, read from the declarations in dist by the compiler that wrote them. TypeDoc (0.28) takes no
// TypeScript above 6, and version 7 has no other programming interface than this one, which it calls unstable: all of it
// that is used is used here, and the lock file holds the compiler's version.
import { fileURLToPath } from "node:url";
import { SyntaxKind } from "typescript/unstable/ast";
import { API, NodeBuilderFlags, SymbolFlags } from "typescript/unstable/sync";

const root = fileURLToPath(new URL("../../", import.meta.url));
const config = `${root}dist/tsconfig.json`;

/**
 * @typedef {object} Entry One exported name.
 * @property {string} name as a program writes it: "nn.rmsNorm"
 * @property {string[]} others further names of the same thing
 * @property {string} source its file: "src/nn/norm/rms-norm.ts"
 * @property {number} position where in the declarations of that file
 * @property {string} doc its docstring
 * @property {string} code its declaration, without what is private
 */

/**
 * What the entry for Node exports, by file and place, and the methods that the families give to `Tensor`.
 * @returns {{ entries: Entry[], methods: Entry[] }}
 */
export function publicApi() {
  // A configuration that exists in memory only: the declarations, not the sources, have their types written out.
  const options = { module: "nodenext", target: "es2022", strict: true, skipLibCheck: true, types: ["node"] };
  const virtual = JSON.stringify({ compilerOptions: { ...options, noEmit: true }, files: ["index.d.ts"] });
  const api = new API({
    cwd: root,
    fs: {
      readFile: (path) => (path === config ? virtual : undefined),
      fileExists: (path) => (path === config ? true : undefined),
    },
  });
  try {
    const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
    const entry = project?.program.getSourceFile(`${root}dist/index.d.ts`);
    if (!entry) throw new Error("dist/index.d.ts: expected the built package there; run `npm run build` first");
    const found = new Map();
    visit(project.checker, project.checker.getSymbolAtLocation(entry), "", (name, symbol) => {
      const known = found.get(symbol.id);
      if (known) known.others.push(name);
      else found.set(symbol.id, { symbol, name, others: [] });
    });
    const entries = [...found.values()].map((item) => describe(project, item)).sort(byPlace);
    return { entries, methods: tensorMethods(project, found) };
  } finally {
    api.close();
  }
}

const byPlace = (a, b) => (a.source === b.source ? a.position - b.position : a.source < b.source ? -1 : 1);

/** The names of a module, then those of the namespaces in it. */
function visit(checker, module, prefix, found) {
  const spaces = [];
  for (const exported of checker.getExportsOfModule(module)) {
    const symbol = exported.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    if (symbol.flags & SymbolFlags.ValueModule) spaces.push([`${prefix}${exported.name}.`, symbol]);
    else found(`${prefix}${exported.name}`, symbol);
  }
  for (const [inner, symbol] of spaces) visit(checker, symbol, inner, found);
}

const sourceOf = (path) =>
  path
    .slice(root.length)
    .replace(/^dist\//, "src/")
    .replace(/\.d\.ts$/, ".ts");

function describe(project, { symbol, name, others }) {
  const [first] = symbol.declarations;
  // Overloads, and a type beside a value; not what other files add to it.
  const here = symbol.declarations.filter(({ path }) => path === first.path).map((handle) => handle.resolve(project));
  const statements = here.map(statementOf);
  return {
    name,
    others,
    source: sourceOf(first.path),
    position: statements[0].pos,
    doc: symbol.getDocumentationComment(project.checker),
    code: statements.map(declarationText).join("\n"),
  };
}

/** `x: number` is two levels below `export declare const x: number;`. */
const statementOf = (node) => (node.kind === SyntaxKind.VariableDeclaration ? node.parent.parent : node);

function declarationText(node) {
  return node
    .getText()
    .replace(/^export (?:default )?(?:declare )?/, "")
    .replace(/^ *(?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*)?private [^;]*;\n/gm, "")
    .replace(/^ *#private;\n/gm, "")
    .replaceAll("    ", "  ");
}

/** `interface Tensor extends MethodsOf<typeof methods>` in each family: written out, with the doc of the function behind. */
function tensorMethods(project, found) {
  const { checker, program } = project;
  const { symbol } = [...found.values()].find(({ name }) => name === "Tensor");
  const docs = new Map();
  const functionsOf = (path) => {
    if (!docs.has(path)) {
      const module = checker.getSymbolAtLocation(program.getSourceFile(path));
      docs.set(path, new Map(checker.getExportsOfModule(module).map((item) => [item.name, item])));
    }
    return docs.get(path);
  };
  return checker
    .getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))
    .filter((property) => !property.declarations[0].path.endsWith("/tensor/tensor.d.ts"))
    .map((property) => {
      const [handle] = property.declarations;
      const node = handle.resolve(project);
      const behind = /typeof (\w+)/.exec(node.getText())?.[1] ?? property.name;
      const type = checker.typeToString(checker.getTypeOfSymbol(property), undefined, NodeBuilderFlags.NoTruncation);
      return {
        name: `Tensor.${property.name}`,
        others: [],
        source: sourceOf(handle.path),
        position: node.pos,
        doc:
          property.getDocumentationComment(checker) ||
          (functionsOf(handle.path).get(behind)?.getDocumentationComment(checker) ?? ""),
        code: `${property.name}${plainSignature(type)};`,
      };
    });
}

/** `(axes?: Axes | undefined, rest_1?: …) => Tensor` as a method: `(axes?: Axes, options?: …): Tensor`. */
const plainSignature = (type) =>
  type
    .replace(/ => (?=[^=]*$)/, ": ")
    .replace(/rest_\d+/g, "options")
    .replaceAll(" | undefined", "");
