/** When to restart what died: the first time at once, then after 100 ms, doubling up to 1 s, which keeps a return within seconds; calm again after it ran 10 s. */
export interface Backoff {
  /** Deaths in a row, each after a short life. */
  readonly deaths: number
}

export const initialBackoff: Backoff = { deaths: 0 }

const calmAfterMs = 10_000

export function afterDeath(backoff: Backoff, ranMs: number): { readonly backoff: Backoff; readonly delayMs: number } {
  const deaths = ranMs >= calmAfterMs ? 0 : backoff.deaths
  return { backoff: { deaths: deaths + 1 }, delayMs: deaths === 0 ? 0 : Math.min(1_000, 100 * 2 ** (deaths - 1)) }
}
