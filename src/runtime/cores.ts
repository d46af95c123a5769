/** How many threads a machine's arithmetic can use, from what Linux says about it. */

/**
 * Physical cores in the text of /proc/cpuinfo: hyper-threads share a core's arithmetic units, so counting them makes
 * matrix products slower. Processors that do not say which core they are (ARM) count as one each.
 */
export function coresIn(cpuinfo: string): number {
  const field = (block: string, name: string) => new RegExp(`^${name}\\s*:\\s*(\\d+)`, "m").exec(block)?.[1];
  const processors = cpuinfo.split("\n\n").filter((block) => field(block, "processor") !== undefined);
  const cores = processors.map((block) => {
    const core = field(block, "core id");
    return core === undefined ? `processor ${field(block, "processor")}` : `${field(block, "physical id")}/${core}`;
  });
  return new Set(cores).size;
}

/** Processors that a container may use at once, from its cpu.max ("quota period", in µs, or "max period"). */
export function quotaIn(cpuMax: string): number {
  const [quota, period] = cpuMax.trim().split(/\s+/).map(Number);
  return quota !== undefined && period !== undefined && quota > 0 && period > 0
    ? Math.max(1, Math.floor(quota / period))
    : Number.POSITIVE_INFINITY;
}
