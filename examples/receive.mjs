// Takes in signed events, each once: WEBHOOK_SECRET=whsec_… node receive.mjs PORT
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");
const known = new Set(); // in a database of yours: an event comes at least once, always under the same id

function isProved(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": given = "" } = headers;
  if (!secret.length || !id || id.includes(".") || !(Math.abs(Date.now() / 1000 - Number(at)) <= 300)) return false;
  const ours = createHmac("sha256", secret).update(`${id}.${at}.`).update(body).digest();
  return given.split(" ").some((one) => {
    const theirs = Buffer.from(one.startsWith("v1,") ? one.slice(3) : "", "base64");
    return theirs.length === ours.length && timingSafeEqual(theirs, ours);
  });
}

createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts); // the bytes as they came: parsed and written again they would differ
  if (!isProved(request.headers, body)) return response.writeHead(401).end();
  const event = JSON.parse(body);
  if (!known.has(request.headers["webhook-id"])) {
    known.add(request.headers["webhook-id"]);
    console.log(event.type, event.data.messageId);
  }
  response.writeHead(204).end(); // once the event is safe; whatever else is answered, it comes again
}).listen(Number(process.argv[2]), "127.0.0.1");
