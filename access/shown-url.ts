/** A URL as it may stand in a log or an answer: its query may hold a key. */
export function shownUrl(text: string): string {
  if (!URL.canParse(text)) return 'what is no URL'
  const { origin, pathname } = new URL(text)
  return `${origin}${pathname}`
}
