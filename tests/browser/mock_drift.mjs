// SPDX-License-Identifier: Apache-2.0
// Plays what the monitor answers through the dashboard (docs/api/monitor.yaml), over a made-up world that is the same
// each time: a feature that drifts, days that have matured and some that have not, alerts, silences, webhooks.

const dayMs = 86400e3;

function random(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const features = ["amount", "customer_count_24h", "card_count_1h", "amount_over_customer_mean_30d", "terminal_fraud_share_28d", "hour", "is_weekend"];

function verdict(kind, name, ratio, more = {}) {
  const critical = 0.0021;
  return {
    kind, name, window: 41, at: "2026-03-01T10:00:00Z", rows: 10000, reference_rows: 120000, psi: ratio * critical * 5.5, psi_critical: critical * 5.5,
    js: ratio * critical, js_critical: critical, missing: null, missing_reference: null, missing_critical: null, unseen: null,
    unseen_reference: null, unseen_critical: null, is_beyond: ratio > 1, is_alarm: ratio > 3,
    text: `${name}: JS ${(ratio * critical).toFixed(4)} bits, noise floor ${critical}`, ...more,
  };
}

function subjects(hostile) {
  const missing = { missing: 0.081, missing_reference: 0.011, missing_critical: 0.014 };
  return [
    verdict("feature", "amount", 7.3, { text: `amount: 18.2 % of decisions are 12 to 40, 9.9 % in the reference; ${hostile}` }),
    verdict("feature", "device_age_days", 3.4, missing),
    verdict("field", "channel", 1.6, { field: "channel", unseen: 0.012, unseen_reference: 0, unseen_critical: 0.0011 }),
    verdict("segment_score", hostile, 1.3, { field: "country" }),
    verdict("score", "score", 0.9), verdict("action", "action", 0.6),
    ...features.slice(1).map((name, i) => verdict("feature", name, 0.2 + i * 0.11)),
  ];
}

const judging = { alpha: 0.05, js: 0.002, missing: 0.01, unseen: 0.005, windows: 2 };
const lanes = [{ lane: 0, name: "", has_models: true }, { lane: 3, name: "replayed", has_models: false }];

function history(name, kind, limit) {
  const draw = random(3);
  const windows = Array.from({ length: Math.min(limit, 41) }, (_, i) => {
    const drifts = name === "amount" && i < 6;
    return { ...verdict(kind, name, drifts ? 5 + draw() * 3 : 0.3 + draw() * 0.6), window: 41 - i };
  });
  const bins = ["< 3.5", "3.5 to 12", "12 to 40", "40 to 90", "90 to 250", ">= 250", "missing"];
  return {
    lane: 0, version: 17, windows,
    histogram: {
      window: 41, at: "2026-03-01T10:00:00Z", reference_rows: 120000, rows: 10000,
      bins: bins.map((text, i) => ({ text, reference: [22000, 26000, 11880, 24000, 21120, 13800, 1200][i], now: [1500, 1800, 1820, 1900, 1700, 1170, 110][i] })),
    },
  };
}

function figures(draw, scale = 1) {
  const ap = (0.61 + draw() * 0.06) * scale;
  return {
    rows: 9000, frauds: 54, fraud_rate: 0.006, average_precision: ap, precision: 0.31, recall: 0.72 * scale, false_positive_rate: 0.011,
    money_caught: Math.round(draw() * 900000), money_lost: Math.round(draw() * 400000), money_turned_away: Math.round(draw() * 90000),
    average_precision_low: ap - 0.004, average_precision_high: ap + 0.004, excluded: 12,
  };
}

function quality(days) {
  const draw = random(11);
  const today = Date.UTC(2026, 2, 1);
  const all = Array.from({ length: days }, (_, i) => {
    const age = days - 1 - i;
    const isMatured = age > 7;
    return {
      day: new Date(today - age * dayMs).toISOString(), is_matured: isMatured, decisions: 9200 + Math.round(draw() * 900), unscored: 3,
      known_frauds: isMatured ? 54 : Math.round(54 * (age / 8)), known_share: isMatured ? 1 : age === 0 ? null : 1 - 0.5 ** age,
      fraud_rate: { known: 0.004, corrected: 0.006, low: 0.0045, high: 0.0078 }, realised: isMatured ? figures(draw, age < 14 ? 0.8 : 1) : null,
      estimated: figures(draw), card_precision: isMatured ? { k: 100, customers: 7400, found: 28, precision: 0.28 } : null,
    };
  });
  return {
    lane: 0, name: "champion", version: 17, label_delay_days: 7, promised_average_precision: 0.66, today: new Date(today).toISOString(),
    maturity: { frauds: 3100, matured_after_days: 6, known_after_days: Array.from({ length: 8 }, (_, i) => Math.min(1, 0.34 + 0.11 * i)) },
    matured_days: all.filter((each) => each.is_matured).length, realised: figures(draw), recent: figures(draw, 0.8), coming: figures(draw),
    estimate_error: { average_precision: { days: 80, bias: 0.012, error: 0.034 }, recall: { days: 80, bias: 0.01, error: 0.04 } },
    calibration: {
      expected: 350, happened: 470, ratio: 1.34, ece: 0.0017, z: 6.4, p: 1e-9, chi2: 44, p_shape: 1e-6,
      groups: Array.from({ length: 10 }, (_, i) => ({ rows: 6400, expected: 1.5 ** i * 2, happened: 1.6 ** i * 2 })),
    },
    days: all,
  };
}

function health(hours) {
  const draw = random(23);
  const bounds = [1, 10, 60, 600, 3600, 86400, 604800, null];
  const of = (from) => {
    const n = 380 + Math.round(draw() * 90);
    return {
      from, transactions: n, decisions: n, unscored: 0, degraded: Math.round(draw() * 4), duplicates: Math.round(draw() * 2), labels: 6, frauds: 2,
      ahead: 1, late: bounds.map((up_to_seconds, i) => ({ up_to_seconds, count: Math.round(n * [0.7, 0.2, 0.05, 0.02, 0.01, 0.01, 0, 0.01][i]) })),
    };
  };
  const all = Array.from({ length: hours }, (_, i) => of(new Date(Date.UTC(2026, 2, 1, 10) - (hours - 1 - i) * 3600e3).toISOString()));
  const sum = { ...all[0] };
  for (const name of ["transactions", "decisions", "unscored", "degraded", "duplicates", "labels", "frauds", "ahead"])
    sum[name] = all.reduce((total, each) => total + each[name], 0);
  sum.late = bounds.map((up_to_seconds, i) => ({ up_to_seconds, count: all.reduce((total, each) => total + each.late[i].count, 0) }));
  return {
    lane: 0, sum, hours: all,
    checks: [0, 1].map((i) => ({ at: new Date(Date.UTC(2026, 2, 1, 9 - i)).toISOString(), recomputed: 2000, mismatched: 0, seconds: 14.2 })),
  };
}

function alerts(hostile) {
  const one = (id, name, severity, state, text, subject, runbook) => ({
    id, fingerprint: "ab".repeat(16), name, state, severity, text, runbook: `docs/operations.md#${runbook}`, value: 0.0153, threshold: 0.002,
    labels: { alertname: name, condition: `${name}/${id}`, kind: name.toLowerCase(), lane: "0", service: "assay", subject }, is_silenced: false,
    is_inhibited: false, since: new Date(Date.now() - id * 600e3).toISOString(), fired_at: new Date(Date.now() - id * 500e3).toISOString(),
    resolved_at: state === "resolved" ? new Date(Date.now() - 60e3).toISOString() : null, told_at: new Date(Date.now() - id * 400e3).toISOString(),
  });
  return [
    one(9, "Drift", "warning", "firing", "amount is not distributed as in training", "amount", "featuredrifted"),
    one(8, "Mismatch", "critical", "firing", hostile, "features", "featuresdiffer"),
    one(7, "Late", "warning", "pending", "6.1 % of payments became known more than an hour late", "late", "late"),
    one(6, "Quality", "warning", "resolved", "The ranking was worse than promised", "average_precision", "quality"),
  ];
}

/** A play of the routes: (method, url, body) gives [status, body], or nothing for what is not the monitor's. */
export function watching(hostile, empty) {
  const all = empty ? [] : alerts(hostile);
  let silences = [];
  let webhooks = empty ? [] : [{ name: "ops", url: "https://hooks.example.com/assay", is_enabled: true, disabled_because: "", waiting: 0, old_secret_until: null, created_at: "2026-02-01T08:00:00Z" }];
  const delivery = (id, state) => ({
    id, webhook: "ops", event: `evt-${id}`, type: "assay.alert.firing", state, attempts: state === "pending" ? 0 : 1, last_status: state === "delivered" ? 200 : 0,
    last_trouble: "", created_at: "2026-03-01T09:00:00Z", next_at: null, ended_at: null,
  });
  const nothing = [404, { title: "Not Found", detail: "nothing was seen in this lane" }];
  return (method, url, body) => {
    const path = url.pathname;
    const asked = url.searchParams;
    const number = Number(/\/(\d+)/.exec(path.slice(3))?.[1]);
    const hook = /^\/v1\/webhooks\/([^:]+)(?::(\w+))?$/.exec(path);
    switch (`${method} ${path.replace(/\/\d+/, "/N")}`) {
      case "GET /v1/drift":
        return [200, { lane: 0, judging, lanes, models: empty ? [] : [{ version: 17, name: "champion", has_histograms: true, open_window: 42, first_at: "2026-01-01T00:00:00Z", last_at: "2026-03-01T10:00:00Z", subjects: subjects(hostile) }] }];
      case "GET /v1/quality": return empty ? nothing : [200, quality(Number(asked.get("days") ?? 30))];
      case "GET /v1/data-health": return empty ? nothing : [200, health(Number(asked.get("hours") ?? 24))];
      case "GET /v1/model-requests":
        return [200, { requests: empty ? [] : [{ request: 1, name: "champion", lane: 0, version: 17, run: 12, reason: `amount drifts; ${hostile}`, at: "2026-03-01T10:00:00Z", requested_at: "2026-03-01T10:00:05Z" }] }];
      case "GET /v1/alerts": {
        const state = asked.get("state");
        const fits = (each) => (state !== "open" || each.state !== "resolved") && (!asked.get("severity") || each.severity === asked.get("severity"));
        return [200, { alerts: all.filter(fits) }];
      }
      case "GET /v1/alerts/N": {
        const alert = all.find((each) => each.id === number);
        return alert ? [200, { alert, deliveries: [delivery(3, "delivered")] }] : [404, { title: "Not Found", detail: "no such number" }];
      }
      case "GET /v1/silences": return [200, { silences: silences.filter((each) => asked.get("state") === "all" || each.state !== "expired") }];
      case "POST /v1/silences": {
        const made = { id: silences.length + 1, state: "active", starts_at: new Date().toISOString(), author: "ann", ...body };
        silences = [made, ...silences];
        for (const alert of all) alert.is_silenced ||= body.matchers.every((each) => alert.labels[each.name] === each.value);
        return [201, made];
      }
      case "POST /v1/silences/N:expire": silences.find((each) => each.id === number).state = "expired"; return [204];
      case "GET /v1/webhooks": return [200, { webhooks }];
      case "POST /v1/webhooks": {
        if (!body.url.startsWith("https://")) return [422, { title: "Unprocessable", detail: "the URL is not https" }];
        const webhook = { ...body, is_enabled: true, disabled_because: "", waiting: 0, old_secret_until: null, created_at: new Date().toISOString() };
        webhooks = [...webhooks, webhook];
        return [201, { webhook, secret: "whsec_bWFkZSB1cCBmb3IgdGVzdHM=" }];
      }
      case "GET /v1/deliveries/N": return [200, delivery(number, "delivered")];
    }
    if (method === "GET" && path.startsWith("/v1/drift/"))
      return [200, history(decodeURIComponent(path.slice(10)), asked.get("kind") ?? "feature", Number(asked.get("limit") ?? 50))];
    const the = hook && webhooks.find((each) => each.name === decodeURIComponent(hook[1]));
    if (!the) return undefined;
    if (method === "DELETE") webhooks = webhooks.filter((each) => each !== the);
    switch (hook[2]) {
      case "rotate": return [200, { webhook: the, secret: "whsec_YW5vdGhlciBvbmU=" }];
      case "test": return [202, delivery(77, "pending")];
      case "enable": case "disable": the.is_enabled = hook[2] === "enable"; return [200, the];
    }
    return [204];
  };
}
