import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { readManifest, readManifests } from '../../../cli/manifests.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'loggerhead-manifests-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const names = (file: string, text: string) => readManifest(file, text).map(({ kind, name }) => `${kind.kind}/${name}`)

test('a file holds several documents, or a list, or one JSON object', () => {
  expect(names('a.yaml', 'kind: clients\nname: a\n---\nkind: groups\nname: b\nproperties: {}\n---\n')).toEqual(['clients/a', 'clientGroups/b'])
  expect(names('a.yaml', '- {kind: spaces, name: a}\n- {kind: topicSpaces, name: b}\n')).toEqual(['topicSpaces/a', 'topicSpaces/b'])
  expect(names('a.json', '{"kind": "permissionBindings", "name": "x", "properties": {}}')).toEqual(['permissionBindings/x'])
  expect(names('a.yaml', '')).toEqual([])
})

test('a document without a kind is what its folder says, by the name of its file', () => {
  const [wanted] = readManifest('fleet/clients/vehicle-1.json', '{"properties": {"state": "Enabled"}}')
  expect([wanted?.kind.kind, wanted?.name, wanted?.body]).toEqual(['clients', 'vehicle-1', { properties: { state: 'Enabled' } }])
})

test.each([
  ['kind: machines\nname: a', 'x/a.yaml:1: “machines” is no kind; kinds are'],
  ['\n\nkind: clients', 'x/a.yaml:3: name is missing'],
  ['name: a', 'x/a.yaml:1: there is no kind, and the folder “x” is none'],
  ['kind: clients\nname: a\n---\n42', 'x/a.yaml:4: a resource is an object'],
  ['kind: [', 'x/a.yaml:1: '],
])('what is wrong is named with file and line: %j', (text, message) => {
  expect(() => readManifest('x/a.yaml', text)).toThrow(message)
})

test('what refers to others comes after them, whatever the files; one that stands twice is refused', () => {
  mkdirSync(join(folder, 'clients'))
  writeFileSync(join(folder, 'a.yaml'), 'kind: bindings\nname: bind\n---\nkind: namespace\nproperties: {}\n')
  writeFileSync(join(folder, 'b.yml'), '- {kind: spaces, name: space}\n- {kind: groups, name: group}\n')
  writeFileSync(join(folder, 'clients', 'one.json'), '{}')
  writeFileSync(join(folder, 'README.md'), 'not one of them')
  const read = () => readManifests([folder]).map(({ kind, name }) => `${kind.kind}/${name}`)
  expect(read()).toEqual(['namespace/', 'clientGroups/group', 'topicSpaces/space', 'clients/one', 'permissionBindings/bind'])
  writeFileSync(join(folder, 'c.yaml'), 'kind: groups\nname: group')
  expect(read).toThrow(/c\.yaml:1: clientGroups\/group stands in .*b\.yml:1 too/)
})

test('encodedCertificateFile stands for the text of a file beside the manifest', () => {
  writeFileSync(join(folder, 'ca.pem'), 'PEM')
  const file = join(folder, 'a.yaml')
  expect(readManifest(file, 'kind: cas\nname: ca1\nproperties: {encodedCertificateFile: ca.pem}')[0]?.body).toMatchObject({
    properties: { encodedCertificate: 'PEM' },
  })
  expect(() => readManifest(file, 'kind: cas\nname: ca1\nencodedCertificateFile: no.pem')).toThrow('there is no file')
})

test('a folder without manifests and a path that leads nowhere are named', () => {
  expect(() => readManifests([folder])).toThrow('holds no .yaml')
  expect(() => readManifests([join(folder, 'none')])).toThrow('there is no file or folder')
})
