/** The two ends of a worker: what is asked and answered, whatever the worker is. */
import { type ErrorCode, fail, LayerwiseError } from "../../tensor/errors.js";
import { type BatchParts, makeBatch, type Recipe } from "./batch.js";
import { type ImageDataset, type ImageSource, openImages, type ReadBytes } from "./dataset.js";
import type { Maker } from "./loader.js";

/** First what to work on, then batches by number. */
export type Question = { readonly source: ImageSource; readonly recipe: Recipe } | { readonly step: number };

export type Answer =
  | { readonly step: number; readonly parts: BatchParts }
  | { readonly step: number; readonly code?: ErrorCode; readonly message: string };

/** A worker as its owner sees it. */
export interface Port {
  ask(question: Question): void;
  close(): void;
}

/** Starts a worker; `died` hears why it ended when nobody closed it. */
export type OpenPort = (answered: (answer: Answer) => void, died: (reason: string) => void) => Port;

/** Batch n is made by worker n mod `count`, so the order needs no agreement. */
export function workerMakers(source: ImageSource, recipe: Recipe, count: number, open: OpenPort): Maker {
  const waiting = new Map<number, { resolve: (parts: BatchParts) => void; reject: (error: Error) => void }>();
  let dead: LayerwiseError | undefined;
  const answered = (answer: Answer): void => {
    const due = waiting.get(answer.step);
    waiting.delete(answer.step);
    if ("parts" in answer) due?.resolve(answer.parts);
    else due?.reject(new LayerwiseError(answer.code ?? "backend", answer.message));
  };
  const died = (reason: string): void => {
    dead = new LayerwiseError("backend", `images: a worker ended (${reason})`);
    for (const { reject } of waiting.values()) reject(dead);
    waiting.clear();
  };
  const ports = Array.from({ length: count }, () => {
    const port = open(answered, died);
    port.ask({ source, recipe });
    return port;
  });
  return {
    make: (step) =>
      new Promise((resolve, reject) => {
        if (dead) return reject(dead);
        waiting.set(step, { resolve, reject });
        return ports[step % count]?.ask({ step });
      }),
    close() {
      for (const port of ports) port.close();
    },
  };
}

/** The worker's end: answers questions; arrays are handed over, not copied. */
export function answerer(
  read: ReadBytes,
  answer: (answer: Answer, transfer: ArrayBuffer[]) => void,
): (question: Question) => Promise<void> {
  let work: { dataset: ImageDataset; recipe: Recipe } | undefined;
  return async (question) => {
    if ("source" in question) {
      work = { dataset: openImages(question.source, read), recipe: question.recipe };
      return;
    }
    const { step } = question;
    try {
      if (!work) return fail("backend", "images: a worker was asked before it was told what for");
      const parts = await makeBatch(work.dataset, work.recipe, step);
      const arrays = [parts.images, parts.labels, ...(parts.targets ? [parts.targets] : [])];
      answer(
        { step, parts },
        arrays.map(({ buffer }) => buffer),
      );
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      answer({ step, message, ...(error instanceof LayerwiseError && { code: error.code }) }, []);
    }
  };
}
