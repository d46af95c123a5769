/**
 * What the processor's float32 units could do at best: cores × clock × operations a cycle. No program reaches it; beside the rate of a
 * matrix product it tells how much that product itself leaves. Where it cannot be known, this is said instead.
 */
import { existsSync, readFileSync } from "node:fs";

/**
 * What /proc/cpuinfo says of a processor (vendor, family, hexadecimal models, at times a part of its name), what it is, and the units
 * of a core that multiply and add in every cycle: how many, of how many bits. Those who take two cycles for 512 bits, as Zen 4, or put
 * two units of 256 together, as Intel's notebooks, have 256 here. Processors with cores of several kinds are left out.
 */
const kinds = [
  ["AuthenticAMD", 0x17, "00-2f 50-5f", "Zen", 2, 128],
  ["AuthenticAMD", 0x17, "30-4f 60-7f 90-91 a0-af", "Zen 2", 2, 256],
  ["AuthenticAMD", 0x19, "00-0f 20-5f", "Zen 3", 2, 256],
  ["AuthenticAMD", 0x19, "10-1f 60-af", "Zen 4", 2, 256],
  ["AuthenticAMD", 0x1a, "00-1f 40-4f", "Zen 5", 2, 512],
  ["AuthenticAMD", 0x1a, "20-2f 60-6f", "Zen 5 for notebooks", 2, 256],
  ["GenuineIntel", 6, "3c 3f 45 46", "Haswell", 2, 256],
  ["GenuineIntel", 6, "3d 47 4f 56", "Broadwell", 2, 256],
  ["GenuineIntel", 6, "4e 5e 8e 9e a5 a6", "Skylake or a successor", 2, 256],
  ["GenuineIntel", 6, "7d 7e 8c 8d a7", "Ice Lake, Tiger Lake or Rocket Lake", 2, 256],
  ["GenuineIntel", 6, "55", "Skylake for servers", 2, 512, /Platinum|Gold (6|5[12]22)|W-[23]|i[79]-/],
  ["GenuineIntel", 6, "55", "Skylake for servers with one unit of 512", 2, 256, /Silver|Bronze|Gold 5[12]/],
  ["GenuineIntel", 6, "6a", "Ice Lake for servers", 2, 512],
  ["GenuineIntel", 6, "8f cf ad", "Sapphire, Emerald or Granite Rapids", 2, 512],
  ["0x41", 8, "d0b", "Cortex-A76", 2, 128],
  ["0x41", 8, "d0c", "Neoverse N1", 2, 128],
  ["0x41", 8, "d49", "Neoverse N2", 2, 128],
  ["0x41", 8, "d40 d4f d84", "Neoverse V1, V2 or V3", 4, 128],
];

/** The fields of each processor in the text of /proc/cpuinfo. */
function listed(cpuinfo) {
  const fields = (block) => [...block.matchAll(/^([^:\n]*?)\s*:[ \t]*(.*)$/gm)].map(([, name, value]) => [name, value]);
  const blocks = cpuinfo.split(/\n\s*\n/).map((block) => Object.fromEntries(fields(block)));
  return blocks.filter((block) => "processor" in block);
}

const within = (models, model) =>
  models.split(" ").some((range) => {
    const [low, high = low] = range.split("-").map((end) => Number.parseInt(end, 16));
    return low <= model && model <= high;
  });

function kindOf(fields) {
  const vendor = fields.vendor_id ?? fields["CPU implementer"];
  const family = Number(fields["cpu family"] ?? fields["CPU architecture"]);
  const model = Number(fields.model ?? fields["CPU part"]);
  const title = fields["model name"] ?? "";
  const kind = kinds.find(
    ([who, generation, models, , , , pattern]) =>
      who === vendor && generation === family && within(models, model) && (pattern?.test(title) ?? true),
  );
  return kind && { name: kind[3], units: kind[4], bits: kind[5] };
}

/** The widest that a program may use: a virtual machine can hide what its processor has. */
function allowedBits(flags) {
  if (flags.has("avx512f")) return 512;
  if (flags.has("fma") && flags.has("avx2")) return 256;
  return flags.has("asimd") ? 128 : 0;
}

/**
 * What is said of the processor: `{ name, units, bits, operations, isVirtual }`, or nothing where it is unknown or its cores differ.
 * Operations are float ones of a core in a cycle: a multiplication with its addition is two.
 */
export function processorIn(cpuinfo) {
  const all = listed(cpuinfo);
  const [kind, ...others] = all.map(kindOf);
  if (!kind || others.some((other) => other?.name !== kind.name)) return undefined;
  const flags = new Set((all[0].flags ?? all[0].Features ?? "").split(" "));
  const bits = Math.min(kind.bits, allowedBits(flags));
  if (bits === 0) return undefined;
  return { ...kind, bits, operations: (kind.units * bits * 2) / 32, isVirtual: flags.has("hypervisor") };
}

/** `{ gflops, how }` of as many cores as there are threads, or `{ problem }`; see `clocksNow`. `product` is the fastest rate measured. */
export function siliconPeak({ cpuinfo, cores, threads, clocks, product, told }) {
  if (told !== undefined) return { gflops: told, how: "as given with --silicon" };
  const unknown = (why) => ({ problem: `${why}; --silicon <GFLOP/s> tells it` });
  if (cpuinfo === "") return unknown("this system has no /proc/cpuinfo");
  const processor = processorIn(cpuinfo);
  if (!processor) return unknown("the operations a cycle of this processor are not in bench/silicon.js");
  const clock = clocks.reduce((best, next) => (next.hertz > best.hertz ? next : best));
  const used = Math.min(cores, threads);
  const gflops = (used * clock.hertz * processor.operations) / 1e9;
  const how = inWords(used, clock, processor);
  return product > gflops ? unknown(`a product made ${product.toFixed(0)} GFLOP/s, more than ${how}`) : { gflops, how };
}

function inWords(cores, { hertz, source }, { name, units, bits, operations, isVirtual }) {
  const counted = `${cores} ${cores === 1 ? "core" : "cores"}${isVirtual ? " (as the virtual machine counts them)" : ""}`;
  const clock = `${(hertz / 1e9).toFixed(2)} GHz (the fastest seen right after a product, ${source})`;
  return `${counted} × ${clock} × ${operations} float operations a cycle (${name}: ${units} units of ${bits} bits)`;
}

/**
 * Clocks in hertz as they are found now, each with its source: to be asked right after a product, while the processor runs as it did
 * then. A virtual machine reports a clock that is not the real one, so additions are counted, too.
 */
export function clocksNow() {
  const reported = [...cpuinfoText().matchAll(/^cpu MHz\s*:\s*([\d.]+)/gm)].map(([, megahertz]) => 1e6 * megahertz);
  const file = "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq";
  const allowed = existsSync(file) ? [1000 * Number(readFileSync(file, "utf8"))] : [];
  return [
    ...reported.map((hertz) => ({ hertz, source: "as Linux reports it" })),
    ...allowed.map((hertz) => ({ hertz, source: "the most that Linux allows" })),
    { hertz: countedClock(), source: "by counting additions that wait for each other" },
  ];
}

/** The text of /proc/cpuinfo, empty where there is none. */
export const cpuinfoText = () => (process.platform === "linux" ? readFileSync("/proc/cpuinfo", "utf8") : "");

/** The fastest count of a quarter of a second, each a millisecond: whatever disturbs one makes it slower, as does code not yet compiled. */
function countedClock(rounds = 250_000) {
  let best = 0;
  const end = performance.now() + 250;
  for (let i = 0; performance.now() < end; i++) {
    const start = performance.now();
    chain(rounds, i, rounds - i); // other numbers each time: an addition of a constant may take no cycle at all
    best = Math.max(best, (rounds * 16 * 1000) / (performance.now() - start));
  }
  return best;
}

/** 16 operations a round, each of which needs the one before it and takes one cycle. Plain integers: V8 must see that they are. */
function chain(rounds, first, second) {
  const a = first | 0;
  const b = second | 0;
  let x = a;
  for (let i = 0; i < rounds; i++) {
    x = ((x ^ a) + b) | 0;
    x = ((x ^ a) + b) | 0;
    x = ((x ^ a) + b) | 0;
    x = ((x ^ a) + b) | 0;
    x = ((x ^ a) + b) | 0;
    x = ((x ^ a) + b) | 0;
    x = ((x ^ a) + b) | 0;
    x = ((x ^ a) + b) | 0;
  }
  return x;
}
