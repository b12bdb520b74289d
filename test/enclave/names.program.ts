export { run } from '../support/calls.program.ts';
