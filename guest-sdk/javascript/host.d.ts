type Write = (message: string) => void;
type Report = (name: string, value: number) => void;

/** Writes lines to the transform's log. */
export const log: { trace: Write; debug: Write; info: Write; warn: Write; error: Write };

/** Reports numbers: adds to a counter (1, if none is given), sets a gauge, observes. */
export const metric: {
  count: (name: string, value?: number) => void;
  gauge: Report;
  observe: Report;
};

/** Milliseconds since 1970. */
export function now(): number;
