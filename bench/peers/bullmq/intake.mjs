// The intake: rows by one statement and jobs by one call for every 1,000 messages.

import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";

import { Queue } from "bullmq";
import pg from "pg";

import { BROKER, MESSAGES, QUEUE } from "./settings.mjs";

const AT_ONCE = 1000;
const TABLE = `
  CREATE TABLE IF NOT EXISTS messages (
    id bigint PRIMARY KEY, recipient text NOT NULL, status text NOT NULL, queued_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz)`;
const INSERT = `
  INSERT INTO messages (id, recipient, status)
  SELECT id, recipient, 'queued' FROM unnest($1::bigint[], $2::text[]) AS taken (id, recipient)`;

const messages = readFileSync(MESSAGES, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const database = new pg.Client();
const queue = new Queue(QUEUE, { connection: BROKER });
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

await database.connect();
await database.query(TABLE);
await database.query("TRUNCATE messages");
await queue.waitUntilReady();

console.log("ready");
await lines.next();
for (let start = 0; start < messages.length; start += AT_ONCE) {
  const chunk = messages.slice(start, start + AT_ONCE);
  await database.query(INSERT, [chunk.map(({ id }) => id), chunk.map(({ recipient, url }) => recipient ?? url)]);
  await queue.addBulk(chunk.map((data) => ({ name: data.recipient ? "mail" : "hook", data })));
}
// The bench reads what this process took before it ends.
await lines.next();
await queue.close();
await database.end();
process.exit(0);
