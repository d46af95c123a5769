/** The documentation as a site: it is built, every link in it leads somewhere, and a browser finds words in it. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as library from "../../src/index.js";
import { chromium, withBrowser } from "../support/browser.js";

const root = join(import.meta.dirname, "../..");
const execute = promisify(execFile);
mkdirSync(join(root, "runs"), { recursive: true });
const site = mkdtempSync(join(root, "runs/site-"));
afterAll(() => rmSync(site, { recursive: true, force: true }));

/** HTML by path. */
const pages = new Map<string, string>();
const attributes = (html: string, name: string): string[] =>
  [...html.matchAll(new RegExp(`<[a-z][^>]*? ${name}="([^"]*)"`, "g"))].map(([, value = ""]) =>
    value.replaceAll("&amp;", "&").replaceAll("&quot;", '"'),
  );

let problems = "";
beforeAll(async () => {
  // Dead links make it fail after everything is written; which ones is told by a test of its own.
  await execute(process.execPath, ["scripts/site/main.js", site], { cwd: root }).catch(
    ({ stderr }: { stderr: string }) => {
      problems = stderr;
    },
  );
  for (const file of readdirSync(site, { recursive: true, encoding: "utf8" }))
    if (file.endsWith(".html")) pages.set(file, readFileSync(join(site, file), "utf8"));
});

describe("the pages", () => {
  it("are built without a complaint", () => {
    expect(problems).toBe("");
    for (const path of ["index.html", "first-program.html", "concepts.html", "api/nn-norm.html", "papers/peri-ln.html"])
      expect([...pages.keys()]).toContain(path);
  });

  it("link to pages and places that exist", () => {
    const ids = new Map([...pages].map(([path, html]) => [path, new Set(attributes(html, "id"))]));
    const files = new Set(readdirSync(site, { recursive: true, encoding: "utf8" }));
    const dead: string[] = [];
    let count = 0;
    for (const [path, html] of pages)
      for (const address of [...attributes(html, "href"), ...attributes(html, "src")]) {
        if (/^[a-z]+:/.test(address)) continue;
        count++;
        const [file = "", hash] = address.split("#");
        const target = file === "" ? path : normalize(join(dirname(path), file));
        if (!files.has(target)) dead.push(`${path}: ${address}`);
        else if (hash && !ids.get(target)?.has(decodeURIComponent(hash))) dead.push(`${path}: ${address}`);
      }
    expect(dead).toEqual([]);
    expect(count).toBeGreaterThan(10_000);
  });

  it("have one title, headings in order, and no id twice", () => {
    for (const [path, html] of pages) {
      const depths = [...html.matchAll(/<h([1-6]) id=/g)].map(([, depth]) => Number(depth));
      expect(
        depths.filter((depth) => depth === 1),
        path,
      ).toHaveLength(1);
      for (const [i, depth] of depths.entries()) expect(depth, path).toBeLessThanOrEqual((depths[i - 1] ?? 0) + 1);
      const ids = attributes(html, "id");
      expect(
        ids.filter((id, i) => ids.indexOf(id) !== i),
        path,
      ).toEqual([]);
    }
  });

  it("explain every name that the package exports", () => {
    const explained = new Set(
      [...pages].filter(([path]) => path.startsWith("api/")).flatMap(([, html]) => attributes(html, "id")),
    );
    const spaces = Object.entries(library).filter(
      ([, value]) => Object.prototype.toString.call(value) === "[object Module]",
    );
    expect(spaces.length).toBeGreaterThan(5);
    const names = Object.keys(library).filter((name) => !spaces.some(([space]) => space === name));
    const inner = spaces.flatMap(([space, value]) => Object.keys(value).map((name) => `${space}.${name}`));
    // It is a name of both.
    const twice = ["nn.crossEntropy"];
    expect([...names, ...inner].filter((name) => !explained.has(name))).toEqual(twice);
    for (const method of ["Tensor.softmax", "Tensor.conv2d", "Tensor.add"]) expect([...explained]).toContain(method);
  });

  it("have highlighted code, formulas of docstrings, and types that link", () => {
    expect(pages.get("concepts.html")).toContain('<span class="hljs-keyword">const</span>');
    const norms = pages.get("api/nn-norm.html") ?? "";
    expect(norms).toContain("y = g · x / √(mean(x²) + ε)");
    expect(norms).toMatch(/<a href="tensor\.html#Variable">Variable<\/a>/);
    expect(pages.get("papers/peri-ln.html")).toContain(
      '<a href="../api/nn-placement.html#nn.peri"><code>nn.peri</code></a>',
    );
  });
});

it("a dead link is told with its page", async () => {
  const program = `
    import { linker } from ${JSON.stringify(pathToFileURL(join(root, "scripts/site/links.js")).href)};
    const page = { source: "docs/a.md", path: "a.html" };
    const links = linker([page, { source: "docs/b/c.md", path: "b/c.html" }]);
    const on = links.on(page);
    console.log(["b/c.md#x", "../package.json", "#y", "https://example.org", "gone.md"].map(on).join(" "));
    console.log(links.dead.join());`;
  const { stdout } = await execute(process.execPath, ["--input-type=module", "--eval", program]);
  expect(stdout).toBe(
    'b/c.html#x source/package.json.html #y https://example.org gone.md\ndocs/a.md: "gone.md" is neither a page nor a file\n',
  );
});

describe.runIf(chromium)("in a browser, from files", () => {
  const open = (path: string) => pathToFileURL(join(site, path)).href;

  it("finds words, by keyboard alone", async () => {
    await withBrowser(async (page) => {
      const wrong: string[] = [];
      page.on("pageerror", (error) => wrong.push(String(error)));
      await page.goto(open("papers/peri-ln.html"));
      await page.keyboard.press("/");
      await page.keyboard.type("layernorm opt");
      await page.waitForSelector("#site-results a");
      expect(await page.locator("#site-results strong").allTextContents()).toContain("LayerNormOptions");
      await page.fill("#site-search", "rmsNorm");
      await page.waitForFunction(() =>
        /\.rmsNorm$/i.test(document.querySelector("#site-results a strong")?.textContent ?? ""),
      );
      await page.keyboard.press("ArrowDown");
      const address = await page.locator("#site-results a[aria-selected=true]").getAttribute("href");
      await page.keyboard.press("Enter");
      await page.waitForURL(/api\/[\w-]+\.html#\w+\.rmsNorm$/i);
      expect(page.url()).toBe(address);
      expect(await page.locator(":target").textContent()).toMatch(/rmsNorm/i);
      await page.fill("#site-search", "zzzqqq");
      await page.waitForFunction(() => /Nothing/.test(document.querySelector("#site-results")?.textContent ?? ""));
      await page.keyboard.press("Escape");
      expect(await page.locator("#site-results").isVisible()).toBe(false);
      expect(wrong).toEqual([]);
    });
  });

  it("is legible in light and dark, and the button switches", async () => {
    await withBrowser(async (page) => {
      for (const scheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme: scheme });
        await page.goto(open("first-program.html"));
        const before = await faintest(page);
        expect(before.contrast, `${scheme}: ${before.what}`).toBeGreaterThan(4.5);
        const color = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const first = await color();
        await page.click("#site-theme");
        expect(await color()).not.toBe(first);
        const after = await faintest(page);
        expect(after.contrast, `${scheme}, switched: ${after.what}`).toBeGreaterThan(4.5);
        await page.click("#site-theme");
      }
    });
  });

  it("fits a phone, where the list of pages opens", async () => {
    await withBrowser(async (page) => {
      await page.setViewportSize({ width: 360, height: 740 });
      for (const path of [
        "index.html",
        "concepts.html",
        "api/tensor.html",
        "api/nn.html",
        "papers/evonorm.html",
        "log.html",
      ]) {
        await page.goto(open(path));
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        expect(width, path).toBeLessThanOrEqual(360);
      }
      expect(await page.locator("nav a").first().isVisible()).toBe(false);
      await page.click("summary");
      await page.click(`nav a[href="concepts.html"]`);
      await page.waitForURL(/concepts\.html$/);
      expect(await page.locator("h1").textContent()).toMatch(/^Concepts/);
    });
  });
});

/** The text whose colour differs least from what is behind it (WCAG 2, relative luminance). */
const faintest = (page: Page): Promise<{ contrast: number; what: string }> =>
  page.evaluate(() => {
    const channels = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = (color: string) => {
      const [r = 0, g = 0, b = 0] = channels(color).map((c) => {
        const v = c / 255;
        return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element: Element | null): string => {
      if (!element) return "rgb(255, 255, 255)";
      const color = getComputedStyle(element).backgroundColor;
      return channels(color)[3] === 0 ? behind(element.parentElement) : color;
    };
    let worst = { contrast: Number.POSITIVE_INFINITY, what: "" };
    for (const element of document.querySelectorAll("main *, nav *, aside *, header *")) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
      if (!own || getComputedStyle(element).opacity === "0") continue;
      const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < worst.contrast) worst = { contrast, what: element.outerHTML.slice(0, 120) };
    }
    return worst;
  });
