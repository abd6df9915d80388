/** Kafka's default partition of a key, as log/partitioner.ts gives it. */
export type PartitionOf = (key: Buffer, partitions: number) => number

/** What every canary of the gateway is published under and subscribed to. */
export function canaryFilter(gateway: string): string {
  return `$loggerhead/canary/${gateway}/+`
}

/** One topic for each messages partition, by partition: suffixes are tried until the key falls where it should. */
export function canaryTopics(gateway: string, partitions: number, partitionOf: PartitionOf): readonly string[] {
  const topics: string[] = new Array<string>(partitions)
  let missing = partitions
  for (let suffix = 0; missing > 0; suffix++) {
    const topic = `$loggerhead/canary/${gateway}/${suffix}`
    const partition = partitionOf(Buffer.from(topic), partitions)
    if (topics[partition] !== undefined) continue
    topics[partition] = topic
    missing--
  }
  return topics
}
