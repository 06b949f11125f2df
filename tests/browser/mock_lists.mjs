// SPDX-License-Identifier: Apache-2.0
// Plays lists (docs/api/rules.yaml), keys and settings (docs/api/dashboard.yaml) over a made-up world that is the same
// each time.

const scopes = [
  { name: "decide", may: "send transactions and get decisions" },
  { name: "read", may: "get stored decisions" },
  { name: "admin", may: "manage what belongs to the account" },
  { name: "rules:approve", may: "publish and roll back rule sets that others wrote" },
];

function lists(hostile) {
  const make = (list, purpose, type, field, values, note) => ({
    list, account: "", purpose, type, field, values: values.length, expired: 1, next_expiry: "2026-09-01T00:00:00Z", note,
    entries: values.map((value, i) => ({
      value, note: i === 1 ? hostile : "seen in fraud", added_by: i % 2 ? "ann" : "bob", added_at: "2026-03-01T08:00:00Z",
      expires_at: i % 3 === 0 ? "2026-01-01T00:00:00Z" : i % 3 === 1 ? null : "2026-09-01T00:00:00Z",
    })),
    changes: [],
  });
  return [
    make("blocked_cards", "deny", "string", "card_id", Array.from({ length: 450 }, (_, i) => `k-${String(i).padStart(4, "0")}`), "reported stolen"),
    make("trusted_customers", "allow", "string", "customer_id", ["c-1", "c-2"], ""),
    make("anonymous_networks", "named", "ip", "ip", ["192.0.2.0/24"], hostile),
  ];
}

function keys(hostile) {
  const key = (prefix, more) => ({
    prefix, account: "demo", owner: "", scopes: ["decide", "read"], state: "valid", note: "the web shop", rate_per_s: 500, burst: 500,
    created_at: "2026-01-01T08:00:00Z", expires_at: null, revoked_at: null, used_at: new Date(Date.now() - 90e3).toISOString(), ...more,
  });
  return [
    key("1f2e3d4c", { expires_at: "2027-01-01T08:00:00Z" }),
    key("00aa11bb", { owner: "ann", scopes: ["admin", "rules:approve"], note: hostile, used_at: null, rate_per_s: 0 }),
    key("deadbeef", { state: "revoked", revoked_at: "2026-02-01T08:00:00Z" }),
  ];
}

/* Scores pile up low, frauds high; the newest week is not known yet. */
function thresholds() {
  const edges = [...Array.from({ length: 100 }, (_, i) => i / 1000), ...Array.from({ length: 180 }, (_, i) => (i + 20) / 200)];
  return {
    days: 30, mature_days: 7, review_cost_base_minor: 300,
    present: { challenge: 0.05, review: 0.2, decline: 0.8, is_of_rules: false, model_version: "17", ruleset_version: "4" },
    buckets: edges.map((from) => {
      const good = Math.round(20000 * Math.exp(-from * 40)) + (from < 0.9 ? 2 : 0);
      const fraud = Math.round(1 + 12 * from ** 2);
      return { from, counts: [fraud, good, Math.round(good / 4)], amounts_base_minor: [fraud * 12000, good * 5000, Math.round(good / 4) * 5000] };
    }),
  };
}

const settings = {
  base_currency: "EUR", review_cost_base_minor: 300, case_actions: "review", case_score: "2", sla_s: 14400, lock_s: 1800, undo_s: 10, idle_s: 1800,
  session_s: 43200,
};

/** Answers a request as [status, body], or undefined where it is not about these. */
export function keeping(hostile, empty) {
  let all = empty ? [] : lists(hostile);
  const held = empty ? [] : keys(hostile);
  let made = 0;
  const shown = ({ entries, changes, ...list }) => ({ ...list, values: entries.length });
  const fresh = () => {
    const prefix = `0000000${++made}`;
    held.push({ ...keys("")[0], prefix, used_at: null });
    return { prefix, key: `ak_${prefix}_00000000000000000000000000000000` };
  };
  const ofKeys = (method, path, body) => {
    const [, prefix, verb] = /^\/v1\/keys\/([^:]+):(\w+)$/.exec(path) ?? [];
    if (!prefix) return method === "GET" ? [200, { keys: held, scopes, accounts: ["demo", "shop"] }] : [201, { ...fresh(), body }];
    const key = held.find((each) => each.prefix === prefix);
    if (verb === "revoke") Object.assign(key, { state: "revoked", revoked_at: new Date().toISOString() });
    return verb === "revoke" ? [204] : [201, fresh()];
  };
  const ofList = (method, list, rest, body, asked) => {
    const values = body?.values ?? [];
    const change = (value, isThere) =>
      list.changes.unshift({ seq: list.changes.length + 1, at: new Date().toISOString(), actor: "ann", value, is_there: isThere, note: body.note ?? "", expires_at: null });
    const known = values.filter((value) => list.entries.some((entry) => entry.value === value));
    switch (`${method} ${rest}`) {
      case "GET ": return [200, shown(list)];
      case "DELETE ": all = all.filter((other) => other !== list); return [204];
      case "GET entries": {
        const find = (asked.get("find") ?? "").toLowerCase();
        const fits = list.entries.filter(({ value, note }) => value > (asked.get("after") ?? "") && (value + note).toLowerCase().includes(find));
        return [200, { entries: fits.slice(0, Number(asked.get("limit") ?? 50)) }];
      }
      case "GET changes": return [200, { changes: list.changes }];
      case "POST entries:preview": {
        const faults = values.flatMap((value, i) => (value.includes(" ") ? [{ line: i + 1, what: `"${value}" ${hostile} is neither an address nor a network` }] : []));
        return [200, { fresh: values.length - known.length - faults.length, known: known.length, repeated: 0, refused: faults.length, faults }];
      }
      case "POST entries:add":
        for (const value of values) {
          if (!known.includes(value)) list.entries.push({ value, note: body.note ?? "", added_by: "ann", added_at: new Date().toISOString(), expires_at: body.expires_at ?? null });
          change(value, true);
        }
        return [200, { changed: values.length }];
      case "POST entries:remove":
        list.entries = list.entries.filter((entry) => !values.includes(entry.value));
        for (const value of known) change(value, false);
        return [200, { changed: known.length }];
      case "POST csv": return [200, { taken: 2, refused: 1, faults: [{ line: 3, what: "an entry is empty" }] }];
    }
    return [404, { title: "Not Found", detail: "no such route" }];
  };
  return (method, url, body) => {
    const path = url.pathname;
    if (path === "/v1/keys" || path.startsWith("/v1/keys/")) return ofKeys(method, path, body);
    if (path === "/v1/settings") return [200, settings];
    if (path === "/v1/thresholds") return [200, empty ? { ...thresholds(), present: null, buckets: [] } : thresholds()];
    if (path === "/v1/lists" && method === "GET") return [200, { lists: all.map(shown) }];
    if (path === "/v1/lists") {
      all.push({ account: "", expired: 0, next_expiry: null, type: "string", field: "", note: "", ...body, entries: [], changes: [] });
      return [201, shown(all[all.length - 1])];
    }
    const [, name, rest] = /^\/v1\/lists\/([^/]+)(?:\/(.*))?$/.exec(path) ?? [];
    if (!name) return undefined;
    const list = all.find((each) => each.list === decodeURIComponent(name));
    return list ? ofList(method, list, rest ?? "", body, url.searchParams) : [404, { title: "Not Found", detail: "there is no such list" }];
  };
}
