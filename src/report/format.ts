import type { Measurement } from "../catalogue/claim.js";

/** "2.64", "0.0312", "5.74e3" → "5,740", "1.2e-7": `digits` significant digits as a reader expects them. */
export function formatNumber(value: number | null, digits = 3): string {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e6 || size < 1e-4 ? exponential(size, digits) : plain(size, digits);
  return value < 0 ? `−${text}` : text;
}

function plain(size: number, digits: number): string {
  // The exponent after rounding: 9.999 becomes 10.0, not 10.00.
  const exponent = Number(size.toExponential(digits - 1).split("e")[1]);
  const decimals = Math.max(0, digits - 1 - exponent);
  return Number(size.toPrecision(digits)).toLocaleString("en", {
    minimumFractionDigits: Math.min(decimals, 20),
    maximumFractionDigits: Math.min(decimals, 20),
  });
}

function exponential(size: number, digits: number): string {
  const [mantissa = "", exponent = "0"] = size.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`.replace("e-", "e−");
}

/** "2.643 ± 0.012": as many decimals as the error's second significant digit warrants; "diverged" without a mean. */
export function formatMeasurement({ mean, standardError }: Measurement): string {
  if (mean === null || !Number.isFinite(mean)) return "diverged";
  if (standardError === null || !Number.isFinite(standardError)) return formatNumber(mean, 4);
  if (standardError === 0) return `${formatNumber(mean, 4)} ± 0`;
  if (Math.abs(mean) >= 1e6 || standardError < 1e-5)
    return `${formatNumber(mean, 4)} ± ${formatNumber(standardError, 2)}`;
  const decimals = Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(standardError))));
  return `${fixed(mean, decimals)} ± ${fixed(standardError, decimals)}`;
}

function fixed(value: number, decimals: number): string {
  const text = Math.abs(value).toLocaleString("en", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
  return value < 0 ? `−${text}` : text;
}

/** "0.0032", "< 0.0001", "–" where there is no test. */
export function formatP(p: number | null): string {
  if (p === null || Number.isNaN(p)) return "–";
  return p < 1e-4 ? "< 0.0001" : String(Number(p.toPrecision(2)));
}

/** "42 s", "6 min 10 s", "3 h 05 min". */
export function formatDuration(seconds: number): string {
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return total % 60 === 0 ? `${minutes} min` : `${minutes} min ${total % 60} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** "step", "loss (nats)". */
export function axisTitle({ label, unit }: { readonly label: string; readonly unit?: string }): string {
  return unit ? `${label} (${unit})` : label;
}
