/**
 * Chat and text completions over HTTP, with the public conventions of OpenAI's API (streaming included), so that
 * existing clients work. Pages of other origins and names that merely resolve to this machine are turned away; one text
 * is written at a time, and only so many wait.
 */
import { timingSafeEqual } from "node:crypto";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { streamSSE } from "hono/streaming";
import * as z from "zod";
import { LayerwiseError } from "../tensor/errors.js";
import { eachPiece, type Finish, type TextGenerator, type TextOptions } from "./text-generation.js";
import { waitingLine } from "./waiting-line.js";

export interface ServerOptions {
  /** What clients call the model. */
  readonly model: string;
  /** Names in the Host header that are answered, without port (default: those of this machine itself). */
  readonly hosts?: readonly string[];
  /** Origins of pages that may ask (default: this server's own). */
  readonly origins?: readonly string[];
  /** Asked for as `Authorization: Bearer …`; needed when others than this machine can ask. */
  readonly token?: string;
  /** Requests that wait while one is answered (default 8); one more gets 429. */
  readonly queue?: number;
}

export const loopback = ["localhost", "127.0.0.1", "[::1]"];
const largestBody = 4 * 1024 * 1024;

const settings = {
  model: z.string().optional(),
  stream: z.boolean().default(false),
  stream_options: z.object({ include_usage: z.boolean().optional() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  seed: z.int().min(0).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
  user: z.string().optional(),
  // What we do not do is refused, not passed over, unless it asks for nothing.
  n: z.literal(1, "only one completion at a time is made").nullish(),
  best_of: z.literal(1, "only one completion at a time is made").nullish(),
  echo: z.literal(false, "is not supported").nullish(),
  logprobs: z.literal(false, "is not supported").nullish(),
  frequency_penalty: z.literal(0, "is not supported; use repetition_penalty").nullish(),
  presence_penalty: z.literal(0, "is not supported; use repetition_penalty").nullish(),
};
const textRequest = z.strictObject({ ...settings, prompt: z.string().min(1) });
const part = z.strictObject({ type: z.literal("text"), text: z.string() });
const message = z.object({ role: z.string(), content: z.union([z.string(), z.array(part)]) });
const chatRequest = z.strictObject({ ...settings, messages: z.array(message).min(1) });
type Settings = Omit<z.infer<typeof textRequest>, "prompt">;

/** The application; `@hono/node-server` or any other server of fetch handlers runs it. */
export function completionServer(generator: TextGenerator, options: ServerOptions): Hono {
  const { hosts = loopback, origins = [], token, queue = 8 } = options;
  const line = waitingLine(queue);
  const app = new Hono();
  app.use(async (c, next) => {
    const name = (c.req.header("host") ?? "").replace(/:\d+$/, "");
    if (!hosts.includes(name)) return refuse(c, 403, `Host ${JSON.stringify(name)} is not answered here`);
    const origin = c.req.header("origin");
    if (origin !== undefined && !isOwn(origin, hosts) && !origins.includes(origin))
      return refuse(c, 403, `pages of ${origin} may not ask here`);
    if (token !== undefined && !equal(c.req.header("authorization") ?? "", `Bearer ${token}`))
      return refuse(c, 401, "expected the header Authorization: Bearer <token>");
    return next();
  });
  app.use(bodyLimit({ maxSize: largestBody, onError: (c) => refuse(c, 413, `more than ${largestBody} bytes`) }));
  app.get("/health", (c) => c.json({ status: "ok" }));
  app.get("/v1/models", (c) =>
    c.json({ object: "list", data: [{ id: options.model, object: "model", created: 0, owned_by: "layerwise" }] }),
  );
  app.post("/v1/completions", async (c) => {
    const request = await read(c, textRequest);
    if (request instanceof Response) return request;
    return answer(c, request, request.prompt, textShape);
  });
  app.post("/v1/chat/completions", async (c) => {
    const request = await read(c, chatRequest);
    if (request instanceof Response) return request;
    const messages = request.messages.map(({ role, content }) => ({
      role,
      content: typeof content === "string" ? content : content.map(({ text }) => text).join(""),
    }));
    return answer(c, request, messages, chatShape);
  });
  app.notFound((c) =>
    refuse(c, 404, `there is no ${c.req.path}; see /v1/models, /v1/completions, /v1/chat/completions`),
  );
  app.onError((error, c) =>
    error instanceof LayerwiseError ? refuse(c, 400, error.message) : refuse(c, 500, "the server failed; see its log"),
  );
  return app;

  async function answer(c: Context, request: Settings, prompt: Prompt, shape: Shape): Promise<Response> {
    const ids = generator.idsOf(prompt); // what is wrong with it is said before a stream begins
    const place = line.enter();
    if (!place) return refuse(c, 429, `${queue} requests wait already; try again later`);
    const head = {
      id: `${shape.prefix}-${crypto.randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: options.model,
    };
    const signal = c.req.raw.signal;
    const run = () => generator.streamFrom(ids, { ...textOptions(request), signal });
    if (!request.stream)
      return place(async () => {
        let text = "";
        const finish = await eachPiece(run(), (piece) => {
          text += piece;
        });
        return c.json({
          ...head,
          object: shape.whole,
          choices: [shape.choice(text, finish.reason)],
          usage: usage(finish),
        });
      });
    return streamSSE(c, (sse) =>
      place(async () => {
        const write = (fields: object) =>
          sse.writeSSE({ data: JSON.stringify({ ...head, object: shape.chunk, ...fields }) });
        for (const opening of shape.opening) await write({ choices: [opening] });
        const finish = await eachPiece(run(), (piece) => write({ choices: [shape.delta(piece, null)] }));
        await write({ choices: [shape.delta("", finish.reason)] });
        if (request.stream_options?.include_usage) await write({ choices: [], usage: usage(finish) });
        await sse.writeSSE({ data: "[DONE]" });
      }).catch((error: unknown) => {
        if (!signal.aborted) throw error; // the client is gone: nobody to tell
      }),
    );
  }
}

type Prompt = Parameters<TextGenerator["idsOf"]>[0];

/** How the two kinds of completion are written. */
interface Shape {
  readonly prefix: string;
  readonly whole: string;
  readonly chunk: string;
  readonly choice: (text: string, reason: Finish["reason"]) => object;
  /** Chunks before the first text. */
  readonly opening: readonly object[];
  readonly delta: (text: string, reason: Finish["reason"] | null) => object;
}

const textShape: Shape = {
  prefix: "cmpl",
  whole: "text_completion",
  chunk: "text_completion",
  choice: (text, reason) => ({ index: 0, text, logprobs: null, finish_reason: reason }),
  opening: [],
  delta: (text, reason) => ({ index: 0, text, logprobs: null, finish_reason: reason }),
};

const chatShape: Shape = {
  prefix: "chatcmpl",
  whole: "chat.completion",
  chunk: "chat.completion.chunk",
  choice: (content, reason) => ({
    index: 0,
    message: { role: "assistant", content },
    logprobs: null,
    finish_reason: reason,
  }),
  opening: [{ index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }],
  delta: (content, reason) => ({
    index: 0,
    delta: reason === null ? { content } : {},
    logprobs: null,
    finish_reason: reason,
  }),
};

const usage = ({ promptTokens, newTokens }: Finish) => ({
  prompt_tokens: promptTokens,
  completion_tokens: newTokens,
  total_tokens: promptTokens + newTokens,
});

function textOptions(request: Settings): TextOptions {
  const { stop } = request;
  const given = {
    maxNewTokens: request.max_completion_tokens ?? request.max_tokens,
    temperature: request.temperature,
    topP: request.top_p,
    topK: request.top_k,
    minP: request.min_p,
    repetitionPenalty: request.repetition_penalty,
    seed: request.seed,
    stop: typeof stop === "string" ? [stop] : stop,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null));
}

async function read<T>(c: Context, schema: z.ZodType<T>): Promise<T | Response> {
  let body: unknown;
  try {
    body = await c.req.json();
  } catch {
    return refuse(c, 400, "expected a body of JSON");
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message: text }) => `${path.join(".") || "body"}: ${text}`);
  return refuse(c, 400, problems.join("; "));
}

type Refusal = 400 | 401 | 403 | 404 | 413 | 429 | 500;

function refuse(c: Context, status: Refusal, text: string): Response {
  const type = status === 500 ? "server_error" : status === 429 ? "rate_limit_error" : "invalid_request_error";
  return c.json({ error: { message: text, type, param: null, code: null } }, status);
}

/** A page that this server's own name gave. */
function isOwn(origin: string, hosts: readonly string[]): boolean {
  try {
    const { hostname, protocol } = new URL(origin);
    return (protocol === "http:" || protocol === "https:") && hosts.includes(hostname);
  } catch {
    return false;
  }
}

/** Takes the same time wherever the first difference is. */
function equal(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}
