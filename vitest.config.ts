import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  resolve: {
    // Tests run the sources; the package's own "imports" and "exports" point at dist.
    alias: { "#host": path("./src/runtime/host-node.ts"), layerwise: path("./src/index.ts") },
  },
  test: {
    include: ["test/**/*.test.ts"],
    // A process per file: the engine's threads and native memory end with it.
    pool: "forks",
    maxWorkers: 2,
    // Generous on purpose: a loaded machine is not a failure.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    coverage: {
      provider: "v8",
      reporter: ["text-summary", "html"],
      include: ["src/**/*.ts"],
      exclude: ["src/compile/onnx/onnx_pb.ts"],
    },
  },
});
