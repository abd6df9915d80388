/** The Grafana dashboard of the compose stack, watching/dashboard.json, as rows of panels. */

type Unit = 'ops' | 'Bps' | 's' | 'bytes' | 'short' | 'percentunit'

interface Panel {
  readonly title: string
  readonly about: string
  readonly unit: Unit
  /** Legend → PromQL. */
  readonly queries: Readonly<Record<string, string>>
}

const rate = (metric: string, by: string, where = ''): string => `sum by (${by}) (rate(${metric}${of(where)}[$__rate_interval]))`
const of = (where: string): string => `{namespace=~"$namespace"${where === '' ? '' : `,${where}`}}`
const quantile = (q: number, metric: string, by = '', where = ''): string =>
  `histogram_quantile(${q}, sum by (le${by === '' ? '' : `,${by}`}) (rate(${metric}_bucket${where}[$__rate_interval])))`

/** Rows from left to right, three panels each. */
export const rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[] = [
  {
    title: 'Clients',
    panels: [
      {
        title: 'Connections',
        about: 'With their CONNACK, by protocol',
        unit: 'short',
        queries: { '{{protocol}}': `sum by (protocol) (loggerhead_mqtt_connections${of('')})` },
      },
      {
        title: 'Requests that failed',
        about: 'By operation and Event Grid’s error',
        unit: 'ops',
        queries: { '{{operation_type}} {{error}}': rate('loggerhead_mqtt_requests_total', 'operation_type, error', 'result!="Success"') },
      },
      {
        title: 'Refusals',
        about: 'By their one reason (docs/operating.md)',
        unit: 'ops',
        queries: { '{{reason}}': rate('loggerhead_refusals_total', 'reason') },
      },
      { title: 'Connections that ended', about: 'By reason', unit: 'ops', queries: { '{{reason}}': rate('loggerhead_disconnections_total', 'reason') } },
      {
        title: 'Rates that took effect',
        about: 'By ThrottleType',
        unit: 'ops',
        queries: { '{{throttle_type}}': rate('loggerhead_mqtt_throttling_enforcements_total', 'throttle_type') },
      },
      {
        title: 'Limits reached',
        about: 'By setting (docs/limits.md)',
        unit: 'ops',
        queries: { '{{limit}}': 'sum by (limit) (rate(loggerhead_limit_reached_total[$__rate_interval]))' },
      },
    ],
  },
  {
    title: 'Messages',
    panels: [
      {
        title: 'Messages',
        about: 'Taken from clients, and sent to clients',
        unit: 'ops',
        queries: {
          'published QoS {{qos}}': rate('loggerhead_mqtt_successful_published_messages_total', 'qos'),
          'delivered QoS {{qos}}': rate('loggerhead_mqtt_successful_delivered_messages_total', 'qos'),
        },
      },
      { title: 'Throughput', about: 'Bytes of MQTT', unit: 'Bps', queries: { '{{direction}}': rate('loggerhead_mqtt_throughput_bytes_total', 'direction') } },
      {
        title: 'Messages that were lost or refused',
        about: 'Not taken, and not delivered, by reason',
        unit: 'ops',
        queries: {
          'publish: {{reason}}': rate('loggerhead_publishes_dropped_total', 'reason'),
          'delivery: {{reason}}': rate('loggerhead_deliveries_dropped_total', 'reason'),
        },
      },
      {
        title: 'PUBLISH to acknowledgement',
        about: 'QoS 1 and 2, the append to Kafka included',
        unit: 's',
        queries: {
          median: quantile(0.5, 'loggerhead_mqtt_successful_publish_latency_seconds', '', of('')),
          '99 %': quantile(0.99, 'loggerhead_mqtt_successful_publish_latency_seconds', '', of('')),
        },
      },
      {
        title: 'CONNECT to CONNACK',
        about: 'Authentication, the append, and the answer of the session’s owner',
        unit: 's',
        queries: { '99 % {{protocol}}': quantile(0.99, 'loggerhead_mqtt_successful_connect_latency_seconds', 'protocol', of('')) },
      },
      {
        title: 'Retained messages',
        about: 'Held by all shards',
        unit: 'short',
        queries: { messages: `sum(loggerhead_mqtt_retained_messages${of('')})`, bytes: `sum(loggerhead_mqtt_retained_messages_bytes${of('')})` },
      },
    ],
  },
  {
    title: 'Queues and lag',
    panels: [
      {
        title: 'Lag',
        about: 'Messages in the log that are not matched and done',
        unit: 'short',
        queries: { 'shard {{shard}}': `sum by (shard) (loggerhead_router_lag_records${of('')})` },
      },
      {
        title: 'Lag in time',
        about: 'Age of the newest message that was matched, while others wait',
        unit: 's',
        queries: { 'shard {{shard}}': `max by (shard) (loggerhead_router_lag_seconds${of('')})` },
      },
      {
        title: 'Owed to persistent sessions',
        about: 'Messages that wait in queues',
        unit: 'short',
        queries: {
          messages: `sum(loggerhead_queued_messages${of('')})`,
          sessions: `sum(loggerhead_sessions${of('')})`,
          connected: `sum(loggerhead_sessions_attached${of('')})`,
        },
      },
      {
        title: 'Oldest message owed',
        about: 'How long it has waited',
        unit: 's',
        queries: { 'shard {{shard}}': `max by (shard) (loggerhead_queued_oldest_seconds${of('')})` },
      },
      {
        title: 'Sessions that ended',
        about: 'By DropReason',
        unit: 'ops',
        queries: { '{{drop_reason}}': rate('loggerhead_mqtt_dropped_sessions_total', 'drop_reason') },
      },
      {
        title: 'On the way to gateways',
        about: 'Bytes',
        unit: 'bytes',
        queries: { '{{gateway}}': `sum by (gateway) (loggerhead_gateway_queued_bytes${of('')})` },
      },
    ],
  },
  {
    title: 'Kafka',
    panels: [
      {
        title: 'Append',
        about: 'From the first record of a batch to its answer, and the request alone',
        unit: 's',
        queries: {
          'append 99 % {{job}}': quantile(0.99, 'loggerhead_log_append_seconds', 'job'),
          'request 99 % {{job}}': quantile(0.99, 'loggerhead_log_produce_seconds', 'job'),
        },
      },
      {
        title: 'Records of a batch',
        about: 'Median: what shares the cost of a request',
        unit: 'short',
        queries: { '{{job}}': quantile(0.5, 'loggerhead_log_batch_records', 'job') },
      },
      { title: 'Waiting for Kafka', about: 'Bytes appended and not answered', unit: 'bytes', queries: { '{{instance}}': 'loggerhead_log_pending_bytes' } },
      {
        title: 'Read',
        about: 'Bytes fetched to follow, by topic',
        unit: 'Bps',
        queries: { '{{topic}}': 'sum by (topic) (rate(loggerhead_log_fetched_bytes_total[$__rate_interval]))' },
      },
      {
        title: 'Reads at a position',
        about: 'For queues whose messages are not in memory',
        unit: 's',
        queries: { '99 % {{job}}': quantile(0.99, 'loggerhead_log_read_seconds', 'job') },
      },
      { title: 'Kafka away', about: 'Time since it stopped answering', unit: 's', queries: { '{{instance}}': 'loggerhead_log_unreachable_seconds' } },
    ],
  },
  {
    title: 'Processes',
    panels: [
      { title: 'Event loop', about: '99 % of its delays', unit: 's', queries: { '{{instance}}': 'loggerhead_nodejs_eventloop_lag_p99_seconds' } },
      { title: 'CPU', about: 'Of one core', unit: 'percentunit', queries: { '{{instance}}': 'rate(loggerhead_process_cpu_seconds_total[$__rate_interval])' } },
      { title: 'Memory', about: 'Resident', unit: 'bytes', queries: { '{{instance}}': 'loggerhead_process_resident_memory_bytes' } },
      {
        title: 'Garbage collection',
        about: 'Share of the time',
        unit: 'percentunit',
        queries: { '{{instance}} {{kind}}': 'rate(loggerhead_nodejs_gc_duration_seconds_sum[$__rate_interval])' },
      },
      {
        title: 'HTTP API',
        about: '99 % of the registry’s answers, and requests by status at the front door',
        unit: 's',
        queries: { '{{kind}}': quantile(0.99, 'loggerhead_registry_request_seconds', 'kind') },
      },
      {
        title: 'Front door',
        about: 'Answers by who gave them and status',
        unit: 'ops',
        queries: { '{{hop}} {{code}}': 'sum by (hop, code) (rate(loggerhead_door_requests_total[$__rate_interval]))' },
      },
    ],
  },
]

const perRow = 3
const [width, height] = [24 / perRow, 7]
const source = { type: 'prometheus', uid: 'prometheus' }

/** As Grafana reads it. */
export function dashboard(): object {
  const panels: object[] = []
  let y = 0
  for (const row of rows) {
    panels.push({ id: panels.length + 1, type: 'row', title: row.title, collapsed: false, gridPos: { x: 0, y, w: 24, h: 1 }, panels: [] })
    y++
    for (const [i, { title, about, unit, queries }] of row.panels.entries()) {
      panels.push({
        id: panels.length + 1,
        type: 'timeseries',
        title,
        description: about,
        datasource: source,
        gridPos: { x: (i % perRow) * width, y: y + Math.floor(i / perRow) * height, w: width, h: height },
        fieldConfig: { defaults: { unit, min: 0, custom: { fillOpacity: 10, showPoints: 'never' } }, overrides: [] },
        options: { legend: { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] }, tooltip: { mode: 'multi', sort: 'desc' } },
        targets: Object.entries(queries).map(([legendFormat, expr], n) => ({ refId: String.fromCharCode(65 + n), datasource: source, expr, legendFormat })),
      })
    }
    y += Math.ceil(row.panels.length / perRow) * height
  }
  return {
    uid: 'loggerhead',
    title: 'Loggerhead',
    tags: ['mqtt', 'kafka'],
    schemaVersion: 39,
    editable: true,
    refresh: '10s',
    time: { from: 'now-30m', to: 'now' },
    templating: {
      list: [
        {
          name: 'namespace',
          label: 'Namespace',
          type: 'query',
          datasource: source,
          query: { query: 'label_values(loggerhead_mqtt_connections, namespace)', refId: 'namespace' },
          definition: 'label_values(loggerhead_mqtt_connections, namespace)',
          refresh: 2,
          includeAll: true,
          multi: true,
          allValue: '.*',
          current: { text: 'All', value: '$__all' },
        },
      ],
    },
    annotations: { list: [] },
    panels,
  }
}

/** watching/dashboard.json. */
export const dashboardText = (): string => `${JSON.stringify(dashboard(), null, 2)}\n`
