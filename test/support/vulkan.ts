/** WebGPU for Node on machines without a GPU: the software driver that Chromium brings along. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const folder = ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"].find((path) =>
  existsSync(join(path, "vk_swiftshader_icd.json")),
);

/** What a process needs in its environment to use it; undefined where there is none. */
export const softwareVulkan: NodeJS.ProcessEnv | undefined =
  folder === undefined
    ? undefined
    : {
        VK_ICD_FILENAMES: join(folder, "vk_swiftshader_icd.json"),
        LD_LIBRARY_PATH: folder,
      };
