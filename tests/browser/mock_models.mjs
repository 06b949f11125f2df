// SPDX-License-Identifier: Apache-2.0
// Plays the retrainer for tests of the pages about models: docs/api/retrainer.yaml over four versions of one name.

const day = 86400e3;
const iso = (at) => new Date(at).toISOString();

function curves(strength) {
  const steps = Array.from({ length: 40 }, (_, i) => (i + 1) / 40);
  return {
    precision_recall: steps.map((recall) => [recall, Math.max(0.004, 1 - recall ** (strength * 4)), 1 - recall * 0.99]),
    reliability: Array.from({ length: 10 }, (_, i) => [0.002 * 1.7 ** i, 0.002 * 1.7 ** i * (1 + (i % 3 ? 0.1 : -0.12) / strength), 4200]),
    money: steps.map((_, i) => {
      const threshold = 0.98 * 0.86 ** i;
      const caught = 2400000 * (1 - threshold ** (0.2 * strength));
      const away = 900000 * (1 - threshold) ** 6;
      return [threshold, caught - 0.5 * away * (i / 4), caught, away * (i / 4)];
    }),
  };
}

export function mockModels({ hostile, empty, now = Date.now() }) {
  const model = (version, state, aliases, ap, more = {}) => ({
    version, name: "handbook", state, aliases, created_at: iso(now - (20 - version) * 3 * day), registered_by: "retrainer",
    sha256: String(version).padStart(2, "0").repeat(32), signer: version > 14 ? "ab".repeat(32) : null, bytes: 812345,
    figures: { average_precision: ap, calibration_error: 0.0021, card_precision_100: ap - 0.3, held_out_frauds: 412, recall_at_fpr_1: ap + 0.1, auc_roc: 0.97 },
    change: { action: state === "champion" ? "model.promote" : "model.move", at: iso(now - day), by: version === 14 ? hostile : "mo", reason: "reviewed" },
    run: { run: version, cause: "schedule", requested_by: "schedule" }, ...more,
  });
  const models = empty
    ? []
    : [
        model(18, "registered", [], 0.61, { change: null }), model(17, "ab", ["challenger"], 0.72), model(16, "champion", ["champion"], 0.69),
        model(15, "retired", ["previous_champion"], 0.66), model(14, "rejected", [], 0.31, { run: null, registered_by: hostile }),
      ];
  const find = (version) => models.find((each) => each.version === Number(version));
  const verdict = (number, version, gate, outcome, reason, stage = "validation") => ({
    verdict: number, version, experiment: stage === "validation" ? null : 3, stage, gate, outcome, reason, evidence: { difference: 0.021, low: 0.004, high: 0.038, rows: 48211 }, at: iso(now - 4 * day),
  });
  const looks = Array.from({ length: 9 }, (_, i) => ({ rows: 9000 * (i + 1), z_pass: 0.2 + 0.26 * i + (i % 2 ? 0.2 : 0), z_fail: -0.5 - 0.2 * i, bound: i < 2 ? 1e9 : 9.2 / Math.sqrt(i + 1) }));
  const experiments = empty
    ? []
    : [
        {
          experiment: 3, name: "handbook", stage: "ab", state: "running", champion: 16, candidate: 17, share: 0.1,
          design: { planned_rows: 120000, days: 28, days_most: 56, alpha: 0.05, margin: 0, share: 0.1 },
          progress: { look_at_us: (now + 3600e3) * 1000, looks: { planned_rows: 120000, is_ended: false, looks } }, started_at: iso(now - 12 * day), ended_at: null, ended_by: "",
        },
        {
          experiment: 2, name: "handbook", stage: "shadow", state: "passed", champion: 16, candidate: 17, share: 0, design: { days_least: 7, rows_least: 5000 }, progress: { rows: 51234 },
          started_at: iso(now - 20 * day), ended_at: iso(now - 12 * day), ended_by: "retrainer",
        },
      ];
  const run = (number, state, more) => ({
    run: number, name: "handbook", cause: "request", reason: "drift of the score", requested_by: "mo", requested_at: iso(now - 3600e3), as_of: null, settings: { trials: 20 }, state,
    is_cancelled: false, attempts: 1, stage: "", progress: state === "succeeded" ? 1 : 0, started_at: iso(now - 3000e3), ended_at: state === "queued" || state === "running" ? null : iso(now - 2000e3),
    version: null, message: "", ...more,
  });
  let runs = empty
    ? []
    : [run(20, "running", { stage: "trial 9 of 20", progress: 0.44 }), run(18, "succeeded", { version: 18 }), run(17, "failed", { message: hostile, cause: "drift" })];
  let schedules = empty ? [] : [{ name: "handbook", cron: "30 3 * * mon", zone: "Europe/Berlin", settings: { trials: 20 }, is_enabled: true, fired_at: iso(now - 5 * day), next_at: iso(now + 2 * day) }];

  const crown = (version, isWayBack) => {
    for (const each of models) {
      each.aliases = each.aliases.filter((alias) => alias !== "previous_champion");
      if (each.state === "champion") Object.assign(each, { state: "retired", aliases: isWayBack ? [] : ["previous_champion"] });
    }
    Object.assign(find(version), { state: "champion", aliases: ["champion"] });
    for (const each of experiments) if (each.state === "running") Object.assign(each, { state: "stopped", ended_at: iso(now), ended_by: "mo" });
    return [200, { name: "handbook", champion: version }];
  };
  const card = (the) => ({
    model: the, training: { from: iso(now - 120 * day), until: iso(now - 30 * day), labels_known: iso(now - 10 * day), label_delay_days: 7, rows: 812334, frauds: 6012 },
    thresholds: { challenge: 0.12, review: 0.3, decline: 0.74 }, forest: { trees: 380, depth: 6, nodes: 31222, golden_rows: 256 }, plan: "cd".repeat(32),
    features: Array.from({ length: 30 }, (_, i) => ({ name: `customer_count_${i}h`, describe: i === 3 ? hostile : `Payments of the customer within ${i} hours` })),
    metrics: { ...the.figures, fraud_minor: 3000000, caught_minor: 2100000, curves: curves(the.figures.average_precision) }, parameters: { eta: 0.08, max_depth: 6, note: "x" },
    card: `# Model card\n\n${hostile}`, run: the.run ? run(the.run.run, "succeeded", { version: the.version }) : null, experiments: experiments.filter((each) => [each.champion, each.candidate].includes(the.version)),
    verdicts: the.run
      ? [verdict(1, the.version, "golden_rows", "pass", "256 rows are bit-equal"), verdict(2, the.version, "average_precision", the.version === 18 ? "fail" : "pass", "0.021 above the champion's, at least 0.004"), verdict(3, the.version, "card_precision", "inconclusive", "12 days are too few")]
      : [],
    history: [{ at: iso(now - day), actor: "mo", action: "model.promote", detail: { reason: hostile, from: "validated", to: "champion" } }],
  });
  const side = (version) => {
    const ap = find(version).figures.average_precision;
    const point = (threshold) => ({ threshold, recall: ap, precision: 0.8, flagged: 0.01, saved_minor: ap * 2000000, caught_minor: ap * 2200000, turned_away_minor: 400000 });
    return { version, average_precision: ap, auc_roc: 0.97, calibration_error: 0.003 / ap, thresholds: { challenge: point(0.12), review: point(0.3), decline: point(version === 17 ? 0.6 : 0.74) }, ...curves(ap) };
  };
  const estimate = (value, spread = 0.1) => ({ value, low: value * (1 - spread), high: value * (1 + spread) });
  const line = (of, threshold) => ({
    of, ...(of === "threshold" ? { threshold } : {}), precision: estimate(0.4 + threshold / 2), recall: estimate(0.9 - threshold / 2), false_positive_rate: estimate(0.004), flagged: estimate(900 - threshold * 500),
    money_caught: estimate(2000000), money_lost: estimate(500000), money_turned_away: estimate(300000), effective: 44, not_covered: 3,
  });

  return {
    models, experiments, runs: () => runs, schedules: () => schedules,
    /** The answer of a route that is the retrainer's, else undefined. */
    answer(method, url, body, roles) {
      const path = url.pathname;
      if (!/^\/v1\/(models|experiments|retraining-|control-slice)/.test(path)) return undefined;
      const isReader = ["model_owner", "lead", "admin", "auditor"].some((role) => roles.includes(role));
      if (!(method === "GET" ? isReader : roles.includes("model_owner"))) return [403, { title: "Forbidden", detail: "your roles do not allow this" }];
      const at = `${method} ${path}`;
      const hit = /^\/v1\/([a-z-]+)\/([^/:]+)(?:\/versions\/(\d+))?(?::(\w+))?$/.exec(path);
      const unknown = [404, { title: "Not Found", detail: "there is no such thing" }];
      if (at === "GET /v1/models") return [200, { models: models.slice(0, Number(url.searchParams.get("limit") ?? 50)) }];
      if (at === "GET /v1/experiments") return [200, { experiments }];
      if (at === "GET /v1/retraining-runs") return [200, { runs }];
      if (at === "GET /v1/retraining-schedules") return [200, { schedules }];
      if (at === "GET /v1/control-slice")
        return [200, empty
          ? { slices: [], is_cut: false, report: null }
          : { slices: [{ account: "", share: 0.05, amount_most_minor: 20000, card_per_day: 1, merchant_per_day: 10, count_per_day: 200, amount_per_day_minor: 400000, newest_day_count: 31 }], is_cut: true,
              report: { from: iso(now - 40 * day), to: iso(now - 10 * day), decisions: 200000, let_through: 622, decided_otherwise: 3201, untold: 0, decline_threshold: 0.74, frauds: estimate(1400), average_precision: estimate(0.66),
                lines: [line("policy", 0.74), ...[0.1, 0.3, 0.5, 0.7, 0.9].map((threshold) => line("threshold", threshold))] } }];
      if (at === "POST /v1/retraining-runs") {
        runs = [run(21, "queued", { reason: body.reason, name: body.name, settings: body.settings, started_at: null }), ...runs];
        return [202, runs[0]];
      }
      if (!hit) return unknown;
      if (hit[1] === "models" && hit[3]) return find(hit[3]) ? [200, card(find(hit[3]))] : unknown;
      if (hit[1] === "models" && hit[4] === "compare") {
        const [champion, challenger] = ["champion", "challenger"].map((name) => Number(url.searchParams.get(name)));
        return [200, { name: hit[2], from: iso(now - 40 * day), until: iso(now - 10 * day), decisions: 50000, is_cut: true, declined: 4100, unscored: 12, rows: 45888, frauds: 377, decline_cost: 0.5, champion: side(champion), challenger: side(challenger) }];
      }
      if (hit[1] === "models" && method === "POST") {
        const reigning = models.find((each) => each.state === "champion")?.version ?? 0;
        if (body.expected !== reigning) return [409, { title: "Conflict", detail: `the champion is ${reigning}` }];
        return hit[4] === "promote" ? crown(body.version, false) : crown(models.find((each) => each.aliases.includes("previous_champion")).version, true);
      }
      const trial = hit[1] === "experiments" && experiments.find((each) => each.experiment === Number(hit[2]));
      if (trial && hit[4] === "stop") Object.assign(trial, { state: "stopped", ended_at: iso(now), ended_by: "mo" });
      if (trial) return [200, { experiment: trial, verdicts: trial.stage === "shadow" ? [verdict(9, 17, "money", "pass", "saves 4.1 % of the champion's net loss, at least 1.2 %", "shadow")] : [] }];
      if (hit[1] === "retraining-runs") {
        runs = runs.map((each) => (each.run === Number(hit[2]) ? { ...each, is_cancelled: true } : each));
        return [200, runs.find((each) => each.run === Number(hit[2]))];
      }
      if (hit[1] === "retraining-schedules") {
        schedules = schedules.filter((each) => each.name !== hit[2]);
        if (method === "DELETE") return [204];
        schedules = [...schedules, { name: hit[2], fired_at: null, next_at: iso(now + day), ...body }];
        return [200, { schedules }];
      }
      return unknown;
    },
  };
}
