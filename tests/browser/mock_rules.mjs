// SPDX-License-Identifier: Apache-2.0
// Plays what the rules service answers about rule sets and backtests (docs/api/rules.yaml), over made-up sets.
import { parseCondition } from "./mock_conditions.mjs";

const day = (i) => new Date(Date.UTC(2026, 9, 1) + i * 86400e3).toISOString().slice(0, 10);
const name = (text, type, about = "") => ({ name: text, type, example: "", text: about });
const names = {
  fields: [name("tx.amount", "number", "in minor units of the base currency"), name("tx.amount_local", "number"), name("tx.country", "text", "ISO 3166"), name("tx.customer_id", "text"), name("score", "number", "the model's probability of fraud")],
  functions: [name("in_list", "yes or no", "whether a list has the value"), name("has", "yes or no", "whether there is a value")],
  velocities: [name("count", "number", "payments of an entity in a window"), name("sum", "number")],
  features: [name("customer_count_30d", "number", "payments of the customer in 30 days")],
};

function example(i, outcome, from, to, rule, text) {
  return {
    transaction_id: text ?? `tx-${90001 + i}`, account: 1, known_at: new Date(Date.UTC(2026, 9, 20, 8, i)).toISOString(), amount: 120000 - i * 900,
    label: outcome === "fraud" ? "fraud" : i % 2 && outcome === "good" ? "good" : null, outcome, from, to, rule, degraded: "", ruleset_version: "2",
  };
}

/** A report that follows from the document: the more a rule asks for, the fewer hits. */
export function reportOf(document, days, rule, hostile) {
  const decisions = days * 1000;
  const rules = document.rules
    .filter((each) => each.enabled !== false)
    .map((each, at) => {
      const daily = each.when.includes("false") ? 0 : Math.max(1, 40 - each.when.length / 4) + at;
      const by_day = Array.from({ length: days }, (_, i) => Math.round(daily * (1 + (i % 5) / 5)));
      const hits = daily === 0 ? 0 : by_day.reduce((sum, n) => sum + n, 0);
      if (daily === 0) by_day.fill(0);
      const fraud = Math.round(hits * 0.3), good = Math.round(hits * 0.4);
      const some = (outcome, n) => (hits === 0 || (rule && rule !== each.id) ? [] : Array.from({ length: n }, (_, i) => example(i, outcome, "approve", each.action === "tag" ? "approve" : each.action, each.id, i === 1 ? hostile : undefined)));
      return {
        id: each.id, name: each.name ?? "", action: each.action, is_shadow: !!each.shadow, hits, hits_per_day: hits / days, decides: Math.round(hits * 0.8), errors: 0,
        share: hits / decisions, fraud, good, unknown: hits - fraud - good, precision: hits ? fraud / (fraud + good) : null, precision_low: hits ? 0.38 : null, precision_high: hits ? 0.49 : null,
        recall: hits ? 0.21 : null, money_caught: fraud * 41000, good_money: good * 15000,
        alone: { hits: Math.round(hits / 2), fraud: 3, good: 2, unknown: 1, money_caught: 90000, good_money: 20000 }, by_day,
        matches: { fraud: some("fraud", 4), good: some("good", 4), unknown: some("unknown", 2) },
      };
    });
  const cell = (n) => ({ count: n, fraud: Math.round(n / 100), good: n - Math.round(n / 100), unknown: 0, money: n * 5000, fraud_money: n * 90, good_money: n * 4000 });
  const side = (label, stopped) => ({
    name: label, actions: { approve: cell(decisions - stopped), challenge: cell(0), review: cell(stopped), decline: cell(Math.round(stopped / 4)) },
    precision: 0.42, precision_low: 0.4, precision_high: 0.44, recall: 0.37, reviews_per_day: stopped / days,
  });
  const first = rules[0]?.id ?? "";
  return {
    span: { from: `${day(0)}T00:00:00Z`, to: `${day(days)}T00:00:00Z`, days, mature_days: Math.max(0, days - 7), decisions }, sample: 1,
    labels: { as_of: `${day(days)}T00:00:00Z`, delay_days: 7 }, asked: side("draft", 900), compared: side("live (version 2)", 700), rules,
    overlap: { rules: rules.map((each) => each.id), hits: rules.map((a) => rules.map((b) => Math.round(Math.min(a.hits, b.hits) * (a === b ? 1 : 0.3)))) },
    changes: [
      { from: "approve", to: "approve", count: decisions - 400, money: 0, fraud: 9, good: decisions - 409, unknown: 0, examples: [] },
      { from: "decline", to: "approve", count: 40, money: 1e6, fraud: 2, good: 3, unknown: 35, examples: [example(8, "unknown", "decline", "approve", "")] },
      { from: "approve", to: "review", count: 240, money: 4e6, fraud: 60, good: 170, unknown: 10, examples: [0, 1, 2, 3].map((i) => example(i, i < 3 ? "good" : "fraud", "approve", "review", first, i === 0 ? hostile : undefined)) },
    ],
    days: Array.from({ length: days }, (_, i) => ({ day: day(i), decisions: 1000, is_mature: i < days - 7, asked: { review: 30 }, compared: { review: 20 + (i % 2) }, fraud: 9 })), unversioned: 0,
  };
}

const starter = (hostile) => ({
  missing: { score: "open", features: "open" },
  lists: [{ name: "trusted_customers", field: "customer_id", note: hostile }],
  rules: [
    { id: "beyond_any_limit", name: "Amount beyond any limit", when: "tx.amount > 1000000", action: "decline", priority: 100, reason: "{tx.amount} is beyond what is paid here" },
    { id: "trusted_small", name: hostile, when: 'in_list(tx.customer_id, "trusted_customers") && tx.amount <= 20000', action: "approve", priority: 90 },
    { id: "busy_card", when: 'count(card, "10m") > 5 && tx.amount > 50000', action: "review", priority: 60, owner: "payments" },
  ],
});

export function ruling(hostile, empty, me = "ann") {
  const at = "2026-11-01T10:00:00Z";
  const made = (version, state, authors, more = {}) => ({
    version, account: "", state, revision: 1, authors, approver: "", note: "", created_at: at, updated_at: at, prepared_at: null, shadowed_at: null, published_at: null,
    retired_at: null, previous: null, document: starter(hostile), ...more,
  });
  const sets = empty
    ? []
    : [
        made(1, "retired", "bob", { approver: "cid", published_at: "2026-10-05T10:00:00Z", retired_at: "2026-10-20T10:00:00Z" }),
        made(2, "published", "bob", { approver: "cid", published_at: "2026-10-20T10:00:00Z", previous: 1, note: hostile }),
        made(3, "draft", "bob", { note: "tighter on cards" }),
        made(4, "draft", me),
      ];
  const jobs = [];
  const history = new Map(sets.map((set) => [set.version, [{ at, actor: hostile, action: "rules.draft", detail: { reason: hostile } }]]));
  const brief = ({ document, ...set }) => ({ ...set, rules: document.rules.length });
  const whole = (set) => ({ ...set, rules: set.document.rules.length });
  const faultsOf = (document) =>
    document.rules.flatMap((rule, i) => {
      const fault = parseCondition(rule.when);
      return fault ? [{ pointer: `#/rules/${i}/when`, detail: `rule ${rule.id}: 1:${fault.column}: ${fault.text}\n | ${rule.when}\n | ${" ".repeat(fault.column - 1)}^` }] : [];
    });
  let opened = 0;
  const problem = (status, detail) => [status, { title: "No", status, detail }];
  const did = (set, action, reason) => history.get(set.version).unshift({ at: new Date().toISOString(), actor: me, action, detail: reason ? { reason } : {} });

  const step = (set, verb, body) => {
    const live = sets.find((each) => each.state === "published");
    const now = new Date().toISOString();
    if (body?.revision && body.revision !== set.revision) return problem(409, `version ${set.version} has revision ${set.revision} by now`);
    if (verb === "shadow") Object.assign(set, { state: "shadow", shadowed_at: now });
    else if (verb === "publish") {
      if (set.authors.split(", ").includes(me)) return problem(403, "who wrote in it cannot publish it");
      if (body?.expected !== (live?.version ?? 0)) return problem(409, `version ${live?.version} is in force`);
      if (live) Object.assign(live, { state: "retired", retired_at: now });
      Object.assign(set, { state: "published", published_at: now, approver: me, previous: live?.version ?? null });
    } else if (verb === "retire") Object.assign(set, { state: "retired", retired_at: now });
    did(set, `rules.${verb}`, body?.reason);
    return [200, whole(set)];
  };
  const jobNow = (job) => {
    if (job.state === "waiting") job.state = "running";
    else if (job.state === "running") {
      job.done = Math.min(job.total, job.done + job.total / 4);
      if (job.done === job.total) Object.assign(job, { state: "done", ended_at: new Date().toISOString(), report_sha256: "5a".repeat(32) });
    }
    return job;
  };

  /** What is answered, or nothing when the path is of somebody else. */
  const answer = (method, url, body) => {
    const path = url.pathname;
    const [, number, verb] = /^\/v1\/(?:rulesets|backtests)\/(\d+)(?::(\w+))?$/.exec(path) ?? [];
    const set = path.startsWith("/v1/rulesets/") ? sets.find((each) => each.version === Number(number)) : undefined;
    const job = path.startsWith("/v1/backtests/") ? jobs.find((each) => each.backtest === Number(number)) : undefined;
    switch (`${method} ${path}`) {
      case "GET /v1/rulesets": return [200, { rulesets: sets.toReversed().map(brief) }];
      case "GET /v1/rulesets:names": return [200, names];
      case "POST /v1/rulesets:check": return [200, { faults: faultsOf(body.document) }];
      case "POST /v1/rulesets": {
        const version = sets.length + 1;
        sets.push(made(version, "draft", me, { document: body.document, note: body.note ?? "" }));
        history.set(version, []);
        did(sets.at(-1), "rules.draft");
        return [201, whole(sets.at(-1))];
      }
      case "POST /v1/rulesets:rollback": {
        const live = sets.find((each) => each.state === "published");
        const back = sets.find((each) => each.version === live?.previous);
        if (!back) return problem(404, "nothing was in force before");
        Object.assign(live, { state: "retired" });
        Object.assign(back, { state: "published" });
        did(back, "rules.rollback", body.reason);
        return [200, whole(back)];
      }
      case "GET /v1/backtests": return [200, { backtests: jobs.filter((each) => String(each.version) === url.searchParams.get("version")).toReversed().map((each) => ({ ...jobNow(each), answer: undefined })) }];
      case "POST /v1/backtests": {
        const of = sets.find((each) => each.version === body.version);
        jobs.push({
          backtest: jobs.length + 1, state: "waiting", asked_by: me, created_at: new Date().toISOString(), started_at: null, ended_at: null, question: (({ version: _, ...wish }) => ({ against: "live", ...wish }))(body), version: of.version,
          revision: of.revision, stage: "decisions", done: 0, total: 400000, report_sha256: null, trouble: "",
        });
        return [202, jobs.at(-1)];
      }
      case "POST /v1/backtests:try":
        if (opened++ === 0) return [200, { state: "opening", done: 300, total: 1000 }];
        return [200, { state: "ready", opened_at: at, answer: { run_seconds: 0.08, absent_features: [], report: reportOf(body.document ?? starter(hostile), empty ? 0 : body.days, body.rule, hostile) } }];
      case "GET /v1/lists": return [200, { lists: empty ? [] : [{ list: "trusted_customers", account: "", purpose: "named", type: "string", field: "customer_id", values: 12, note: hostile }] }];
    }
    if (number && !set && !job) return problem(404, "there is no such version");
    switch (`${method} ${set ? "set" : job ? "job" : "other"} ${verb ?? ""}`) {
      case "GET set ": return [200, whole(set)];
      case "PUT set ":
        if (body.revision !== set.revision) return problem(409, `version ${set.version} has revision ${set.revision} by now`);
        Object.assign(set, { document: body.document, note: body.note, revision: set.revision + 1, authors: set.authors.includes(me) ? set.authors : `${set.authors}, ${me}` });
        did(set, "rules.edit");
        return [200, whole(set)];
      case "DELETE set ": sets.splice(sets.indexOf(set), 1); return [204];
      case "GET set history": return [200, { history: history.get(set.version) }];
      case "GET set serving": return [200, { processes: 3, serving: 3, lagging: "" }];
      case "GET set diff": return [200, { added: [{ id: "fresh", when: hostile, action: "review" }], removed: [], changed: [{ id: "busy_card", from: { priority: 60 }, to: { priority: 70 } }], others: [{ name: "thresholds", from: null, to: { review: 0.5, decline: 0.8 } }] }];
      case "GET job ": return [200, { ...job, answer: job.state === "done" ? { run_seconds: 9.1, absent_features: [], report: { ...reportOf(sets.find((each) => each.version === job.version).document, 120, "", hostile) } } : undefined }];
      case "POST job cancel": return [200, Object.assign(job, { state: "cancelled" })];
    }
    if (method === "POST" && set && ["prepare", "shadow", "publish", "retire"].includes(verb)) return step(set, verb, body);
    return null;
  };
  return { answer, sets, jobs };
}
