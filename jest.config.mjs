/** Run through test/run.ts, which brings up what the tests need and counts what is skipped. */
export default {
  testEnvironment: '<rootDir>/test/support/environment.ts',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2023', parser: { syntax: 'typescript' } }, module: { type: 'es6' } }] },
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  modulePathIgnorePatterns: ['<rootDir>/\\.data', '<rootDir>/\\.kafka'],
  testTimeout: 180_000,
  testSequencer: '<rootDir>/test/support/sequencer.ts',
}
