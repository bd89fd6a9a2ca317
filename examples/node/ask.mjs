// What an invoice says, by the models of this machine: node ask.mjs [words for `rung serve`]

import OpenAI from "openai";
import { startRung } from "./sidecar.mjs";

const MAIL = "ACME GmbH, Berlin. Invoice 2026-117 of 3 May 2026. Total: 1,240.50 EUR";
const schema = {
  type: "object",
  properties: { vendor: { type: "string", maxLength: 40 }, currency: { enum: ["EUR", "USD", "GBP"] } },
  required: ["vendor", "currency"],
  additionalProperties: false,
};

const command = process.env.RUNG ? JSON.parse(process.env.RUNG) : ["rung"];
const rung = await startRung({ command, args: process.argv.slice(2) });
try {
  const client = new OpenAI({ baseURL: rung.url, apiKey: rung.token, maxRetries: 0 });
  const answer = await client.chat.completions.create({
    model: "rung",
    messages: [{ role: "user", content: `Extract the invoice.\n\n${MAIL}` }],
    response_format: { type: "json_schema", json_schema: { name: "invoice", strict: true, schema } },
  });
  const { tier, left_machine } = answer.x_rung;
  console.log(JSON.stringify({ invoice: JSON.parse(answer.choices[0].message.content), tier, left_machine, pid: rung.pid }));
} finally {
  await rung.stop();
}
