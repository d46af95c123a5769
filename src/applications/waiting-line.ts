/** One after another, and no more than so many at once. */
export interface WaitingLine {
  /** A place, to run one task when its turn comes; undefined where the line is full. */
  enter(): (<T>(task: () => Promise<T>) => Promise<T>) | undefined;
}

/** `longest`: how many may wait beside the one that runs. */
export function waitingLine(longest: number): WaitingLine {
  let last: Promise<unknown> = Promise.resolve();
  let present = 0;
  return {
    enter() {
      if (present > longest) return undefined;
      present++;
      return (task) => {
        const result = last.then(task).finally(() => present--);
        last = result.catch(() => {});
        return result;
      };
    },
  };
}
