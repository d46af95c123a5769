import { describe, expect, it } from "vitest";
import { reportHtml, summaryHtml } from "../../src/report/index.js";
import { imagesFigure } from "../../src/studies/images-figure.js";
import { NDArray } from "../../src/tensor/index.js";
import { report as fixture } from "./fixture.js";

describe("the page over all studies", () => {
  const page = summaryHtml({
    studies: [{ report: fixture, link: "../placement/report.html" }],
    failed: [{ id: "evonorm", problem: "no <memory>" }],
    command: "layerwise reproduce --all --quick",
  });

  it("has a row for each study, with a sign for each claim and the way to its report", () => {
    expect(page).toContain('<a href="../placement/report.html">');
    const claims = fixture.papers.flatMap((group) => group.claims);
    const [, body = ""] = page.split("overview");
    expect(body.split("</table>")[0]?.match(/class="badge /g)).toHaveLength(claims.length);
  });

  it("says which study was not finished, with what came from outside escaped", () => {
    expect(page).toContain("not finished: no &lt;memory&gt;");
  });
});

describe("pictures in a report", () => {
  const figure = imagesFigure({
    title: "Before and after",
    caption: "Three shapes.",
    columns: ["grey", "colour"],
    rows: [{ name: "first", images: [NDArray.zeros([4, 5]), NDArray.zeros([3, 4, 5])] }],
  });

  it("are PNG files inside the page", () => {
    const page = reportHtml({ ...fixture, sections: [{ title: "Pictures", prose: [], figures: [figure] }] });
    expect(page.match(/<img src="data:image\/png;base64,[^"]+" width="5" height="4"/g)).toHaveLength(2);
    expect(page).toContain('alt="Before and after: first, colour"');
  });

  it("of another shape are refused, as are links in the place of data", () => {
    expect(() =>
      imagesFigure({ title: "", caption: "", rows: [{ name: "", images: [NDArray.zeros([2, 4, 5])] }] }),
    ).toThrow("a picture is [1 or 3, height, width] or [height, width], got [2, 4, 5]");
    const rows = [{ name: "far", images: [{ source: "https://example.com/a.png", width: 1, height: 1 }] }];
    const linked = { ...fixture, sections: [{ title: "", prose: [], figures: [{ ...figure, rows }] }] };
    expect(() => reportHtml(linked)).toThrow("expected PNG data inside the report");
  });
});
