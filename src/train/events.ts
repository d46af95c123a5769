/** What happens during training, told as it happens. Terminal, database, web page and tests are equal listeners. */
export type TrainEvent = StepEvent | EvaluationEvent | CheckpointEvent | WarningEvent | DoneEvent;

export interface StepEvent {
  readonly kind: "step";
  /** Updates done so far, this one included: 1 for the first. */
  readonly step: number;
  readonly steps: number;
  /** Mean loss of the batch, in nats per token, before the update. */
  readonly loss: number;
  readonly learningRate: number;
  /** Norm of the gradient before clipping. */
  readonly gradientNorm: number;
  /** Wall time of the step, in seconds. */
  readonly seconds: number;
  /** Tokens (or samples) per second. */
  readonly tokensPerSecond: number;
  /** Share of this machine's float32 matmul rate that the step reached, where both are known. */
  readonly utilization?: number;
  /** Estimated seconds to the end. */
  readonly remaining: number;
}

export interface EvaluationEvent {
  readonly kind: "evaluation";
  readonly step: number;
  readonly loss: number;
  /** loss / ln 2 / bytes per token, where the data says how many bytes a token is. */
  readonly bitsPerByte?: number;
  readonly seconds: number;
}

export interface CheckpointEvent {
  readonly kind: "checkpoint";
  readonly step: number;
  readonly path: string;
}

export interface WarningEvent {
  readonly kind: "warning";
  readonly step: number;
  readonly message: string;
}

export interface DoneEvent {
  readonly kind: "done";
  readonly step: number;
  /** `interrupted`: asked to stop before the last step; a checkpoint holds everything. */
  readonly reason: "finished" | "interrupted";
  readonly seconds: number;
}
