import { env, InterruptableStoppingCriteria, pipeline, TextStreamer } from "@huggingface/transformers";
import { fetchPretrained, nn, setWasmPaths } from "layerwise";

// Both run on ONNX Runtime's WebAssembly, which lies beside this page instead of on a server of others.
const beside = (path) => new URL(path, location.href).href;
setWasmPaths(beside("ort/"));
env.backends.onnx.wasm.wasmPaths = beside("ort-transformers/");
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = new URL(".", location.href).pathname;

const [form, prompt, engine, go, stop, progress, status, text] = [
  "form",
  "prompt",
  "engine",
  "go",
  "stop",
  "progress",
  "status",
  "text",
].map((id) => document.getElementById(id));

/** Of each engine: how a text is gone on with, piece by piece; loaded when it is first asked for. */
const engines = {
  async transformers() {
    const generate = await pipeline("text-generation", "model", {
      dtype: "q8",
      progress_callback: ({ loaded, total }) => total && loading(loaded, total),
    });
    return async (start, show, signal) => {
      const stopping = new InterruptableStoppingCriteria();
      signal.addEventListener("abort", () => stopping.interrupt());
      const streamer = new TextStreamer(generate.tokenizer, { skip_prompt: true, callback_function: show });
      await generate(start, { max_new_tokens: 60, do_sample: false, streamer, stopping_criteria: stopping });
    };
  },
  async layerwise() {
    const { model, tokenizer, endTokens } = await fetchPretrained("checkpoint", { onProgress: loading });
    // "webgpu" where the browser has it and the model is large enough to gain from it.
    const generator = new nn.Generator(model, { backend: "wasm" });
    return async (start, show, signal) => {
      const pieces = tokenizer.stream({ skipSpecials: true });
      const options = { maxNewTokens: 60, temperature: 0, stopTokens: endTokens, signal };
      for await (const [token] of generator.stream([tokenizer.encode(start)], options)) show(pieces.push(token));
      show(pieces.end());
    };
  },
};
const loaded = {};
let running;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  running = new AbortController();
  text.textContent = prompt.value;
  say("Loading …");
  busy(true);
  try {
    loaded[engine.value] ??= engines[engine.value]();
    const generate = await loaded[engine.value];
    progress.hidden = true;
    say("Writing …");
    const started = performance.now();
    await generate(prompt.value, (piece) => text.append(piece), running.signal);
    say(running.signal.aborted ? "Stopped." : `Done in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
  } catch (error) {
    if (error?.name === "AbortError") say("Stopped.");
    else {
      delete loaded[engine.value];
      say(error instanceof Error ? error.message : String(error), true);
    }
  } finally {
    progress.hidden = true;
    busy(false);
  }
});
stop.addEventListener("click", () => running?.abort());

function loading(bytes, total) {
  progress.hidden = false;
  progress.value = total ? bytes / total : 0;
  say(`Loading … ${(bytes / 1e6).toFixed(1)} MB`);
}

function say(sentence, isWrong = false) {
  status.textContent = sentence;
  status.classList.toggle("wrong", isWrong);
}

function busy(isBusy) {
  go.disabled = isBusy;
  stop.disabled = !isBusy;
}
