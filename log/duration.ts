/** Lengths of time as people write them in settings. */

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Milliseconds of `7d`, `12h`, `90m`, `30s`, `500ms`, a bare number of milliseconds, or ISO 8601 (`P7D`, `PT12H`); null for anything else. */
export function parseDuration(text: string): number | null {
  const short = /^(\d{1,15})(ms|s|m|h|d|w)?$/.exec(text.trim())
  if (short) return Number(short[1]) * (unitMs[short[2] ?? 'ms'] as number)
  const iso = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/.exec(text.trim())
  if (!iso || iso.slice(1).every((part) => part === undefined)) return null
  const [weeks, days, hours, minutes, seconds] = iso.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number, number]
  return weeks * 604_800_000 + days * 86_400_000 + hours * 3_600_000 + minutes * 60_000 + seconds * 1000
}
