/** A study's runs in the terminal: one live line for the run that trains, one lasting line for each that is done. */
import type { StudyEvent, StudyRun, StudyStep } from "../studies/index.js";
import { Curve } from "./sparkline.js";
import { clock } from "./step-line.js";
import type { TerminalOptions } from "./terminal.js";

export interface StudyView {
  start(headline: string): void;
  show(event: StudyEvent): void;
  close(): void;
}

const frameMilliseconds = 80;

/** Where the stream is no terminal, only the lasting lines are written. */
export function studyView({ stream, live, columns, now = () => performance.now() }: TerminalOptions): StudyView {
  let curve = new Curve();
  let title = "";
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
      if (event.title !== title) [curve, title] = [new Curve(), event.title];
      if (event.kind === "run") stream.write(`${hidden ? "\r\x1b[K" : ""}${runLine(event, curve, columns())}\n`);
      else {
        if (event.loss !== undefined) curve.add(event.loss);
        if (live && (now() - drawnAt >= frameMilliseconds || event.step === event.steps))
          draw(stepLine(event, curve, columns()));
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

function stepLine({ title, step, steps, loss, rate }: StudyStep, curve: Curve, columns: number): string {
  const bar = Math.min(24, Math.max(8, Math.floor(columns / 6)));
  const filled = Math.round((bar * step) / steps);
  const fields = [title, "█".repeat(filled) + "░".repeat(bar - filled), `${step}/${steps}`];
  if (loss !== undefined) fields.push(`loss ${loss.toFixed(3)}`, curve.draw(16));
  return fitted(rate === undefined ? fields : [...fields, rate], columns);
}

function runLine({ title, seconds, facts }: StudyRun, curve: Curve, columns: number): string {
  const [first = "", ...rest] = facts;
  return fitted([title.padEnd(34), first, curve.draw(16).padEnd(16), clock(seconds), ...rest], columns);
}
