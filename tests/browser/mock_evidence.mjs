// SPDX-License-Identifier: Apache-2.0
// What a case is compared with, in the play-service: its graph, similar past cases, places. Of case 3 there are no
// coordinates, and case 4 was decided without features.
const hour = 3600e3;

function random(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function graph(the, cases, hostile) {
  const draw = random(the.case);
  const own = [["card", the.card_id], ["customer", the.customer_id], ["device", the.device_id], ["ip", the.ip], ["merchant", the.merchant_id]]
    .filter(([, value]) => value);
  const nodes = own.map(([kind, value], node) => ({ node, kind, value, hop: 0 }));
  const edges = [];
  const payments = [];
  const add = (kind, value, hop, from) => {
    let at = nodes.findIndex((each) => each.kind === kind && each.value === value);
    if (at < 0) at = nodes.push({ node: nodes.length, kind, value, hop }) - 1;
    if (at !== from) edges.push({ from, to: at, payments: 1 + Math.floor(draw() * 4) });
    return at;
  };
  for (let i = 0; i < 34; i++) {
    const hop = i < 24 ? 1 : 2;
    const [via, value] = own[i % (own.length - 1)];
    const card = i % 3 === 0 ? `k-${900 + i}` : the.card_id;
    const device = i % 4 === 0 ? (i === 8 ? hostile : `d-${700 + (i % 8)}`) : "";
    const from = nodes.findIndex((each) => each.value === value);
    if (card !== the.card_id) add("card", card, hop, from);
    if (device) add("device", device, hop, from);
    const other = i % 9 === 0 ? cases[i / 9 + 10] : undefined;
    payments.push({
      hop, via, value,
      payment: {
        transaction_id: other?.transaction_id ?? `tx-${70000 + i}`, occurred_at: new Date(Date.parse(the.occurred_at) - i * hour).toISOString(),
        amount_minor: Math.round(draw() * 40000), currency: "EUR", amount_base_minor: 100, action: draw() < 0.7 ? "approve" : "review", score: draw() * 0.6,
        customer_id: the.customer_id, card_id: card, merchant_id: the.merchant_id, device_id: device, ip: the.ip,
        is_fraud: draw() < 0.5 ? null : draw() < 0.3, case: other?.case ?? null, case_version: other?.version ?? null, case_state: other?.state ?? null,
        expected_loss_base_minor: other?.expected_loss_base_minor ?? null,
      },
    });
  }
  const field = { card: "card_id", customer: "customer_id", device: "device_id", ip: "ip", merchant: "merchant_id" };
  return {
    nodes: nodes.map((each) => {
      const its = payments.filter(({ payment }) => payment[field[each.kind]] === each.value).map(({ payment }) => payment);
      const isHub = each.kind === "merchant";
      return {
        ...each, is_followed: !isHub, is_hub: isHub, is_cut: isHub, payments: its.length, frauds: its.filter((p) => p.is_fraud).length,
        legit: its.filter((p) => p.is_fraud === false).length, cases: its.filter((p) => p.case).length,
        counted_payments: isHub ? 10000 : null, counted_customers: isHub ? 8123 : null, has_more: isHub,
      };
    }),
    edges, payments, nodes_left_out: 12, payments_left_out: 0,
  };
}

function similar(the, hostile) {
  const draw = random(the.case + 5);
  const nothing = { model_version: "17", trees: 300, labelled: 182340, sampled: 49000, is_whole: true, is_exact: true };
  if (the.case === 4)
    return { ...nothing, trouble: "it was decided without features", nearest: { count: 0, fraud: 0, legit: 0, unknown: 0 }, similar: [] };
  return {
    ...nothing, trouble: null, nearest: { count: 50, fraud: 31, legit: 6, unknown: 13 },
    similar: Array.from({ length: 20 }, (_, i) => {
      const outcome = i % 5 === 4 ? "unknown" : i % 4 === 1 ? "legit" : "fraud";
      return {
        proximity: 0.94 - i * 0.021, outcome, labelled_by: outcome === "unknown" ? null : i % 2 ? "chargeback" : "analyst",
        labelled_at: outcome === "unknown" ? null : new Date(Date.parse(the.occurred_at) - i * 9 * hour).toISOString(),
        transaction_id: i === 2 ? hostile : `tx-${40000 + i}`, case: i % 3 === 0 ? i + 20 : null, reason: i % 3 === 0 ? "stolen_card" : null,
        occurred_at: new Date(Date.parse(the.occurred_at) - i * 40 * hour).toISOString(), amount_minor: Math.round(draw() * 90000), currency: "EUR",
        amount_base_minor: 100, action: i % 2 ? "approve" : "decline", score: draw(), shares: i % 2 ? ["country", "merchant"] : [],
      };
    }),
  };
}

function places(the, hostile) {
  if (the.case === 3) return { places: [], of: "card", last: null };
  const at = [[52.52, 13.405], [48.8566, 2.3522], [48.86, 2.33], [48.1372, 11.5756], [53.5511, 9.9937]];
  return {
    of: "card",
    places: at.map(([lat, lon], i) => ({
      transaction_id: i ? (i === 2 ? hostile : `tx-${70000 + i}`) : the.transaction_id, lat, lon, occurred_at: new Date(Date.parse(the.occurred_at) - i * 0.6 * hour).toISOString(),
      amount_minor: 1200 * (i + 1), currency: "EUR", merchant_id: `m-${i}`, is_fraud: i === 1 ? true : null, case: null,
    })),
    last: { transaction_id: "tx-70001", km: 877.5, seconds: 2160, km_per_h: 1462.5 },
  };
}

/** The answer to one of these routes, or undefined. */
export function evidence(key, the, cases, hostile) {
  switch (key) {
    case "GET /v1/cases/N/graph": return [200, graph(the, cases, hostile)];
    case "GET /v1/cases/N/similar": return [200, similar(the, hostile)];
    case "GET /v1/cases/N/places": return [200, places(the, hostile)];
  }
  return undefined;
}
