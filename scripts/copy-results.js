// The compiler copies no JSON: the recorded results of reproductions go next to the catalogue that reads them.
import { cpSync, existsSync } from "node:fs";

const from = new URL("../src/catalogue/results", import.meta.url);
if (existsSync(from)) cpSync(from, new URL("../dist/catalogue/results", import.meta.url), { recursive: true });
