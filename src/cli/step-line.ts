/** Training events as lines of text: the same words in a live terminal, a pipe and a log file. */

import type { StepEvent, TrainEvent } from "../train/events.js";

/** `step i/n (pct) | loss | dt | tok/sec | mfu | eta`; in a narrow terminal mfu goes first, then dt, then tok/sec. */
export function stepLine(event: StepEvent, columns = Number.POSITIVE_INFINITY): string {
  const { step, steps, loss, seconds, tokensPerSecond, utilization, remaining } = event;
  const fields: [string, string][] = [
    ["step", `step ${step}/${steps} (${((100 * step) / steps).toFixed(1)}%)`],
    ["loss", `loss ${formatLoss(loss)}`],
    ["dt", `dt ${formatSeconds(seconds)}`],
    ["tok", `tok/sec ${Math.round(tokensPerSecond).toLocaleString("en")}`],
    ...(utilization === undefined ? [] : [["mfu", `mfu ${(100 * utilization).toFixed(1)}%`] as [string, string]]),
    ["eta", `eta ${clock(remaining)}`],
  ];
  for (const dispensable of ["mfu", "dt", "tok", "eta"]) {
    if (width(fields) <= columns) break;
    const at = fields.findIndex(([name]) => name === dispensable);
    if (at >= 0) fields.splice(at, 1);
  }
  return fields.map(([, text]) => text).join(" | ");
}

const width = (fields: readonly [string, string][]): number =>
  fields.reduce((sum, [, text]) => sum + text.length, 3 * (fields.length - 1));

/** Any other event as one line. */
export function eventLine(event: Exclude<TrainEvent, StepEvent>): string {
  switch (event.kind) {
    case "evaluation": {
      const bits = event.bitsPerByte === undefined ? "" : ` | bits/byte ${event.bitsPerByte.toFixed(4)}`;
      return `eval step ${event.step} | loss ${formatLoss(event.loss)}${bits} | dt ${formatSeconds(event.seconds)}`;
    }
    case "checkpoint":
      return `saved ${printable(event.path)}`;
    case "warning":
      return `warning: ${printable(event.message)}`;
    case "done":
      return event.reason === "finished"
        ? `finished: step ${event.step} after ${clock(event.seconds)}`
        : `interrupted: step ${event.step} after ${clock(event.seconds)}; everything is saved`;
  }
}

const formatLoss = (loss: number): string => (Number.isFinite(loss) ? loss.toFixed(4) : String(loss));

function formatSeconds(seconds: number): string {
  if (seconds >= 100) return clock(seconds);
  if (seconds >= 10) return `${seconds.toFixed(1)}s`;
  return seconds >= 0.1 ? `${Math.round(seconds * 1000)}ms` : `${(seconds * 1000).toPrecision(3)}ms`;
}

/** 3:07, 1:02:03, 2d 4:05:06. */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return "-";
  const total = Math.max(0, Math.round(seconds));
  const pad = (n: number): string => String(n).padStart(2, "0");
  const days = Math.floor(total / 86400);
  const hours = Math.floor(total / 3600) % 24;
  const minutes = Math.floor(total / 60) % 60;
  const long = days > 0 || hours > 0;
  return `${days > 0 ? `${days}d ` : ""}${long ? `${hours}:${pad(minutes)}` : minutes}:${pad(total % 60)}`;
}

/** Names and paths come from files: what could steer a terminal is shown as a question mark instead. */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
