// SPDX-License-Identifier: Apache-2.0
// Plays the service for tests of the pages alone: the routes of docs/api/dashboard.yaml over a made-up world that is
// the same each time, and the pages with the strict headers that the service sends. Nothing outside tests uses it.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { watching } from "./mock_drift.mjs";
import { keeping } from "./mock_lists.mjs";
import { mockModels } from "./mock_models.mjs";
import { evidence } from "./mock_evidence.mjs";
import { replayOf } from "./mock_replay.mjs";
import { ruling } from "./mock_rules.mjs";
import { flip } from "./mock_flip.mjs";

const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
export const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** A text that would run if it were ever taken for markup. */
export const hostile = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>`;

function random(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const rules = ["large_for_customer", "new_device_large", "many_terminals", "night_abroad"];

function world(count, now) {
  const draw = random(7);
  const pick = (list) => list[Math.floor(draw() * list.length)];
  const cases = [];
  for (let i = 1; i <= count; i++) {
    const score = draw() ** 2 * 0.6 + 0.3;
    const amount = Math.round(500 + draw() ** 3 * 300000);
    cases.push({
      case: i, version: 1, account: "demo", transaction_id: `tx-${90000 + i}`, state: "open", assignee: null,
      locked_until: null, due_at: new Date(now + (draw() * 8 - 1) * 3600e3).toISOString(), snoozed_until: null,
      created_at: new Date(now - draw() * 7200e3).toISOString(), action: draw() < 0.85 ? "review" : "challenge", score,
      expected_loss_base_minor: Math.max(0, Math.round(score * amount - 300)), amount_minor: amount, currency: pick(["EUR", "EUR", "USD", "GBP"]),
      amount_base_minor: amount, occurred_at: new Date(now - draw() * 9000e3).toISOString(), customer_id: i === 1 ? hostile : `c-${1 + Math.floor(draw() * 400)}`,
      card_id: `k-${1 + Math.floor(draw() * 500)}`, merchant_id: pick(["m-4", "Grocer & Sons", "m-1088", "electronics-market-berlin", "m-7"]),
      device_id: draw() < 0.5 ? `d-${Math.floor(draw() * 300)}` : "", ip: `192.0.2.${Math.floor(draw() * 255)}`,
      country: pick(["DE", "FR", "PT", "US"]), channel: pick(["ecommerce", "pos"]), rules: draw() < 0.6 ? [pick(rules)] : [],
      outcome: null, reason: null, decided_by: null, decided_at: null, effective_at: null, is_applied: false,
    });
  }
  return cases.sort((a, b) => b.expected_loss_base_minor - a.expected_loss_base_minor);
}

function file(the, notes) {
  return {
    case: the,
    payment: {
      transaction_id: the.transaction_id, occurred_at: the.occurred_at, amount: the.amount_minor, currency: the.currency,
      customer_id: the.customer_id, card_id: the.card_id, merchant_id: the.merchant_id, mcc: "5732", channel: the.channel,
      country: the.country, ip: the.ip, device_id: the.device_id || null, attributes: { basket_items: 3, note: hostile },
    },
    decision: {
      action: the.action, score: the.score, margin: 0.41,
      reasons: [
        { code: "rule:large_for_customer", text: "Paid 8.2 times what this customer usually pays", detail: "", public: true },
        { code: "feature:customer_distinct_terminals_7d", text: "Paid at unusually many terminals within a week", detail: "9 terminals; half of all customers use 2 or fewer", public: true },
        { code: "feature:card_count_1h", text: hostile, detail: "", public: false },
      ],
      rules: [
        { id: "large_for_customer", name: "Large for this customer", action: "review", expression: "tx.amount > 5 * customer_avg_amount_30d && score >= 0.2", values: "tx.amount = 32075, customer_avg_amount_30d = 3911.5, score = 0.41" },
        { id: "night_abroad", name: "At night, from abroad", action: "challenge", expression: 'tx.hour < 5 && tx.country != "DE"', values: 'tx.hour = 3, tx.country = "PT"' },
      ],
      contributions: [
        ["customer_distinct_terminals_7d", 9, 1.31], ["amount_over_customer_mean_30d", 8.2, 0.92], ["card_count_1h", 4, 0.4],
        ["terminal_fraud_share_28d", null, -0.22], ["customer_count_30d", 44, -0.61], ["hour", 3, 0.18],
      ].map(([feature, value, margin]) => ({ feature, value, margin, describe: feature.replaceAll("_", " ") })),
      thresholds: { challenge: 0.2, review: 0.35, decline: 0.8 }, model_version: "17", ruleset_version: "4", arm: "champion",
      degraded: [], decided_at: the.created_at, timings_us: { queue: 95, features: 1430, scoring: 410, rules: 322 },
    },
    timeline: [
      { at: the.created_at, kind: "decision", actor: "assay", text: the.action, detail: {} },
      { at: the.created_at, kind: "shadow", actor: "rules 5", text: "decline", detail: {} },
      ...notes,
    ],
  };
}

function velocity(the) {
  const draw = random(the.case + 99);
  return ["customer", "card", "ip", "merchant"].flatMap((entity) =>
    [600, 3600, 86400, 2592000].map((window_s, w) => {
      const counts = Array.from({ length: 30 }, () => (draw() < 0.2 + w * 0.2 ? Math.floor(draw() * (w + 1) * 3) : 0));
      return { entity, value: the[`${entity}_id`] ?? the.ip, window_s, step_s: window_s / 30, counts, amounts_base_minor: counts.map((n) => n * 3500) };
    }),
  );
}

function overview(cases, minutes) {
  const draw = random(5);
  const now = Date.now();
  const length = Math.min(minutes, 120);
  const series = Array.from({ length }, (_, i) => ({
    at: new Date(now - (length - i) * 60e3).toISOString(),
    actions: { approve: 900 + Math.round(draw() * 200), challenge: 40 + Math.round(draw() * 20), review: 25 + Math.round(draw() * 20), decline: 12 + Math.round(draw() * 10) },
    amounts_base_minor: {},
  }));
  const actions = { approve: 0, challenge: 0, review: 0, decline: 0 };
  for (const each of series) for (const name in actions) actions[name] += each.actions[name];
  const open = cases.filter((each) => each.state === "open");
  return {
    now: new Date(now).toISOString(), minutes, decisions: Object.values(actions).reduce((a, b) => a + b), per_s: 17.4, actions,
    latency_us: { queue: { p50: 128, p95: 512, p99: 1024 }, features: { p50: 1024, p95: 2048, p99: 8192 }, scoring: { p50: 512, p95: 1024, p99: 2048 }, rules: { p50: 256, p95: 512, p99: 512 }, total: { p50: 2048, p95: 4096, p99: 16384 } },
    money_base_minor: { stopped: 48211090, let_through: 981230044, in_review: 3312200 }, series,
    queue: { open: open.length, assigned: cases.filter((each) => each.state === "assigned").length, snoozed: 0, overdue: 3, expected_loss_base_minor: 99 },
    services: ["ingestion", "features", "scoring", "rules", "retrainer", "shadow", "monitor"].map((name) => ({ name, is_well: name !== "shadow", detail: name === "shadow" ? "4 minutes behind" : "" })),
    alerts: [{ alert: 1, severity: "warning", state: "firing", text: "Shadow is 4 minutes behind the log", since: new Date(now - 900e3).toISOString() }],
  };
}

/** Starts on a free port: { url, cases, requests, close }. */
export async function mock({ pages, count = 60, roles = ["analyst", "lead"], loggedIn = false, empty = false, without = [] }) {
  const cases = empty ? [] : world(count, Date.now());
  const notes = new Map();
  const requests = [];
  const ruled = ruling(hostile, empty);
  const watched = watching(hostile, empty);
  const kept = keeping(hostile, empty);
  let inside = loggedIn;
  const lifecycle = mockModels({ hostile, empty });
  let views = [{ name: "Mine, by due", owner: "ann", filter: { assignee: "me", sort: "due" }, is_shared: false }];
  const users = [
    { name: "ann", full_name: "Ann Example", roles, is_disabled: false, created_at: "2026-03-01T08:00:00Z", password_at: "2026-03-01T08:00:00Z" },
    { name: "bob", full_name: hostile, roles: ["analyst", "lead", "auditor"], is_disabled: true, created_at: "2026-03-01T08:00:00Z", password_at: "2026-03-02T08:00:00Z" },
  ];
  const session = () => ({
    user: { name: "ann", full_name: "Ann Example", roles }, csrf: "c".repeat(64),
    expires_at: new Date(Date.now() + 8 * 3600e3).toISOString(), idle_s: 1800, undo_s: 10, lock_s: 1800, base_currency: "EUR",
  });
  const find = (filter) =>
    cases.filter((each) => {
      const state = filter.state ?? "waiting";
      if (state === "waiting" ? !["open", "assigned"].includes(each.state) : state !== "all" && each.state !== state) return false;
      if (filter.entity && ![each.customer_id, each.card_id, each.merchant_id, each.ip, each.transaction_id].includes(filter.entity)) return false;
      return !filter.country || each.country === filter.country;
    });
  const decide = (the, body) => {
    Object.assign(the, {
      state: "decided", version: the.version + 1, outcome: body.outcome, reason: body.reason, decided_by: "ann",
      decided_at: new Date().toISOString(), effective_at: new Date(Date.now() + 10e3).toISOString(),
    });
    return the;
  };

  const answer = (method, url, body, headers) => {
    const path = url.pathname;
    const key = `${method} ${path.replace(/\/\d+/, "/N")}`;
    if (key === "POST /v1/session") {
      if (body.password !== "correct horse battery staple") return [401, { title: "Unauthorized", detail: "no" }];
      inside = true;
      return [200, session()];
    }
    if (!inside) return [401, { title: "Unauthorized", detail: "log in first" }];
    if (method !== "GET" && headers["x-csrf-token"] !== session().csrf) return [403, { title: "Forbidden", detail: "the token is missing" }];
    const ofModels = lifecycle.answer(method, url, body, roles);
    if (ofModels) return ofModels;
    const the = cases.find((each) => each.case === Number(/\/(\d+)/.exec(path.slice(3))?.[1]));
    if (key.includes("/cases/N") && !the) return [404, { title: "Not Found", detail: "there is no such case" }];
    if (body?.version && the && body.version !== the.version) return [409, { title: "Conflict", detail: "the case has changed meanwhile" }];
    if (without.includes(path)) return [404, { title: "Not Found", detail: "there is no such route" }];
    const found = the && evidence(key, the, cases, hostile);
    if (found) return found;
    switch (key) {
      case "GET /v1/session": return [200, session()];
      case "DELETE /v1/session": inside = false; return [204];
      case "GET /v1/cases": {
        const filter = Object.fromEntries(url.searchParams);
        const from = Number(filter.cursor ?? 0);
        const limit = Number(filter.limit ?? 50);
        const hits = find(filter);
        return [200, { cases: hits.slice(from, from + limit), next: from + limit < hits.length ? String(from + limit) : null }];
      }
      case "POST /v1/cases:next": {
        const free = cases.find((each) => each.state === "open");
        if (!free) return [204];
        Object.assign(free, { state: "assigned", assignee: "ann", version: free.version + 1, locked_until: new Date(Date.now() + 1800e3).toISOString() });
        return [200, free];
      }
      case "GET /v1/cases/N": return [200, file(the, notes.get(the.case) ?? [])];
      case "GET /v1/cases/N/replay": return [200, replayOf(the, hostile)];
      case "GET /v1/cases/N/flip": return [200, flip(the, hostile)];
      case "GET /v1/cases/N/velocity": return [200, { series: velocity(the) }];
      case "POST /v1/cases/N:assign":
        return [200, Object.assign(the, { assignee: body.assignee || null, state: body.assignee ? "assigned" : "open", version: the.version + 1, locked_until: body.assignee ? new Date(Date.now() + 1800e3).toISOString() : null })];
      case "POST /v1/cases/N:extend": return [200, Object.assign(the, { locked_until: new Date(Date.now() + 1800e3).toISOString() })];
      case "POST /v1/cases/N:snooze": return [200, Object.assign(the, { state: "snoozed", snoozed_until: body.until, version: the.version + 1 })];
      case "POST /v1/cases/N:decide": return [200, decide(the, body)];
      case "POST /v1/cases/N:undo":
        return [200, Object.assign(the, { state: "assigned", assignee: "ann", outcome: null, reason: null, decided_by: null, decided_at: null, effective_at: null, version: the.version + 1 })];
      case "POST /v1/cases/N/notes":
        notes.set(the.case, [...(notes.get(the.case) ?? []), { at: new Date().toISOString(), kind: "note", actor: "ann", text: body.text, detail: {} }]);
        return [200, the];
      case "POST /v1/cases:preview": {
        const hits = find(body);
        return [200, { count: hits.length, amount_base_minor: 1234500, expected_loss_base_minor: 320000, cases: hits.slice(0, 500).map((each) => ({ case: each.case, version: each.version })) }];
      }
      case "POST /v1/cases:decide":
        for (const each of body.cases) decide(cases.find((other) => other.case === each.case), body);
        return [200, { decided: body.cases.length }];
      case "GET /v1/users": return [200, { users }];
      case "POST /v1/users": {
        const at = new Date().toISOString();
        if (users.some((each) => each.name === body.name)) return [409, { title: "Conflict", detail: "there is a user of this name" }];
        users.push({ name: body.name, full_name: body.full_name, roles: body.roles, is_disabled: false, created_at: at, password_at: at });
        return [204];
      }
      case "GET /v1/audit": {
        const before = Number(url.searchParams.get("before") ?? 251);
        const rows = Array.from({ length: empty ? 0 : Math.min(100, before - 1) }, (_, i) => before - 1 - i).map((id) => ({
          id, link: id, at: new Date(Date.UTC(2026, 2, 1) + id * 60e3).toISOString(), account: "", actor: "ann", action: "user.add",
          subject: id === 250 ? hostile : `user-${id}`, detail: { roles: ["analyst"] },
        }));
        return [200, { rows }];
      }
      case "POST /v1/audit:verify": return [200, { is_whole: true, rows: 250, head: "7e", trouble: null }];
      case "GET /v1/views": return [200, { views }];
      case "GET /v1/overview": {
        const all = overview(cases, Number(url.searchParams.get("minutes") ?? 60));
        return [200, empty ? { ...all, decisions: 0, actions: {}, series: [], services: [], alerts: [], latency_us: {} } : all];
      }
    }
    const named = /^\/v1\/users\/([^:]+):(\w+)$/.exec(path);
    if (named) {
      const user = users.find((each) => each.name === decodeURIComponent(named[1]));
      if (named[2] === "roles") user.roles = body.roles;
      if (named[2] !== "roles" && named[2] !== "password") user.is_disabled = named[2] === "disable";
      return [204];
    }
    if (method === "PUT" && path.startsWith("/v1/views/")) {
      views = [...views, { name: decodeURIComponent(path.slice(10)), owner: "ann", filter: body.filter, is_shared: body.is_shared }];
      return [204];
    }
    return kept(method, url, body) ?? watched(method, url, body) ?? ruled.answer(method, url, body) ?? [404, { title: "Not Found", detail: `no such route: ${key}` }];
  };

  const streams = new Set();
  const told = (reply, event, data) => reply.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  const server = createServer((request, reply) => {
    const url = new URL(request.url, "http://localhost");
    if (!url.pathname.startsWith("/v1/")) return page(pages, url.pathname, reply);
    let text = "";
    request.on("data", (part) => (text += part));
    request.on("end", () => {
      requests.push(`${request.method} ${url.pathname}`);
      if (url.pathname === "/v1/stream") {
        reply.writeHead(200, { "Content-Type": "text/event-stream" });
        const newest = cases.slice(0, 8).map((each) => ({ ...each, decided_at: new Date().toISOString() }));
        streams.add(reply);
        reply.on("close", () => streams.delete(reply));
        told(reply, "decisions", { count: newest.length, in_ms: 0, decisions: newest });
        return;
      }
      const [status, body] = answer(request.method, url, text && request.headers["content-type"]?.includes("json") ? JSON.parse(text) : null, request.headers);
      reply.writeHead(status, body === undefined ? {} : { "Content-Type": status < 400 ? "application/json" : "application/problem+json" });
      reply.end(body === undefined ? undefined : JSON.stringify(body));
    });
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${server.address().port}`, cases, requests, ruled, lifecycle,
    /** To every page that listens. */
    tell: (event, data) => streams.forEach((reply) => told(reply, event, data)),
    listeners: () => streams.size,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function page(pages, path, reply) {
  let at = join(pages, normalize(path));
  if (!existsSync(at) || statSync(at).isDirectory()) at = join(pages, "index.html");
  reply.writeHead(200, {
    "Content-Type": types[extname(at)] ?? "application/octet-stream",
    "Content-Security-Policy": policy,
    "X-Content-Type-Options": "nosniff",
  });
  createReadStream(at).pipe(reply);
}
