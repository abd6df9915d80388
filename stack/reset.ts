import { resolve } from 'node:path'
import { readSettings } from '../settings/setting.ts'
import { settings } from './config.ts'
import { clear } from './data-folder.ts'

try {
  const folder = resolve(readSettings({ LOGGERHEAD_DATA: settings.LOGGERHEAD_DATA }, process.env).LOGGERHEAD_DATA)
  process.stdout.write(clear(folder) ? `Cleared ${folder}.\n` : `There is nothing in ${folder}.\n`)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
