// The worker: a mail by nodemailer or a webhook by undici, then the message's row.

import { Worker } from "bullmq";
import nodemailer from "nodemailer";
import pg from "pg";
import { Agent, request } from "undici";

import { BROKER, QUEUE, SENDER, SMTP_PORT } from "./settings.mjs";

const CONCURRENCY = 50;

const database = new pg.Pool({ max: 10 });
const mails = nodemailer.createTransport({
  host: "127.0.0.1",
  port: SMTP_PORT,
  ignoreTLS: true,
  pool: true,
  maxConnections: 10,
  maxMessages: Infinity,
});
const dispatcher = new Agent({ connections: CONCURRENCY });

const sendMail = ({ recipient, content }) =>
  mails.sendMail({ envelope: { from: SENDER, to: recipient }, raw: content });

const postHook = async ({ url, headers, content }) => {
  const answer = await request(url, { method: "POST", headers, body: content, dispatcher });
  await answer.body.dump();
  if (answer.statusCode !== 200) throw new Error(`the sink answered ${answer.statusCode}`);
};

const record = (id) =>
  database.query({
    name: "record",
    text: "UPDATE messages SET status = 'sent', sent_at = now() WHERE id = $1",
    values: [id],
  });

const worker = new Worker(
  QUEUE,
  async ({ name, data }) => {
    await (name === "mail" ? sendMail(data) : postHook(data));
    await record(data.id);
  },
  { connection: BROKER, concurrency: CONCURRENCY, removeOnComplete: { count: 0 }, removeOnFail: { count: 0 } },
);
worker.on("failed", (_job, error) => console.error(error));
worker.on("error", (error) => console.error(error));
process.on("SIGTERM", async () => {
  await worker.close();
  process.exit(0);
});

await worker.waitUntilReady();
console.log("ready");
