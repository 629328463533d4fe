// OpenAI's npm client against the server whose URL is the argument.
import assert from "node:assert";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "sk-clients", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the capital of France?" }];
const parameters = { type: "object", properties: { city: { enum: ["Paris", "Rome"] } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "book", parameters } }];

const whole = await client.chat.completions.create({ model: "m", messages, max_tokens: 8, temperature: 0 });
let text = "";
for await (const chunk of await client.chat.completions.create({ model: "m", messages, max_tokens: 8, temperature: 0, stream: true })) {
  text += chunk.choices[0]?.delta.content ?? "";
}
assert.equal(text, whole.choices[0].message.content);
const called = await client.chat.completions.create({ model: "m", messages, tools, tool_choice: "required", max_tokens: 60 });
assert.ok(["Paris", "Rome"].includes(JSON.parse(called.choices[0].message.tool_calls[0].function.arguments).city));
const runner = client.chat.completions.stream({ model: "m", messages, tools, tool_choice: { type: "function", function: { name: "book" } }, max_tokens: 60 });
assert.equal((await runner.finalChatCompletion()).choices[0].message.tool_calls.length, 1);
const response = await client.responses.create({ model: "m", input: "Hi", max_output_tokens: 8 });
assert.ok(["completed", "incomplete"].includes(response.status));
const kinds = [];
for await (const event of await client.responses.create({ model: "m", input: "Hi", max_output_tokens: 8, stream: true })) kinds.push(event.type);
assert.equal(kinds[0], "response.created");
assert.ok(["response.completed", "response.incomplete"].includes(kinds.at(-1)));
assert.equal((await client.embeddings.create({ model: "m", input: ["a b", "c"] })).data.length, 2);
assert.equal((await client.models.list()).data[0].id, "m");
await assert.rejects(client.chat.completions.create({ model: "m", messages, n: 0 }), OpenAI.BadRequestError);
await assert.rejects(new OpenAI({ baseURL: process.argv[2], apiKey: "wrong", maxRetries: 0 }).models.list(), OpenAI.AuthenticationError);
const abort = new AbortController();
const stream = await client.chat.completions.create({ model: "m", messages, max_tokens: 400, stream: true }, { signal: abort.signal });
for await (const _ of stream) abort.abort();
