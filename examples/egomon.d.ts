// Types of egomon's messages, schema 1. Made by `python -m tools.make_types`; do not edit.
// Later versions add fields and reasons: ignore what you do not know.

/** Data of each kind of message; the kind is the fourth level of its topic. */
export interface MessageData {
  alert: AlertData;
  segment: SegmentData;
  status: StatusData;
  stats: StatsData;
  heartbeat: HeartbeatData;
  gap: GapData;
}

/** One revision of one alert; idempotent on (alert_id, rev). */
export interface AlertData {
  alert_id: string;
  rev: number;
  phase: "end" | "new" | "retract" | "update";
  state: "closed" | "confirmed" | "provisional" | "retracted";
  /** Open list; today: small_score, refined, refine_expired, breaker_open, severity_raised, evidence_ready, described, below_t_off, source_lost, source_ended, monitor_restarted, shutdown, context_reset, out_of_domain, refined_below_threshold */
  reason: string;
  explanation: string;
  source?: string;
  label?: "mistake";
  severity?: "alert" | "notice";
  p: number;
  segment: SegmentRef;
  media_opened: number;
  media_end?: number | null;
  scores: Scores;
  step?: Step | null;
  missing_steps?: string[];
  mode?: "full" | "small-only";
  degraded?: boolean;
  model: string;
  demonstration?: boolean;
  t?: WallTimes | null;
  latency_ms?: Latency | null;
  evidence?: Evidence[];
  prev?: Previous | null;
}

/** One branch: calibrated probability of a mistake and the raw logits (correct, mistake). */
export interface BranchScores {
  p: number;
  logits: [number, number];
}

/** CloudEvents 1.0 attributes with the extensions boot, seq and tseq. */
export interface Envelope<Data = MessageData[keyof MessageData]> {
  specversion?: "1.0";
  id: string;
  source: string;
  type: string;
  time: string;
  datacontenttype?: "application/json";
  dataschema: string;
  boot: string;
  seq: number;
  tseq: number;
  data: Data;
}

/** A stable code and one sentence, credentials removed. */
export interface ErrorInfo {
  code: string;
  message: string;
}

/** A picture or clip of what happened. */
export interface Evidence {
  kind: "clip" | "snapshot";
  media_type: string;
  attachment?: number | null;
  uri?: string | null;
  ready?: boolean;
  width?: number | null;
  height?: number | null;
  blurred?: boolean;
}

/** Frames or time lost, and why. */
export interface GapData {
  cause: string;
  count: number;
  from_pts?: number | null;
  to_pts?: number | null;
}

/** a_s and a_l; they sum to 1. */
export interface GateWeights {
  small: number;
  large: number;
}

/** Once a second: the last number of each topic, so loss before silence shows. */
export interface HeartbeatData {
  last_seq: number;
  last_tseq: Record<string, number>;
}

/** Milliseconds from one stage to the next; absent in replay, where they mean nothing. */
export interface Latency {
  small: number;
  large?: number | null;
  end_to_end: number;
}

/** The alert before this revision. */
export interface Previous {
  state: "closed" | "confirmed" | "provisional" | "retracted";
  p: number;
}

/** All that was measured about a segment. */
export interface Scores {
  small: BranchScores;
  large?: BranchScores | null;
  gate?: GateWeights | null;
  fused?: number | null;
  threshold: number;
  t_off: number;
}

/** A scored segment, alert or not. */
export interface SegmentData {
  segment: SegmentRef;
  p: number;
  stage: "expired" | "fused" | "small";
  scores: Scores;
  flagged: boolean;
  step?: Step | null;
  guard_distance?: number | null;
  out_of_domain?: boolean;
  mode?: "full" | "small-only";
  gaze?: SegmentGaze | null;
}

/** Where the wearer looked: from the frames of a segment that came with a gaze. */
export interface SegmentGaze {
  frames: number;
  worn: number;
  x?: number | null;
  y?: number | null;
}

/** Where in the stream. */
export interface SegmentRef {
  id: number;
  epoch: number;
  media_start: number;
  media_end: number;
  frames: number;
  dropped?: number;
  complete?: boolean;
}

/** Once a second. */
export interface StatsData {
  media_seconds: number;
  fps: number;
  frames: Record<string, number>;
  segments: number;
  alerts_open: number;
  alerts_total: number;
  queues: Record<string, number>;
  refine: Record<string, number>;
  latency_ms: Record<string, number>;
  rss_bytes?: number;
}

/** State of one source and of the monitor; sent on each change. */
export interface StatusData {
  source_state: "connecting" | "ended" | "offline" | "online" | "reconnecting" | "stalled";
  domain?: "in_domain" | "out_of_domain" | "unknown";
  refiner?: "absent" | "closed" | "half-open" | "open";
  mode?: "full" | "small-only";
  degraded?: boolean;
  attempt?: number;
  next_retry_s?: number | null;
  error?: ErrorInfo | null;
}

/** The step that the small branch believes it sees. */
export interface Step {
  id: string;
  text: string;
  conf: number;
}

/** ISO 8601, UTC; absent in replay. */
export interface WallTimes {
  capture_start: string;
  capture_end: string;
  opened: string;
}
