/** A terminal of the few control sequences the live view uses: what a person would see, and how it got there. */
export class Screen {
  readonly writes: string[] = [];
  lines: string[] = [""];
  isCursorHidden = false;
  widest = 0;
  private row = 0;
  private column = 0;
  constructor(private readonly columns: number) {}

  write(text: string): void {
    this.writes.push(text);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is parsed
    for (const [token] of text.matchAll(/\x1b\[\??\d*[A-Za-z]|\r|\n|[^\x1b\r\n]/gu)) this.apply(token);
  }

  private apply(token: string): void {
    if (token === "\r") this.column = 0;
    else if (token === "\n") this.moveTo(this.row + 1, 0);
    else if (token === "\x1b[?25l") this.isCursorHidden = true;
    else if (token === "\x1b[?25h") this.isCursorHidden = false;
    else if (token === "\x1b[K") this.lines[this.row] = [...this.line()].slice(0, this.column).join("");
    else if (token === "\x1b[J") this.lines.length = this.row + 1;
    else if (token.endsWith("A")) this.row = Math.max(0, this.row - Number(token.slice(2, -1)));
    else if (token.startsWith("\x1b")) throw new Error(`the screen does not know ${JSON.stringify(token)}`);
    else this.put(token);
  }

  private put(character: string): void {
    if (this.column >= this.columns) this.moveTo(this.row + 1, 0);
    const characters = [...this.line().padEnd(this.column)];
    characters[this.column++] = character;
    this.lines[this.row] = characters.join("");
    this.widest = Math.max(this.widest, this.column);
  }

  private moveTo(row: number, column: number): void {
    [this.row, this.column] = [row, column];
    while (this.lines.length <= row) this.lines.push("");
  }

  private line(): string {
    return this.lines[this.row] as string;
  }
}
