import { count } from '../support/available.ts'

/** Seeds of so many courses: SIM_SEED alone where it is set, else the same each time, and others in `npm run test:long`. */
export function seedsOf(courses: number): readonly number[] {
  if (process.env.SIM_SEED) return [Number(process.env.SIM_SEED)]
  const first = count(20_191, Math.floor(Date.now() / 1_000) % 1_000_000)
  return Array.from({ length: courses }, (_, i) => first + i * 7919)
}
