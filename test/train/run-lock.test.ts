/** One training at a time in a folder, whoever dies at whatever moment. */
import { createHash } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fit as train } from "../../src/train/fit.js";
import { isTraining, lockRun } from "../../src/train/run-lock.js";
import { bundle, ended, firstMessage, start } from "../support/child.js";
import { bitsOf, smallModel, smallTraining } from "../support/small-training.js";
import { unprivileged } from "../support/unprivileged.js";

let [root, script] = ["", ""];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "locks-"));
  script = await bundle(join(import.meta.dirname, "../support/lock-child.ts"));
});
afterAll(() => rm(root, { recursive: true }));

const fresh = (): Promise<string> => mkdtemp(join(root, "lock-"));
const locked = async (text: string): Promise<string> => {
  const folder = await fresh();
  await writeFile(join(folder, "lock"), text);
  return folder;
};
const nobody = 4194305; // above Linux's largest process id

describe("a lock", () => {
  test("keeps a second one out until it is let go, and leaves nothing", async () => {
    const folder = await fresh();
    const release = await lockRun(folder);
    expect(await isTraining(folder)).toBe(true);
    await expect(lockRun(folder)).rejects.toThrow(
      `${folder}: process ${process.pid} on ${hostname()} is training this run; wait for it, or delete ${folder}/lock if it is gone`,
    );
    expect(await readdir(folder)).toEqual(["lock"]);
    await release();
    expect(await readdir(folder)).toEqual([]);
    expect(await isTraining(folder)).toBe(false);
    await (await lockRun(folder))();
  });

  test.each([
    ["a process that died here", `${nobody} ${hostname()}\n`],
    ["one that died here, as it is written now", `${nobody} ${hostname()} 77 some-id\n`],
    ["one from before a restart, whose number is another's by now", `${process.pid} ${hostname()} 1 some-id\n`],
    ["this process, which could not remove it", `${process.pid} ${hostname()} 0 ${threadId}-some-id\n`],
  ])("of %s is taken over", async (_, text) => {
    const folder = await locked(text);
    expect(await isTraining(folder)).toBe(false);
    const release = await lockRun(folder);
    expect(await readFile(join(folder, "lock"), "utf8")).toMatch(`${process.pid} ${hostname()} `);
    expect(await readdir(folder)).toEqual(["lock"]);
    await release();
  });

  test.each([
    ["of another machine", "1 elsewhere\n", "process 1 on elsewhere"],
    ["that is unreadable", "?", "another process"],
    ["that is empty", "", "another process"],
    ["of another thread of this process", `${process.pid} ${hostname()} 0 987-some-id\n`, `process ${process.pid}`],
    ["of a process that lives", `${process.ppid} ${hostname()}\n`, `process ${process.ppid} on ${hostname()}`],
  ])("%s is respected", async (_, text, message) => {
    const folder = await locked(text);
    await expect(lockRun(folder)).rejects.toThrow(message);
    expect(await readFile(join(folder, "lock"), "utf8")).toBe(text);
  });

  describe("whose succession was claimed", () => {
    const dead = `${nobody} ${hostname()} 77 some-id\n`;
    const claimed = async (by: string): Promise<string> => {
      const folder = await locked(dead);
      const name = createHash("sha256").update(dead).digest("hex").slice(0, 32);
      await writeFile(join(folder, `.lock-after-${name}`), by);
      return folder;
    };

    test("by a process that died before it had it is taken over, and nothing is left", async () => {
      const folder = await claimed(`${nobody + 1} ${hostname()} 78 other-id\n`);
      const release = await lockRun(folder);
      expect(await readdir(folder)).toEqual(["lock"]);
      await release();
    });

    test("by a process that lives is respected", async () => {
      const folder = await claimed(`${process.ppid} ${hostname()}\n`);
      await expect(lockRun(folder)).rejects.toThrow(`process ${process.ppid} on ${hostname()} is training this run`);
    });
  });

  test("that somebody deleted, and another took, is not let go by the first", async () => {
    const folder = await fresh();
    const release = await lockRun(folder);
    await writeFile(join(folder, "lock"), "1 elsewhere\n");
    await release();
    expect(await readFile(join(folder, "lock"), "utf8")).toBe("1 elsewhere\n");
  });

  test("cannot be taken in a read-only folder", async () => {
    const folder = await fresh();
    await chmod(root, 0o755);
    await chmod(folder, 0o555);
    await unprivileged(() =>
      expect(lockRun(folder)).rejects.toMatchObject({
        code: "file",
        message: expect.stringMatching(/lock: the run could not be locked \(EACCES: permission denied/),
      }),
    );
  });

  test("of a dead process goes to one of many that ask at once, again and again", async () => {
    const folder = await locked(`${nobody} ${hostname()} 77 some-id\n`);
    for (let round = 0; round < 3; round++) {
      const children = Array.from({ length: 6 }, () => start(script, [folder]));
      await Promise.all(children.map(firstMessage));
      const answers = children.map(firstMessage);
      for (const child of children) child.send("go");
      const said = await Promise.all(answers);
      const winner = children[said.indexOf("taken")];
      expect(
        said.filter((answer) => answer === "taken"),
        JSON.stringify(said),
      ).toHaveLength(1);
      for (const answer of said)
        if (answer !== "taken")
          expect(answer).toContain(`process ${winner?.pid} on ${hostname()} is training this run`);
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(children.map(ended));
    }
    await (await lockRun(folder))();
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("two trainings of one folder", () => {
  test("the second is refused with the name of the first, which goes on undisturbed", async () => {
    const folder = await fresh();
    const more = { steps: 4, checkpoints: folder, checkpointEvery: 1, resume: true };
    const [first, second, alone] = [smallModel(), smallModel(), smallModel()];
    for await (const _ of train(smallTraining(alone, { steps: 4 })));
    for await (const event of train(smallTraining(first, more)))
      if (event.kind === "checkpoint")
        await expect(train(smallTraining(second, more)).next()).rejects.toThrow(
          `${folder}: process ${process.pid} on ${hostname()} is training this run`,
        );
    expect(await bitsOf(first)).toBe(await bitsOf(alone));
  });

  test.each(["returns", "fails"])("the folder is free again when the first %s early", async (how) => {
    const folder = await fresh();
    const options = smallTraining(smallModel(), { steps: 4, checkpoints: folder, resume: true });
    const first = train(options);
    await first.next();
    if (how === "returns") await first.return(undefined);
    else await expect(first.throw(new Error("listener"))).rejects.toThrow("listener");
    const events = [];
    for await (const { kind } of train(options)) events.push(kind);
    expect(events.at(-1)).toBe("done");
  });
});
