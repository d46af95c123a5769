import type { TerminalOptions } from "./terminal.js";

export interface Progress {
  /** Draws the bar at `done` of 1, with words after it. */
  show(done: number, words: string): void;
  /** Clears the line and gives the cursor back. Harmless when called twice. */
  close(): void;
}

const frameMilliseconds = 50;

/** One line with a bar, redrawn in place; where the stream is no terminal, nothing. */
export function progressBar({ stream, live, columns, now = () => performance.now() }: TerminalOptions): Progress {
  let drawnAt = Number.NEGATIVE_INFINITY;
  let isDrawn = false;
  return {
    show(done, words) {
      if (!live || now() - drawnAt < frameMilliseconds) return;
      drawnAt = now();
      const room = Math.max(10, columns() - 1);
      const width = Math.max(4, Math.min(60, Math.floor(room / 2) - 2));
      const filled = Math.round(width * Math.min(1, Math.max(0, done)));
      const line = `${"█".repeat(filled)}${"░".repeat(width - filled)}  ${words}`.slice(0, room);
      stream.write(`${isDrawn ? "\r" : "\x1b[?25l"}${line}\x1b[K`);
      isDrawn = true;
    },
    close() {
      if (isDrawn) stream.write("\r\x1b[K\x1b[?25h");
      isDrawn = false;
    },
  };
}
