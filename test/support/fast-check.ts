/** Properties. `npm test` tries the same examples each time, so that a change is what fails it; `npm run test:long` tries others. */
import fc from 'fast-check'

if (!process.env.LOGGERHEAD_TEST_LONG) fc.configureGlobal({ seed: 20_191 })

export default fc
