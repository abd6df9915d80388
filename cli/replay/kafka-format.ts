/** Forms of a record, named as routes name them. */
export const kafkaFormats = ['raw', 'cloudEventsBinary', 'cloudEventsStructured'] as const
export type KafkaFormat = (typeof kafkaFormats)[number]
