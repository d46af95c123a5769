const blocks = "▁▂▃▄▅▆▇█";
const kept = 4096;

/** A curve of any length in little memory: when full, neighbours are averaged. */
export class Curve {
  private values: number[] = [];
  private group = 1;
  private sum = 0;
  private count = 0;

  add(value: number): void {
    this.sum += value;
    if (++this.count < this.group) return;
    this.values.push(this.sum / this.count);
    [this.sum, this.count] = [0, 0];
    if (this.values.length < kept) return;
    this.values = halve(this.values);
    this.group *= 2;
  }

  /** The whole curve in at most `width` characters, lowest value low; what is not finite is a cross. */
  draw(width: number): string {
    const columns = Math.min(width, this.values.length);
    const means = Array.from({ length: columns }, (_, i) => {
      const part = this.values.slice(
        Math.floor((i * this.values.length) / columns),
        Math.floor(((i + 1) * this.values.length) / columns),
      );
      return part.reduce((a, b) => a + b, 0) / part.length;
    });
    const finite = means.filter(Number.isFinite);
    const low = Math.min(...finite);
    const span = Math.max(...finite) - low;
    return means.map((mean) => block(mean, low, span)).join("");
  }
}

function block(value: number, low: number, span: number): string {
  if (!Number.isFinite(value)) return "×";
  return blocks[span === 0 ? 0 : Math.min(7, Math.floor((8 * (value - low)) / span))] as string;
}

const halve = (values: readonly number[]): number[] =>
  Array.from({ length: values.length / 2 }, (_, i) => ((values[2 * i] as number) + (values[2 * i + 1] as number)) / 2);
