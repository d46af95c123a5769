/** The completion server over real HTTP: conventions, streaming, and who may ask. */
import { request } from "node:http";
import { serve } from "@hono/node-server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { completionServer } from "../../src/applications/server.js";
import { TextGenerator } from "../../src/applications/text-generation.js";
import { waitingLine } from "../../src/applications/waiting-line.js";

const folder = new URL("../golden/checkpoints/llama-chat", import.meta.url).pathname;
let generator: TextGenerator;
let server: ReturnType<typeof serve>;
let base = "";

beforeAll(async () => {
  generator = await TextGenerator.open(folder);
  const app = completionServer(generator, { model: "tiny", origins: ["https://friend.example"] });
  await new Promise<void>((ready) => {
    server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
      base = `http://127.0.0.1:${port}`;
      ready();
    });
  });
});
afterAll(async () => {
  server.close();
  await generator.release();
});

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${base}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

const events = (text: string): string[] =>
  text
    .split("\n\n")
    .filter(Boolean)
    .map((event) => event.replace(/^data: /, ""));

describe("completions", () => {
  it("lists its model", async () => {
    const { data } = (await (await fetch(`${base}/v1/models`)).json()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(["tiny"]);
  });

  it("goes on from a text", async () => {
    const response = await post("/v1/completions", { model: "tiny", prompt: "The gradient", max_tokens: 12 });
    const { text, newTokens, promptTokens } = await generator.complete("The gradient", { maxNewTokens: 12 });
    expect(await response.json()).toMatchObject({
      object: "text_completion",
      model: "tiny",
      choices: [{ index: 0, text, finish_reason: "length" }],
      usage: { prompt_tokens: promptTokens, completion_tokens: newTokens, total_tokens: promptTokens + newTokens },
    });
  });

  it("answers a chat, whole and streamed alike", async () => {
    const messages = [{ role: "user", content: [{ type: "text", text: "Hi" }] }];
    const whole = (await (await post("/v1/chat/completions", { messages, max_tokens: 10 })).json()) as {
      object: string;
      choices: { message: { role: string; content: string }; finish_reason: string }[];
    };
    expect(whole.object).toBe("chat.completion");
    const response = await post("/v1/chat/completions", {
      messages,
      max_tokens: 10,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const parts = events(await response.text());
    expect(parts.at(-1)).toBe("[DONE]");
    const chunks = parts.slice(0, -1).map(
      (part) =>
        JSON.parse(part) as {
          object: string;
          choices: { delta: { role?: string; content?: string }; finish_reason: string | null }[];
          usage?: { completion_tokens: number };
        },
    );
    expect(chunks.every(({ object }) => object === "chat.completion.chunk")).toBe(true);
    expect(chunks[0]?.choices[0]?.delta.role).toBe("assistant");
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe(whole.choices[0]?.finish_reason);
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(10);
  });

  it.each([
    ["/v1/completions", "{", 400, "expected a body of JSON"],
    ["/v1/completions", {}, 400, "prompt: "],
    ["/v1/completions", { prompt: "a", temperature: 9 }, 400, "temperature: "],
    ["/v1/completions", { prompt: "a", n: 2 }, 400, "n: only one completion at a time is made"],
    ["/v1/completions", { prompt: "a", logprobs: true }, 400, "logprobs: is not supported"],
    ["/v1/completions", { prompt: "a", tempreature: 1 }, 400, "tempreature"],
    ["/v1/completions", { prompt: "word ".repeat(100) }, 400, "the model's context is 64"],
    ["/v1/chat/completions", { messages: [] }, 400, "messages: "],
    ["/v1/nothing", {}, 404, "there is no /v1/nothing"],
    ["/v1/completions", { prompt: "x".repeat(5e6) }, 413, "bytes"],
  ])("%s %j is refused", async (path, body, status, message) => {
    const response = await post(path, body);
    expect(response.status).toBe(status);
    const { error } = (await response.json()) as { error: { message: string; type: string } };
    expect(error.message).toContain(message);
    expect(error.type).toBe("invalid_request_error");
  });
});

/** `fetch` does not let one choose Host. */
const statusWith = (headers: Record<string, string>): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    request(`${base}/v1/models`, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });

describe("who may ask", () => {
  it.each([
    [{ host: "localhost:8080" }, 200],
    [{ host: "evil.example" }, 403],
    [{ host: "127.0.0.1.evil.example" }, 403],
    [{ origin: "https://evil.example" }, 403],
    [{ origin: "null" }, 403],
    [{ origin: "http://localhost.evil.example" }, 403],
    [{ origin: "http://localhost:5173" }, 200],
    [{ origin: "https://friend.example" }, 200],
  ])("%j: %d", async (headers, status) => {
    expect(await statusWith(headers as Record<string, string>)).toBe(status);
  });

  it("needs the token where there is one", async () => {
    const app = completionServer(generator, { model: "tiny", token: "secret" });
    const ask = (headers: Record<string, string>) =>
      app.request("/v1/models", { headers: { host: "localhost", ...headers } });
    expect((await ask({})).status).toBe(401);
    expect((await ask({ authorization: "Bearer secreT" })).status).toBe(401);
    expect((await ask({ authorization: "Bearer secret" })).status).toBe(200);
  });
});

describe("the queue", () => {
  it("turns away what is one too many, and answers the rest", async () => {
    const app = completionServer(generator, { model: "tiny", queue: 1 });
    const ask = () =>
      app.request("/v1/completions", {
        method: "POST",
        headers: { host: "localhost", "content-type": "application/json" },
        body: JSON.stringify({ prompt: "The gradient", max_tokens: 8 }),
      });
    const statuses = (await Promise.all([ask(), ask(), ask(), ask()])).map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 429, 429]);
    expect((await ask()).status).toBe(200);
  });

  it("goes on after a task that fails", async () => {
    const line = waitingLine(1);
    const [first, second] = [line.enter(), line.enter()];
    expect(line.enter()).toBeUndefined();
    await expect(first?.(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await second?.(async () => 2)).toBe(2);
    expect(line.enter()).toBeDefined();
  });
});

describe("a client that goes away", () => {
  it("stops the work for it", async () => {
    const abort = new AbortController();
    const response = await fetch(`${base}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "a", max_tokens: 60, stream: true }),
      signal: abort.signal,
    });
    await response.body?.getReader().read();
    abort.abort();
    // The next one is answered at once.
    const next = await post("/v1/completions", { prompt: "a", max_tokens: 1 });
    expect(next.status).toBe(200);
  });
});
