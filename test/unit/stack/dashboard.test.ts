import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { dashboardText } from '../../../stack/dashboard.ts'

interface Target {
  readonly refId: string
  readonly expr: string
  readonly datasource: { readonly uid: string }
}

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly Target[]
}

const dashboard = JSON.parse(dashboardText()) as {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string }[] }
}
const { panels, templating } = dashboard

test('panels have ids of their own, stand within Grafana’s 24 columns, and none lies on another', () => {
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const taken = new Map<string, string>()
  for (const { title, gridPos } of panels) {
    const { x, y, w, h } = gridPos
    expect([title, x + w <= 24]).toEqual([title, true])
    for (let column = x; column < x + w; column++)
      for (let line = y; line < y + h; line++) {
        expect([title, taken.get(`${column} ${line}`)]).toEqual([title, undefined])
        taken.set(`${column} ${line}`, title)
      }
  }
})

test('every query goes to the data source that Grafana is given, under a letter of its own, with variables that are declared or Grafana’s', () => {
  const { datasources } = parse(readFileSync('watching/datasource.yml', 'utf8')) as { readonly datasources: readonly { readonly uid: string }[] }
  const known = new Set([...templating.list.map(({ name }) => name), '__rate_interval', '__range', '__interval'])
  for (const { title, targets = [] } of panels) {
    expect([title, new Set(targets.map(({ refId }) => refId)).size]).toEqual([title, targets.length])
    for (const { refId, expr, datasource } of targets) {
      expect([title, refId]).toEqual([title, expect.stringMatching(/^[A-Z]$/)])
      expect([title, datasources.map(({ uid }) => uid)]).toEqual([title, [datasource.uid]])
      expect([title, [...expr.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name).filter((name) => !known.has(name as string))]).toEqual([title, []])
    }
  }
})
