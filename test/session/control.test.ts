import assert from 'node:assert/strict';
import { suite } from 'uvu';
import * as v from 'valibot';
import { AppError } from '#lib/error.ts';
import type { Right } from '#protocol/rights.ts';
import { ControlDispatch, query } from '#session/control.ts';

const test = suite('control channel');
const dispatch = new ControlDispatch({
  'answer.get': query(() => 42),
  'light.set': { params: v.strictObject({ on: v.boolean() }), run: (params) => params },
  'door.open': { params: v.undefined(), needs: 'settings', run: async (_, { viewer }) => `opened by ${viewer}` },
  'door.lock': {
    params: v.undefined(),
    async run() {
      throw new AppError('door.jammed', 'the door is jammed');
    },
  },
});
const ask = async (text: string | undefined, rights: readonly Right[] = ['view']) => {
  const reply = await dispatch.handle(text, { viewer: 'anna', rights });
  return reply === undefined ? undefined : JSON.parse(reply);
};

test('requests are answered under their id', async () => {
  assert.deepEqual(await ask('{"jsonrpc":"2.0","id":7,"method":"answer.get"}'), { jsonrpc: '2.0', id: 7, result: 42 });
  const reply = await ask('{"jsonrpc":"2.0","id":"a","method":"light.set","params":{"on":true}}');
  assert.deepEqual(reply, { jsonrpc: '2.0', id: 'a', result: { on: true } });
});

test('a notification gets no reply', async () => {
  assert.equal(await ask('{"jsonrpc":"2.0","method":"answer.get"}'), undefined);
});

test('whatever else comes is refused with a code and the field named', async () => {
  const cases: [string | undefined, number, RegExp][] = [
    [undefined, -32600, /binary/],
    ['', -32600, /not JSON/],
    ['[]', -32600, /./],
    ['null', -32600, /./],
    ['{"id":1,"method":"answer.get"}', -32600, /jsonrpc/],
    ['{"jsonrpc":"2.0","id":1,"method":5}', -32600, /method/],
    ['{"jsonrpc":"2.0","id":{},"method":"answer.get"}', -32600, /id/],
    ['{"jsonrpc":"2.0","id":1,"method":"nothing"}', -32601, /nothing/],
    ['{"jsonrpc":"2.0","id":1,"method":"constructor"}', -32601, /constructor/],
    ['{"jsonrpc":"2.0","id":1,"method":"answer.get","params":{"x":1}}', -32602, /x/],
    ['{"jsonrpc":"2.0","id":1,"method":"light.set"}', -32602, /light\.set/],
    ['{"jsonrpc":"2.0","id":1,"method":"light.set","params":{"on":"yes"}}', -32602, /"on"/],
    [`{"jsonrpc":"2.0","id":1,"method":"${'x'.repeat(20_000)}"}`, -32600, /20\d\d\d bytes/],
  ];
  for (const [text, code, message] of cases) {
    const { error } = await ask(text);
    assert.equal(error.code, code, text?.slice(0, 80));
    assert.match(error.message, message);
  }
});

test('a method that needs a right is refused without it, before its params are read', async () => {
  const open = '{"jsonrpc":"2.0","id":1,"method":"door.open"}';
  const refused = await ask(open);
  assert.equal(refused.error.code, -32001);
  assert.match(refused.error.message, /"settings"/);
  assert.equal((await ask(open, ['view', 'settings'])).result, 'opened by anna');
  assert.equal((await ask(open, ['owner'])).result, 'opened by anna', 'an owner may do everything');
});

test('what cannot be done is said in words, with a code', async () => {
  const { error } = await ask('{"jsonrpc":"2.0","id":1,"method":"door.lock"}');
  assert.deepEqual(error, { code: -32002, message: 'the door is jammed', data: { code: 'door.jammed' } });
});

test.run();
