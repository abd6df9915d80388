import { expect, test } from '@jest/globals'
import { schemaText, versionProblems } from '../../../stack/schema-versions.ts'

const schema = (...fields: string[]) => ({ type: 'record', name: 'Seen', fields: fields.map((name) => ({ name, type: 'long', default: 0 })) })
const one = schemaText('schemas/seen.avsc', schema('at'))
const two = schemaText('schemas/seen.avsc', schema('at', 'by'))
const former = { ...one, path: 'schemas/earlier/seen-1.avsc' }

test('schemas whose versions are all listed and kept have no problem', () => {
  expect(versionProblems({ Seen: [one.fingerprint] }, [one], [])).toEqual([])
  expect(versionProblems({ Seen: [one.fingerprint, two.fingerprint] }, [two], [former])).toEqual([])
})

test('a schema that is changed without its former version being kept is a problem, listed or not', () => {
  expect(versionProblems({ Seen: [one.fingerprint] }, [two], [])).toEqual([
    `schemas/seen.avsc has changed: keep its former text in schemas/earlier/, and add "${two.fingerprint}" at the end of "Seen" in schemas/versions.json`,
    expect.stringContaining(`version ${one.fingerprint} of Seen has no schema any more`),
  ])
  expect(versionProblems({ Seen: [one.fingerprint, two.fingerprint] }, [two], [])).toEqual([
    expect.stringContaining(`version ${one.fingerprint} of Seen has no schema any more`),
  ])
})

test('a record that is removed with its schema is a problem as long as a log may hold it', () => {
  expect(versionProblems({ Seen: [one.fingerprint] }, [], [])).toHaveLength(1)
  expect(versionProblems({ Seen: [one.fingerprint] }, [], [former])).toEqual([])
})

test('a new schema, and an earlier one that nobody listed, are told with what to add', () => {
  expect(versionProblems({}, [one], [])).toEqual([`schemas/seen.avsc is new: add "Seen": ["${one.fingerprint}"] to schemas/versions.json`])
  expect(versionProblems({ Seen: [two.fingerprint] }, [two], [former])).toEqual([
    `schemas/earlier/seen-1.avsc is not in schemas/versions.json: add "${one.fingerprint}" to "Seen", before the last`,
  ])
})
