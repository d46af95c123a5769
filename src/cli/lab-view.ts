/** A study's runs in the terminal: one live line for the run that trains, one lasting line for each that is done. */
import { type LabEvent, type Progress, placementTitles, type TrainedRun } from "../studies/index.js";
import { Curve } from "./sparkline.js";
import { clock } from "./step-line.js";
import type { TerminalOptions } from "./terminal.js";

export interface LabView {
  start(headline: string): void;
  show(event: LabEvent): void;
  close(): void;
}

const frameMilliseconds = 80;

/** Where the stream is no terminal, only the lasting lines are written. */
export function labView({ stream, live, columns, now = () => performance.now() }: TerminalOptions): LabView {
  let curve = new Curve();
  let run = -1;
  let drawnAt = Number.NEGATIVE_INFINITY;
  let hidden = false;

  const draw = (line: string) => {
    stream.write(`${hidden ? "" : "\x1b[?25l"}\r${line}\x1b[K`);
    hidden = true;
    drawnAt = now();
  };

  return {
    start: (headline) => stream.write(`${headline}\n`),
    show(event) {
      if (event.kind === "run") stream.write(`${hidden ? "\r\x1b[K" : ""}${runLine(event.run, curve, columns())}\n`);
      else if (event.kind === "progress") {
        if (event.run !== run) [curve, run] = [new Curve(), event.run];
        curve.add(event.loss);
        if (live && (now() - drawnAt >= frameMilliseconds || event.step === event.steps))
          draw(progressLine(event, curve, columns()));
      }
    },
    close() {
      if (hidden) stream.write("\r\x1b[K\x1b[?25h");
      hidden = false;
    },
  };
}

/** Never as wide as the terminal: the last column would wrap. Fields that do not fit are left away, the last first. */
function fitted(fields: readonly string[], columns: number): string {
  let line = "";
  for (const field of fields) if (`${line}  ${field}`.length < columns) line += line === "" ? field : `  ${field}`;
  return line;
}

function progressLine({ title, step, steps, loss, tokensPerSecond }: Progress, curve: Curve, columns: number): string {
  const bar = Math.min(24, Math.max(8, Math.floor(columns / 6)));
  const filled = Math.round((bar * step) / steps);
  const remaining = tokensPerSecond > 0 ? `${Math.round(tokensPerSecond).toLocaleString("en")} tok/s` : "";
  return fitted(
    [
      title,
      "█".repeat(filled) + "░".repeat(bar - filled),
      `${step}/${steps}`,
      `loss ${loss.toFixed(3)}`,
      curve.draw(16),
      remaining,
    ],
    columns,
  );
}

function runLine(
  { placement, recipe, seed, validationLoss, bitsPerByte, layers, seconds }: TrainedRun,
  curve: Curve,
  columns: number,
): string {
  const variance = layers.variance.at(-1) as number;
  return fitted(
    [
      placementTitles[placement].padEnd(17),
      `seed ${seed}`,
      `val ${validationLoss.toFixed(3)}`,
      curve.draw(16).padEnd(16),
      clock(seconds),
      `${bitsPerByte.toFixed(2)} bits/byte`,
      `variance ${variance.toPrecision(3).padStart(8)}`,
      recipe.name,
    ],
    columns,
  );
}
