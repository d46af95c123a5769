/** What the bench takes a processor for, from texts as Linux gives them in /proc/cpuinfo (shortened). */
import { describe, expect, it } from "vitest";

interface Clock {
  readonly hertz: number;
  readonly source: string;
}

interface Asked {
  readonly cpuinfo: string;
  readonly cores: number;
  readonly threads: number;
  readonly clocks: readonly Clock[];
  readonly product: number;
  readonly told?: number;
}

// Plain JavaScript has no declarations: what is used is typed here.
const file: string = "../../bench/silicon.js";
const { clocksNow, processorIn, siliconPeak } = (await import(file)) as {
  clocksNow: () => Clock[];
  processorIn: (cpuinfo: string) => { name: string; units: number; bits: number; operations: number } | undefined;
  siliconPeak: (asked: Asked) => { gflops?: number; how?: string; problem?: string };
};

/** As x86 has it: a block for each processor, tabs before the colons. */
const x86 = (vendor: string, family: number, model: number, name: string, flags: string, count = 2): string =>
  Array.from({ length: count }, (_, i) =>
    [
      ...[`processor\t: ${i}`, `vendor_id\t: ${vendor}`, `cpu family\t: ${family}`, `model\t\t: ${model}`],
      ...[`model name\t: ${name}`, "cpu MHz\t\t: 2596.120", `core id\t\t: ${i}`, `flags\t\t: fpu sse2 ${flags}`],
      "bugs\t\t: spectre_v1: none",
    ].join("\n"),
  ).join("\n\n");

const arm = (...parts: string[]): string =>
  parts
    .map((part, i) =>
      [
        ...[`processor\t: ${i}`, "BogoMIPS\t: 243.75", "Features\t: fp asimd evtstrm aes"],
        ...["CPU implementer\t: 0x41", "CPU architecture: 8", "CPU variant\t: 0x3", `CPU part\t: ${part}`],
      ].join("\n"),
    )
    .join("\n\n");

const amd = (family: number, model: number, flags = "fma avx2 avx512f") =>
  x86("AuthenticAMD", family, model, "AMD EPYC", flags);
const intel = (model: number, name: string, flags = "fma avx2 avx512f") =>
  x86("GenuineIntel", 6, model, `Intel(R) ${name}`, flags);

describe("float operations a cycle of one core", () => {
  it.each([
    [16, "Zen", amd(0x17, 0x01, "fma avx2")],
    [32, "Zen 2", amd(0x17, 0x31, "fma avx2")],
    [32, "Zen 3", amd(0x19, 0x01, "fma avx2")],
    [32, "Zen 4", amd(0x19, 0x11)], // 512 bits in two cycles
    [64, "Zen 5", amd(0x1a, 0x02)],
    [64, "Zen 5", amd(0x1a, 0x44)],
    [32, "Zen 5 for notebooks", amd(0x1a, 0x24)],
    [32, "Zen 5", amd(0x1a, 0x02, "fma avx2")], // a virtual machine that hides the wider ones
    [32, "Haswell", intel(0x3f, "Xeon(R) CPU E5-2680 v3 @ 2.50GHz", "fma avx2")],
    [32, "Skylake or a successor", intel(0x9e, "Core(TM) i7-8700K CPU @ 3.70GHz", "fma avx2")],
    [64, "Skylake for servers", intel(0x55, "Xeon(R) Platinum 8175M CPU @ 2.50GHz")],
    [64, "Skylake for servers", intel(0x55, "Xeon(R) Gold 5122 CPU @ 3.60GHz")],
    [32, "Skylake for servers with one unit of 512", intel(0x55, "Xeon(R) Gold 5118 CPU @ 2.30GHz")],
    [32, "Skylake for servers with one unit of 512", intel(0x55, "Xeon(R) Silver 4114 CPU @ 2.20GHz")],
    [32, "Ice Lake, Tiger Lake or Rocket Lake", intel(0x8c, "Core(TM) i7-1165G7 @ 2.80GHz")],
    [64, "Ice Lake for servers", intel(0x6a, "Xeon(R) Platinum 8375C CPU @ 2.90GHz")],
    [64, "Sapphire, Emerald or Granite Rapids", intel(0x8f, "Xeon(R) Platinum 8488C")],
    [16, "Neoverse N1", arm("0xd0c", "0xd0c")],
    [32, "Neoverse V1, V2 or V3", arm("0xd4f", "0xd4f")],
  ])("are %d of %s", (operations, name, cpuinfo) => {
    expect(processorIn(cpuinfo)).toMatchObject({ operations, name });
  });

  it.each([
    ["nothing", ""],
    ["a processor that is not in the list", amd(0x1a, 0x90)],
    ["a name that does not tell how many units there are", intel(0x55, "Xeon(R) CPU @ 2.00GHz")],
    ["cores of two kinds", arm("0xd0c", "0xd4f")],
    ["a processor whose flags were hidden", amd(0x1a, 0x02, "")],
    ["another system's text", "Processor: something\nHardware: else\n"],
  ])("are not known of %s", (_, cpuinfo) => {
    expect(processorIn(cpuinfo)).toBeUndefined();
  });
});

describe("the silicon's peak", () => {
  const counted = { hertz: 4.5e9, source: "by counting" };
  const reported = { hertz: 2.6e9, source: "as Linux reports it" };
  const zen5 = { cpuinfo: amd(0x1a, 0x02), cores: 2, threads: 2, clocks: [reported, counted], product: 480 };

  it("is cores × the fastest clock × operations, and says so", () => {
    expect(siliconPeak(zen5)).toEqual({
      gflops: 576,
      how:
        "2 cores × 4.50 GHz (the fastest seen right after a product, by counting) × 64 float operations a cycle " +
        "(Zen 5: 2 units of 512 bits)",
    });
  });

  it("counts no more cores than threads, and no more than there are", () => {
    expect(siliconPeak({ ...zen5, threads: 1, product: 200 }).gflops).toBe(288);
    expect(siliconPeak({ ...zen5, threads: 4 }).gflops).toBe(576);
  });

  it("says where a virtual machine counted the cores", () => {
    const cpuinfo = amd(0x1a, 0x02, "fma avx2 avx512f hypervisor");
    expect(siliconPeak({ ...zen5, cpuinfo }).how).toMatch(/^2 cores \(as the virtual machine counts them\) × /);
  });

  it("is not known where a product was faster: the clock cannot be the real one", () => {
    const { gflops, problem } = siliconPeak({ ...zen5, clocks: [reported] });
    expect(gflops).toBeUndefined();
    expect(problem).toContain("a product made 480 GFLOP/s, more than 2 cores × 2.60 GHz");
  });

  it("is not known without /proc/cpuinfo or of an unknown processor, and can be told", () => {
    expect(siliconPeak({ ...zen5, cpuinfo: "" }).problem).toMatch(/no \/proc\/cpuinfo; --silicon <GFLOP\/s> tells it$/);
    expect(siliconPeak({ ...zen5, cpuinfo: amd(0x1a, 0x90) }).problem).toContain("this processor");
    expect(siliconPeak({ ...zen5, cpuinfo: "", told: 600 })).toEqual({ gflops: 600, how: "as given with --silicon" });
  });
});

it("the clock is counted on any system", () => {
  const clock = clocksNow().at(-1);
  expect(clock?.source).toContain("counting");
  expect(clock?.hertz).toBeGreaterThan(2e8);
  expect(clock?.hertz).toBeLessThan(1e10);
});
