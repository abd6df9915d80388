/** What the schema of a topic's values is called in a schema registry: the three ways that Confluent's clients know. */
export const subjectNamings = ['TopicNameStrategy', 'RecordNameStrategy', 'TopicRecordNameStrategy'] as const
export type SubjectNaming = (typeof subjectNamings)[number]

/** `record` is the schema's full name. */
export function subjectOf(naming: SubjectNaming, topic: string, record: string): string {
  switch (naming) {
    case 'TopicNameStrategy':
      return `${topic}-value`
    case 'RecordNameStrategy':
      return record
    case 'TopicRecordNameStrategy':
      return `${topic}-${record}`
  }
}
