import { describe, expect, test } from "vitest";
import { Curve } from "../../src/cli/sparkline.js";
import { clock, eventLine, printable, stepLine } from "../../src/cli/step-line.js";
import { type TerminalView, terminalView } from "../../src/cli/terminal.js";
import type { StepEvent } from "../../src/train/events.js";
import { Screen } from "../support/screen.js";

const step = (n: number, more: Partial<StepEvent> = {}): StepEvent => ({
  kind: "step",
  step: n,
  steps: 500,
  loss: 5 / n,
  learningRate: 1e-3,
  gradientNorm: 1,
  seconds: 0.591,
  tokensPerSecond: 3465.4,
  utilization: 0.912,
  remaining: 0.591 * (500 - n),
  ...more,
});
const long = step(123456, { steps: 500000, loss: 12.3456, tokensPerSecond: 1234567, remaining: 123456 });

function live(columns: number, milliseconds = 1000): { screen: Screen; view: TerminalView } {
  const screen = new Screen(columns);
  let time = 0;
  const now = (): number => {
    time += milliseconds;
    return time;
  };
  return { screen, view: terminalView({ stream: screen, live: true, columns: () => columns, now }) };
}

describe("the step line", () => {
  test("is step i/n (pct) | loss | dt | tok/sec | mfu | eta", () => {
    expect(stepLine(step(120))).toBe(
      "step 120/500 (24.0%) | loss 0.0417 | dt 591ms | tok/sec 3,465 | mfu 91.2% | eta 3:45",
    );
  });

  test("has no mfu where it is not known", () => {
    const { utilization: _, ...rest } = step(120);
    expect(stepLine(rest)).toBe("step 120/500 (24.0%) | loss 0.0417 | dt 591ms | tok/sec 3,465 | eta 3:45");
  });

  test.each<[number, string]>([
    [200, "step 123456/500000 (24.7%) | loss 12.3456 | dt 591ms | tok/sec 1,234,567 | mfu 91.2% | eta 1d 10:17:36"],
    [90, "step 123456/500000 (24.7%) | loss 12.3456 | dt 591ms | tok/sec 1,234,567 | eta 1d 10:17:36"],
    [80, "step 123456/500000 (24.7%) | loss 12.3456 | tok/sec 1,234,567 | eta 1d 10:17:36"],
    [70, "step 123456/500000 (24.7%) | loss 12.3456 | eta 1d 10:17:36"],
    [40, "step 123456/500000 (24.7%) | loss 12.3456"],
  ])("fits %i columns", (columns, expected) => {
    expect(stepLine(long, columns)).toBe(expected);
  });

  test.each([
    [Number.NaN, "loss NaN"],
    [Number.POSITIVE_INFINITY, "loss Infinity"],
  ])("says when the loss is %d", (loss, text) => {
    expect(stepLine(step(1, { loss }))).toContain(text);
  });
});

describe("other lines", () => {
  test.each([
    [
      { kind: "evaluation", step: 250, loss: 1.8812, bitsPerByte: 2.713, seconds: 12.34 },
      "eval step 250 | loss 1.8812 | bits/byte 2.7130 | dt 12.3s",
    ],
    [{ kind: "evaluation", step: 250, loss: 1.8812, seconds: 0.00123 }, "eval step 250 | loss 1.8812 | dt 1.23ms"],
    [{ kind: "checkpoint", step: 250, path: "runs/a/checkpoint-250" }, "saved runs/a/checkpoint-250"],
    [{ kind: "warning", step: 1, message: "threads changed" }, "warning: threads changed"],
    [{ kind: "done", step: 500, reason: "finished", seconds: 296 }, "finished: step 500 after 4:56"],
    [
      { kind: "done", step: 9, reason: "interrupted", seconds: 3 },
      "interrupted: step 9 after 0:03; everything is saved",
    ],
  ] as const)("%j", (event, line) => {
    expect(eventLine(event)).toBe(line);
  });

  test.each([
    [0, "0:00"],
    [59.6, "1:00"],
    [3599, "59:59"],
    [3600, "1:00:00"],
    [90061, "1d 1:01:01"],
    [Number.NaN, "-"],
  ])("%d seconds are %s", (seconds, text) => {
    expect(clock(seconds)).toBe(text);
  });

  test("cannot steer the terminal", () => {
    expect(printable("a\x1b[2Jb\nc\u202ed")).toBe("a?[2Jb?c?d");
    expect(eventLine({ kind: "checkpoint", step: 1, path: "runs/\x1b]0;x\x07" })).toBe("saved runs/?]0;x?");
  });
});

describe("plain lines, where the output is not a terminal", () => {
  test("hold no control sequence and lose nothing", () => {
    const screen = new Screen(1000);
    const view = terminalView({ stream: screen, live: false, columns: () => 80 });
    view.show(step(1));
    view.show({ kind: "evaluation", step: 1, loss: 5, seconds: 1 });
    view.show(long);
    view.close();
    expect(screen.writes.join("")).toBe(
      `${stepLine(step(1))}\neval step 1 | loss 5.0000 | dt 1000ms\n${stepLine(long)}\n`,
    );
  });
});

describe.each([80, 200])("a live view of %i columns", (columns) => {
  test("shows a bar, a curve and the step line, and redraws them in place", () => {
    const { screen, view } = live(columns);
    for (let n = 1; n <= 250; n++) view.show(step(n));
    expect(screen.lines).toHaveLength(2);
    const bar = columns === 80 ? 37 : 60;
    expect(screen.lines[0]).toMatch(
      new RegExp(`^█{${Math.round(bar / 2)}}░{${bar - Math.round(bar / 2)}}  █[▁▂▃▄▅▆▇█]+$`),
    );
    expect(screen.lines[1]).toBe(stepLine(step(250), columns - 1));
  });

  test("never reaches the last column, where it would wrap", () => {
    const { screen, view } = live(columns);
    for (let n = 1; n <= 300; n++) view.show({ ...long, step: n * 1000 });
    expect(screen.widest).toBeLessThan(columns);
  });

  test("keeps evaluations, checkpoints and warnings above it", () => {
    const { screen, view } = live(columns);
    view.show({ kind: "warning", step: 0, message: "first" });
    view.show(step(1));
    view.show({ kind: "evaluation", step: 1, loss: 5, seconds: 1 });
    view.show(step(2));
    expect(screen.lines.slice(0, 2)).toEqual(["warning: first", "eval step 1 | loss 5.0000 | dt 1000ms"]);
    expect(screen.lines).toHaveLength(4);
    expect(screen.lines[3]).toBe(stepLine(step(2), columns - 1));
  });

  test("writes once per frame and never blanks what it will draw again", () => {
    const { screen, view } = live(columns);
    for (let n = 1; n <= 20; n++) view.show(step(n));
    expect(screen.writes).toHaveLength(20);
    for (const frame of screen.writes) expect(frame).not.toMatch(/\[2K|\[2J|\[H/);
  });

  test("gives the cursor back, on its own line, once", () => {
    const { screen, view } = live(columns);
    view.show(step(1));
    expect(screen.isCursorHidden).toBe(true);
    view.close();
    view.close();
    view.show(step(2));
    expect(screen.isCursorHidden).toBe(false);
    expect(screen.lines[1]).toBe(stepLine(step(1), columns - 1));
    expect(screen.lines.at(-1)).toBe("");
    expect(screen.writes.join("").split("\x1b[?25h")).toHaveLength(2);
  });
});

describe("a live view", () => {
  test("draws at most twenty frames a second, but always the last step", () => {
    const { screen, view } = live(80, 1);
    for (let n = 1; n <= 500; n++) view.show(step(n));
    expect(screen.writes.length).toBeLessThan(30);
    expect(screen.lines[1]).toBe(stepLine(step(500), 79));
  });

  test("that showed nothing writes nothing", () => {
    const { screen, view } = live(80);
    view.close();
    expect(screen.writes).toEqual([]);
  });

  test("follows the window's width", () => {
    const screen = new Screen(200);
    let columns = 200;
    let time = 0;
    const view = terminalView({ stream: screen, live: true, columns: () => columns, now: () => (time += 100) });
    view.show(long);
    columns = 60;
    view.show({ ...long, step: long.step + 1 });
    expect(screen.lines.every((line) => line.length < 60)).toBe(true);
  });
});

describe("the loss curve", () => {
  const drawn = (values: number[], width: number): string => {
    const curve = new Curve();
    for (const value of values) curve.add(value);
    return curve.draw(width);
  };
  test.each<[string, number[], number, string]>([
    ["nothing yet", [], 10, ""],
    ["one value", [3], 10, "▁"],
    ["falling", [8, 7, 6, 5, 4, 3, 2, 1], 8, "█▇▆▅▄▃▂▁"],
    ["averaged to the width", [8, 8, 8, 8, 0, 0, 0, 0], 2, "█▁"],
    ["flat", [2, 2, 2], 3, "▁▁▁"],
    ["not finite", [2, Number.NaN, 1], 3, "█×▁"],
    ["nothing finite", [Number.NaN], 3, "×"],
  ])("%s", (_, values, width, expected) => {
    expect(drawn(values, width)).toBe(expected);
  });

  test("of a hundred thousand steps keeps its shape", () => {
    expect(
      drawn(
        Array.from({ length: 100_000 }, (_, i) => -i),
        8,
      ),
    ).toBe("█▇▆▅▄▃▂▁");
  });
});
