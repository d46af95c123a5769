/** The report in a real browser: what no parser can tell. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeReport } from "../../src/report/index.js";
import { report } from "./fixture.js";

const executablePath = "/usr/bin/chromium";

describe.skipIf(!existsSync(executablePath))("the report, opened from a disk in Chromium", () => {
  let browser: Browser;
  let folder: string;
  let address: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "layerwise-page-"));
    address = pathToFileURL(writeReport(report, folder)).href;
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  async function open(
    width: number,
    colorScheme: "light" | "dark" = "light",
  ): Promise<{ page: Page; asked: string[]; said: string[] }> {
    const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
    const [asked, said]: [string[], string[]] = [[], []];
    page.on("request", (request) => asked.push(request.url()));
    page.on("console", (message) => said.push(message.text()));
    await page.goto(address);
    return { page, asked, said };
  }

  it("asks for nothing but itself and has nothing to complain about", async () => {
    const { page, asked, said } = await open(1280);
    expect(asked).toEqual([address]);
    expect(said).toEqual([]);
    await page.close();
  });

  it.each([320, 390, 768, 1280, 1920])("does not scroll sideways at %d pixels", async (width) => {
    const { page } = await open(width);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    await page.close();
  });

  it.each([390, 768, 1280])(
    "keeps the text of all visible figures at 11 pixels or more at %d pixels",
    async (width) => {
      const { page } = await open(width);
      const sizes = await page.evaluate(() =>
        [...document.querySelectorAll<SVGSVGElement>("figure svg")]
          .filter((svg) => svg.getBoundingClientRect().width > 0)
          .map((svg) => (12 * svg.getBoundingClientRect().width) / svg.viewBox.baseVal.width),
      );
      expect(sizes.length).toBeGreaterThan(15);
      expect(Math.min(...sizes)).toBeGreaterThanOrEqual(11);
      await page.close();
    },
  );

  it("follows the reader's mode, pictures included", async () => {
    const seen = async (mode: "light" | "dark"): Promise<string[]> => {
      const { page } = await open(1280, mode);
      const colors = await page.evaluate(() => [
        getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector("figure .wide path[d]") ?? document.body).stroke,
        getComputedStyle(document.querySelector(".fig-heat-map .panels rect[fill]") ?? document.body).fill,
      ]);
      await page.close();
      return colors;
    };
    const [light, dark] = [await seen("light"), await seen("dark")];
    expect(light[0]).toBe("rgb(255, 255, 255)");
    for (const [i, color] of light.entries()) expect(dark[i]).not.toBe(color);
  });

  it("is white on paper even for readers in dark mode", async () => {
    const { page } = await open(1280, "dark");
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe("rgb(255, 255, 255)");
    await page.close();
  });
});
