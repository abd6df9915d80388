/** Topics that start with `$` [MQTT-4.7.2-1]: which of them the broker keeps for itself. The others are like any topic whose first level a template spells. */

/** Below it stand the broker's figures: nobody else writes there, and who may subscribe is a matter of topic spaces. */
export const figuresPrefix = '$SYS/'

const isBelow = (prefix: string, topic: string): boolean => topic.startsWith(prefix) || (topic.length === prefix.length - 1 && prefix.startsWith(topic))

const unreadable = ['$share/', '$replay/', '$loggerhead/']
const unwritable = [figuresPrefix, ...unreadable]

/** True for a topic name or filter that starts with `$`. */
export const startsWithDollar = (topic: string): boolean => topic.charCodeAt(0) === 0x24

/** True for a topic that no client publishes on, whatever a topic space covers. */
export const isWrittenByBroker = (topic: string): boolean => unwritable.some((prefix) => isBelow(prefix, topic))

/** True for a filter (without `$share/group/`) or a topic template that reaches what only parts of the broker read. */
export const isReadByBroker = (filter: string): boolean => unreadable.some((prefix) => isBelow(prefix, filter))
