/** A page with what stands between its marks, `<!-- name:start … -->` and `<!-- name:end -->`, replaced. Throws when it has none. */
export function placed(page: string, name: string, text: string): string {
  const marked = new RegExp(`(<!-- ${name}:start[^>]*-->)[^]*?(<!-- ${name}:end -->)`)
  if (!marked.test(page)) throw new Error(`the page has no place marked for “${name}”`)
  return page.replace(marked, (_, start: string, end: string) => `${start}\n\n${text}\n\n${end}`)
}
