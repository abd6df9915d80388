import type { Settings, Values } from '../settings/setting.ts'

/** What every service reads about its own logs and traces. */
export const telemetrySettings = {
  LOG_LEVEL: {
    kind: 'text',
    default: 'info',
    oneOf: ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'],
    about: 'Least level of the log lines that a service writes',
  },
  LOG_FORMAT: {
    kind: 'text',
    default: '',
    oneOf: ['', 'json', 'pretty'],
    about: 'json: a line of JSON each; pretty: for people; empty: pretty on a terminal, json elsewhere',
  },
  LOG_LINES_PER_SECOND_MAX: {
    kind: 'number',
    default: 20,
    min: 1,
    max: 100_000,
    unit: 'lines/s',
    about: 'Log lines of one kind a second',
    outcome: 'the others are counted, and a line at the end of the second says how many they were',
    metric: 'loggerhead_lines_withheld_total',
  },
  TRACE_ENDPOINT: {
    kind: 'text',
    default: '',
    about: 'Where spans are sent, by OTLP over HTTP, as http://collector:4318/v1/traces; empty: nothing is traced',
  },
  TRACES_PER_MILLION: {
    kind: 'number',
    default: 1000,
    min: 0,
    max: 1_000_000,
    unit: 'messages',
    about: 'Of a million messages so many are traced; the same for all services',
  },
  TRACE_SPANS_WAITING_MAX: {
    kind: 'number',
    default: 2048,
    min: 1,
    max: 1_000_000,
    unit: 'spans',
    about: 'Spans that wait for the collector, in each service',
    outcome: 'further ones are dropped',
    metric: 'loggerhead_trace_spans_total{outcome="dropped"}',
  },
} as const satisfies Settings

export type TelemetryConfig = Values<typeof telemetrySettings>
