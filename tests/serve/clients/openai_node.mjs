// The official client for Node: streaming, parse with zod, tools, errors, cancel.
import assert from 'node:assert';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.cwd(), 'x.js'));
const { OpenAI } = require('openai');
const { zodResponseFormat } = require('openai/helpers/zod');
const { z } = require('zod');

const model = process.env.RUNG_TEST_MODEL ?? 'rung';
const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: 'user', content: 'Is water wet? Say yes or no.' }];

const whole = await client.chat.completions.create({ model, messages, max_completion_tokens: 40 });
assert(whole.choices[0].message.content);
assert(whole.x_rung.attempts.length);

let text = '';
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, max_completion_tokens: 40 })) {
  text += chunk.choices[0]?.delta?.content ?? '';
}
assert(text.trim());

const Person = z.object({ name: z.string(), age: z.number().int() });
const parsed = await client.chat.completions.parse({
  model,
  messages: [{ role: 'user', content: 'Ada is 36 years old.' }],
  response_format: zodResponseFormat(Person, 'person'),
});
assert.equal(typeof parsed.choices[0].message.parsed.name, 'string');

const tools = [{
  type: 'function',
  function: {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { type: 'string', maxLength: 20 } }, required: ['city'], additionalProperties: false },
  },
}];
const ask = {
  model, tools, tool_choice: { type: 'function', function: { name: 'weather' } },
  messages: [{ role: 'user', content: 'What is the weather in Bonn?' }],
};
const called = await client.chat.completions.create(ask);
assert.equal(called.choices[0].finish_reason, 'tool_calls');
assert(JSON.parse(called.choices[0].message.tool_calls[0].function.arguments).city !== undefined);
const final = await client.chat.completions.stream(ask).finalChatCompletion();
assert.equal(final.choices[0].message.tool_calls[0].function.name, 'weather');

await assert.rejects(client.chat.completions.create({ model: 'gpt-4o', messages }), OpenAI.NotFoundError);
await assert.rejects(new OpenAI({ apiKey: 'wrong', maxRetries: 0 }).models.list(), OpenAI.AuthenticationError);

const stop = new AbortController();
const given = client.chat.completions.create({ model, messages, n: 8 }, { signal: stop.signal });
setTimeout(() => stop.abort(), 50);
// while the client reads a body, its own error is the platform's
await assert.rejects(given, (error) => error instanceof OpenAI.APIUserAbortError || error.name === 'AbortError');
console.log('all right');
