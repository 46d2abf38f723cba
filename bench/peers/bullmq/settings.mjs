// What the bench tells its peer, by the environment; pg reads PGHOST and the like for itself.

export const QUEUE = "messages";
export const BROKER = { path: process.env.PEER_BROKER };
export const SMTP_PORT = Number(process.env.PEER_SMTP_PORT);
export const SENDER = process.env.PEER_SENDER;
export const MESSAGES = process.env.PEER_MESSAGES;
