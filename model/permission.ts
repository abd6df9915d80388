/** What a permission binding or a role may allow: to publish, to subscribe, and to be sent what was published before. */
export const permissions = ['Publisher', 'Subscriber', 'Replayer'] as const
export type Permission = (typeof permissions)[number]

/** The permission that a text names; undefined when it names none. */
export const permissionNamed = (text: unknown): Permission | undefined => permissions.find((known) => known === text)
