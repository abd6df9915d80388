/** Counts every time a limit took effect; the label is the setting's own name. */
export const reachedMetric = (limit: string): string => `loggerhead_limit_reached_total{limit="${limit}"}`
