// One message, what holds it, and two messages by one request: node send.mjs CONTACT_ID (Node 18 or newer)
const { WIREROOM_PUBLIC_URL = "http://127.0.0.1:8080", WIREROOM_WORKSPACE, WIREROOM_TOKEN } = process.env;
const contact = process.argv[2];
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// Asks again where there was no answer, or one that asks for patience: a key makes that safe.
async function ask(method, path, body, headers = {}, tries = 5) {
  const last = tries === 1;
  const jitter = Math.random() * 2 ** (5 - tries);
  const answer = await fetch(`${WIREROOM_PUBLIC_URL}/api/workspaces/${WIREROOM_WORKSPACE}${path}`, {
    method,
    headers: { Authorization: `Bearer ${WIREROOM_TOKEN}`, "Content-Type": "application/json", ...headers },
    body: body && JSON.stringify(body),
  }).catch((error) => {
    if (last) throw error;
  });
  if (!last && (!answer || [429, 503].includes(answer.status))) {
    await pause(Number(answer?.headers.get("Retry-After") ?? 0) + jitter);
    return ask(method, path, body, headers, tries - 1);
  }
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${said.title}: ${said.failureReason ?? said.detail}`);
  return said;
}

const order = { contactId: contact, channel: "ONSITE", subject: "It left", body: "Your order is on its way." };
const sent = await ask("POST", "/messages", order, { "Idempotency-Key": `order-7421:${contact}` });
console.log(sent.id);
console.log((await ask("GET", `/messages/${sent.id}/why`)).because);

const batch = [
  { contactId: contact, channel: "ONSITE", body: "One", idempotencyKey: `order-7422:${contact}` },
  { contactId: contact, channel: "ONSITE", body: "Two", idempotencyKey: `order-7423:${contact}` },
];
for (const { message, problem } of (await ask("POST", "/messages/batch", batch)).data) {
  console.log(message ? message.id : problem.title);
}
