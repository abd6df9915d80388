import type { Tracing, TracingOptions } from './tracing.ts'

/** Null when TRACE_ENDPOINT is empty. Throws SettingError when it is no URL. */
export async function openTracing(options: TracingOptions): Promise<Tracing | null> {
  if (options.config.TRACE_ENDPOINT === '') return null
  const { OtlpTracing } = await import('./otlp-tracing.ts')
  return new OtlpTracing(options)
}
