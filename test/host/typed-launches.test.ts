import { test } from 'node:test';
import type { Enclave, LaunchOptions } from '../../src/index.ts';
import type * as program from './launches.program.ts';

/** What the compiler accepts is the test: an expected error that is none does not compile. */

type Equal<Left, Right> =
  (<T>() => T extends Left ? 1 : 2) extends <T>() => T extends Right ? 1 : 2 ? true : false;

function expectType<Expected>() {
  return <Actual>(_value: Actual, _equal: Equal<Actual, Expected>): void => {};
}

function typed(enclave: Enclave<typeof program>, options: LaunchOptions): void {
  expectType<Promise<void>>()(enclave.launch('nothing'), true);
  expectType<Promise<string>>()(enclave.launch('echoLater', 'x'), true);
  expectType<Promise<{ index: number; count: number }>>()(enclave.launchWith(options, 'thread'), true);
  expectType<string>()(enclave.launchSync('echoLater', 'x'), true);
  expectType<Promise<never>>()(enclave.launch('refuse', 'x'), true);
  expectType<Promise<number>>()(enclave.launch('add', 1), true);
  expectType<Promise<number>>()(enclave.launch('add', 1, 2), true);
  // @ts-expect-error: it is not exported
  void enclave.launch('missing');
  // @ts-expect-error: it is no function
  void enclave.launch('version');
  // @ts-expect-error: an argument is missing
  void enclave.launch('echoLater');
  // @ts-expect-error: an argument of another type
  void enclave.launch('echoLater', 1);
  // @ts-expect-error: an argument too many
  void enclave.launch('nothing', 1);
  // @ts-expect-error: a schema says that it is a number
  void enclave.launch('add', '1');
  // @ts-expect-error: no such priority
  void enclave.launchWith({ priority: 'urgent' }, 'nothing');
}

function untyped(enclave: Enclave): void {
  expectType<Promise<unknown>>()(enclave.launch('anything', 1, 'two'), true);
  expectType<unknown>()(enclave.launchSync('anything'), true);
  // @ts-expect-error: a name is text
  void enclave.launch(1);
}

test('launches are typed by the exports of the program', () => {
  void typed;
  void untyped;
});
