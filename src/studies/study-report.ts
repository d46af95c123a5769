/**
 * What a study hands over to be drawn: plain data, nothing but JSON inside, so that a run's folder can keep it and a
 * report can be drawn again without running anything. Numbers that do not exist (a diverged loss, a cell that was not
 * measured) are null.
 */
import type { PaperId } from "../catalogue/catalogue.js";
import type { Claim } from "../catalogue/claim.js";

export interface StudyReport {
  /** The study's name on the command line: "placement". */
  readonly id: string;
  /** The question as a headline: "Where should the norm sit?" */
  readonly title: string;
  /** The answer in two or three sentences, for readers who stop here. */
  readonly summary: string;
  /** When the last run ended, ISO 8601. */
  readonly finished: string;
  /** Wall-clock time of all runs, seconds. */
  readonly seconds: number;
  /** The command that measures all of it again. */
  readonly command: string;
  /** What it ran on: processor, threads, versions. */
  readonly machine: string;
  /** What was run, in reading order: text, model, steps, learning rates, seeds. */
  readonly setup: readonly Fact[];
  /** The claims judged, by paper, in the order to show. */
  readonly papers: readonly PaperVerdicts[];
  readonly sections: readonly Section[];
  /** What an experiment of this size cannot show, one sentence each. */
  readonly limits?: readonly string[];
}

export interface Fact {
  readonly label: string;
  readonly value: string;
}

export interface PaperVerdicts {
  readonly paper: PaperId;
  readonly claims: readonly Claim[];
}

export interface Section {
  readonly title: string;
  /** Paragraphs of plain text. */
  readonly prose: readonly string[];
  readonly figures?: readonly Figure[];
  readonly tables?: readonly Table[];
}

export type Figure = LinesFigure | HeatMapFigure | AngularFigure | BarsFigure | ImagesFigure;

interface FigureText {
  /** What is drawn: "Validation loss". */
  readonly title: string;
  /** What to see in it, one or two sentences. Say "high" and "low", not dark and pale: dark mode turns colours around. */
  readonly caption: string;
}

export interface Axis {
  readonly label: string;
  readonly unit?: string;
  /**
   * `log` for values over orders of magnitude (all positive). `symlog` also takes zero and negative values: linear
   * within ±`threshold`, logarithmic beyond. Default `linear`.
   */
  readonly scale?: "linear" | "log" | "symlog";
  /** Half-width of the linear part of `symlog`; default 0.01. */
  readonly threshold?: number;
  /** Ends of the axis; values outside are cut off at the frame. Default: the range of the data. */
  readonly min?: number;
  readonly max?: number;
}

/**
 * Who a curve or panel belongs to. One key has one colour in every figure of every report: the kinds of placement
 * (`pre`, `post`, `peri`, `output`, `mix`, `lns`) have theirs fixed, other keys take the next free ones.
 */
export interface Subject {
  readonly key: string;
  /** As written in the figure: "Peri-LN". */
  readonly name: string;
}

/** Curves over a common axis, such as loss over steps. */
export interface LinesFigure extends FigureText {
  readonly kind: "lines";
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Points in the centred window of the running mean that is drawn strong over the faint raw curves; default 1. */
  readonly smooth?: number;
}

export interface Series extends Subject {
  /** One per seed; every run is drawn faintly, their mean strongly. */
  readonly runs: readonly Run[];
}

export interface Run {
  readonly x: readonly number[];
  readonly y: readonly (number | null)[];
}

/** Layer × step, one panel per subject, all on one colour scale. */
export interface HeatMapFigure extends FigureText {
  readonly kind: "heat-map";
  readonly x: Axis;
  readonly y: Axis;
  /** What a colour means; `scale: "log"` for variances and gradient norms. */
  readonly value: Axis;
  /** Where the columns are on x (steps), ascending; where the rows are on y (layers). */
  readonly columns: readonly number[];
  readonly rows: readonly number[];
  /** What to write at columns and rows instead of numbers, one each: the tokens of a text. */
  readonly columnNames?: readonly string[];
  readonly rowNames?: readonly string[];
  /** The first row on top, as a matrix is written (default: at the bottom, as layers are stacked). */
  readonly downward?: boolean;
  readonly panels: readonly Panel[];
}

export interface Panel extends Subject {
  /** `values[row][column]`. */
  readonly values: readonly (readonly (number | null)[])[];
}

/** Angular distance between layer l and layer l + gap; triangular, in 0..1. */
export interface AngularFigure extends FigureText {
  readonly kind: "angular-heat-map";
  /** `values[gap - 1][layer]`; null where layer + gap is beyond the last layer. */
  readonly panels: readonly Panel[];
}

/** One bar per layer, one panel per subject: loss change when the layer is skipped. */
export interface BarsFigure extends FigureText {
  readonly kind: "bars";
  readonly x: Axis;
  readonly y: Axis;
  readonly panels: readonly BarPanel[];
}

export interface BarPanel extends Subject {
  readonly values: readonly (number | null)[];
  /** Standard error of each bar. */
  readonly errors?: readonly (number | null)[];
}

/** Rows of small pictures: what went in, what came out. Made by `imagesFigure`. */
export interface ImagesFigure extends FigureText {
  readonly kind: "images";
  /** What each place in a row shows, if the places mean something. */
  readonly columns?: readonly string[];
  readonly rows: readonly ImageRow[];
}

export interface ImageRow {
  readonly name: string;
  readonly images: readonly Picture[];
}

export interface Picture {
  /** A PNG as a data URL. */
  readonly source: string;
  readonly width: number;
  readonly height: number;
}

export interface Table {
  readonly title: string;
  readonly caption?: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** Text, a number (formatted to four significant digits), nothing, or a small curve. */
export type Cell = string | number | null | Sparkline;

export interface Sparkline {
  readonly spark: readonly (number | null)[];
  /** Whose colour it has. */
  readonly key?: string;
}
