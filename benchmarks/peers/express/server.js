// Express with undici, in one process per core.
import cluster from "node:cluster";
import { createSecretKey } from "node:crypto";
import express from "express";
import { rateLimit } from "express-rate-limit";
import jwt from "jsonwebtoken";
import { Agent, request, setGlobalDispatcher } from "undici";

const { PORT, WORKERS, VENDOR_URL, VENDOR_API_KEY, VENDOR_APP_ID } = process.env;
const { SESSION_SECRET, SESSION_ISSUER, SESSION_AUDIENCE, KEY_OBJECT } = process.env;
// Text, as in all examples of jsonwebtoken, is tried as a PEM at each call first.
const KEY = KEY_OBJECT ? createSecretKey(Buffer.from(SESSION_SECRET)) : SESSION_SECRET;

function verify(req, res, next) {
  try {
    const token = req.headers.authorization.slice("Bearer ".length);
    req.uid = jwt.verify(token, KEY, {
      algorithms: ["HS256"], issuer: SESSION_ISSUER, audience: SESSION_AUDIENCE,
    }).sub;
  } catch {
    return res.status(401).json({ code: "session_invalid" });
  }
  next();
}

async function createAuthToken(req, res) {
  const started = performance.now();
  const { statusCode, body } = await request(`${VENDOR_URL}/users/${req.uid}/auth_tokens`, {
    method: "POST",
    headers: { apikey: VENDOR_API_KEY, appId: VENDOR_APP_ID, "content-type": "application/json" },
    body: JSON.stringify({ force: true }),
  });
  const answer = await body.json();
  if (statusCode !== 200) return res.status(503).json({ code: "directory_unavailable" });
  console.log(JSON.stringify({ event: "login", uid: req.uid, ms: performance.now() - started }));
  res.status(201).json({ uid: req.uid, authToken: answer.data.authToken });
}

function serve() {
  setGlobalDispatcher(new Agent({ connections: 64, headersTimeout: 2000 }));
  const app = express();
  const limit = rateLimit({ windowMs: 60_000, limit: 6000, keyGenerator: (req) => req.uid });
  app.post("/v1/auth-tokens", verify, limit, createAuthToken);
  app.get("/livez", (_, res) => res.send("ok"));
  app.listen(Number(PORT), "127.0.0.1", 2048);
}

if (cluster.isPrimary) {
  for (let n = 0; n < Number(WORKERS); n += 1) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  serve();
}
