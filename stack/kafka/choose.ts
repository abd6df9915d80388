/**
 * Which Kafka to use: the one place that decides, for `npm start` and for the tests. The decision is pure; what the
 * machine has is found out by probes (probes.ts), only as far as needed.
 */

/** What can be found out about the machine. A string is why it cannot be used. */
export interface Probes {
  /** The Java program, when it is 17 or newer. */
  java(): Promise<{ readonly java: string } | string>
  /** Kafka's jars are here already. */
  hasArtifacts(): boolean
  /** Maven, which fetches the jars. */
  maven(): Promise<{ readonly maven: string } | string>
  /** A container engine that answers: a `docker` program alone is none. */
  engine(): Promise<true | string>
}

export type KafkaChoice =
  | { readonly kind: 'external'; readonly brokers: string }
  | { readonly kind: 'artifacts'; readonly java: string; readonly maven?: string }
  | { readonly kind: 'docker' }
  | { readonly kind: 'testcontainers' }
  | { readonly kind: 'none'; readonly missing: string }

type Found = KafkaChoice | string

async function artifacts(probes: Probes): Promise<Found> {
  const java = await probes.java()
  if (typeof java === 'string') return java
  if (probes.hasArtifacts()) return { kind: 'artifacts', java: java.java }
  const maven = await probes.maven()
  return typeof maven === 'string' ? maven : { kind: 'artifacts', java: java.java, maven: maven.maven }
}

async function firstOf(ways: readonly (() => Promise<Found>)[]): Promise<KafkaChoice> {
  const missing: string[] = []
  for (const way of ways) {
    const found = await way()
    if (typeof found !== 'string') return found
    missing.push(found)
  }
  return {
    kind: 'none',
    missing: `No Kafka to use: ${missing.join('; ')}. Install Java 17 and Maven, or start Docker, or name the brokers of a running Kafka in KAFKA_BROKERS.`,
  }
}

function external(brokers: string | undefined): () => Promise<Found> {
  return async () => (brokers ? { kind: 'external', brokers } : 'KAFKA_BROKERS is not set')
}

/** For `npm start`: KAFKA_BROKERS, else the artifacts with the machine's Java, else Docker. */
export function chooseForStart(brokers: string | undefined, probes: Probes): Promise<KafkaChoice> {
  return firstOf([external(brokers), () => artifacts(probes), () => engine(probes, 'docker')])
}

/** For tests: KAFKA_BROKERS, else testcontainers where an engine answers, else the artifacts. */
export function chooseForTests(brokers: string | undefined, probes: Probes): Promise<KafkaChoice> {
  return firstOf([external(brokers), () => engine(probes, 'testcontainers'), () => artifacts(probes)])
}

async function engine(probes: Probes, kind: 'docker' | 'testcontainers'): Promise<Found> {
  const answer = await probes.engine()
  return answer === true ? { kind } : answer
}
