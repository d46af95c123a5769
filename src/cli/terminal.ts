import type { StepEvent, TrainEvent } from "../train/events.js";
import { Curve } from "./sparkline.js";
import { eventLine, stepLine } from "./step-line.js";

export interface TerminalOptions {
  readonly stream: { write(text: string): unknown };
  /** Whether the stream is a terminal that understands cursor movements; otherwise plain lines are written. */
  readonly live: boolean;
  /** The terminal's width now; asked for at every frame, since windows are resized. */
  readonly columns: () => number;
  /** Milliseconds, for limiting the frame rate. */
  readonly now?: () => number;
}

/** Of a stream of this process. */
export const terminalOf = (stream: NodeJS.WriteStream): TerminalOptions => ({
  stream,
  live: stream.isTTY === true,
  columns: () => stream.columns ?? 80,
});

export interface TerminalView {
  show(event: TrainEvent): void;
  /** Leaves the last frame standing and gives the cursor back. Harmless when called twice. */
  close(): void;
}

const frameMilliseconds = 50;
const hideCursor = "\x1b[?25l";
const showCursor = "\x1b[?25h";
const clearLine = "\x1b[K";
const clearBelow = "\x1b[J";

/**
 * A view of a training run: two live lines (progress bar and loss curve; the step line) that are redrawn in place, and
 * above them the lasting lines of evaluations, checkpoints and warnings. Each frame is one write that overwrites what
 * changed, so nothing flickers. Where the stream is no terminal, every event is one plain line.
 */
export function terminalView(options: TerminalOptions): TerminalView {
  return options.live ? liveView(options) : plainView(options);
}

function plainView({ stream }: TerminalOptions): TerminalView {
  return {
    show: (event) => stream.write(`${event.kind === "step" ? stepLine(event) : eventLine(event)}\n`),
    close: () => undefined,
  };
}

function liveView({ stream, columns, now = () => performance.now() }: TerminalOptions): TerminalView {
  const curve = new Curve();
  let step: StepEvent | undefined;
  let drawnAt = Number.NEGATIVE_INFINITY;
  let height = 0;
  let isOpen = true;

  /** `lasting` scrolls up and away; the live lines follow it. */
  const frame = (lasting: string): void => {
    const lines = step ? liveLines(step, curve, columns()) : [];
    const toTop = height > 0 ? `\r${height > 1 ? `\x1b[${height - 1}A` : ""}` : hideCursor;
    const kept = lasting === "" ? "" : `${lasting}${clearLine}\n`;
    stream.write(toTop + kept + lines.join(`${clearLine}\n`) + clearLine + clearBelow);
    // Even without live lines the cursor is hidden and stands at the start of a line.
    height = Math.max(1, lines.length);
    drawnAt = now();
  };

  return {
    show(event) {
      if (!isOpen) return;
      if (event.kind !== "step") return frame(eventLine(event));
      step = event;
      curve.add(event.loss);
      if (now() - drawnAt >= frameMilliseconds || event.step === event.steps) frame("");
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      if (height === 0) return;
      frame("");
      stream.write(`${step ? "\n" : ""}${showCursor}`);
    },
  };
}

/** Never as wide as the terminal: the last column would wrap. */
function liveLines(step: StepEvent, curve: Curve, columns: number): string[] {
  const room = Math.max(10, columns - 1);
  const bar = Math.min(60, Math.floor(room / 2) - 2);
  const filled = Math.round((bar * step.step) / step.steps);
  const progress = `${"█".repeat(filled)}${"░".repeat(bar - filled)}`;
  return [`${progress}  ${curve.draw(Math.min(80, room - bar - 2))}`, stepLine(step, room).slice(0, room)];
}
