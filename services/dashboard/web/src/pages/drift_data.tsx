// SPDX-License-Identifier: Apache-2.0
// Whether the data itself is well: how much comes, how late, how often twice, what was decided while a part was missing,
// and whether served features are those that the log gives.
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useMemo, useState } from "react";
import { Refused } from "../api";
import { type DataHealth, type Health, watch } from "../api/drift";
import { saveCsv } from "../csv";
import { compact, count, moment, percent, span } from "../format";
import { go, href, useRoute } from "../route";
import { Blank, Chip, Fault, Loading, Panel } from "../ui";

const Chart = lazy(() => import("./drift_chart"));

const spans = [
  { hours: "24", label: "24 hours" },
  { hours: "168", label: "7 days" },
  { hours: "720", label: "30 days" },
];

const share = (part: number, whole: number): number | null => (whole > 0 ? part / whole : null);
const lateBeyond = 3600;
const isLate = (bin: { up_to_seconds: number | null }) => bin.up_to_seconds === null || bin.up_to_seconds > lateBeyond;
const lateOf = (each: Health): number => each.late.filter(isLate).reduce((sum, bin) => sum + bin.count, 0);

export default function DataView({ lane }: { lane: number }) {
  const { query } = useRoute();
  const hours = spans.find((each) => each.hours === query.get("hours"))?.hours ?? "24";
  const asked = useQuery({
    queryKey: ["data-health", lane, hours],
    queryFn: ({ signal }) => watch.dataHealth(lane, Number(hours), signal),
    refetchInterval: 30000,
    placeholderData: (before) => before,
    retry: false,
  });
  const isEmpty = asked.error instanceof Refused && asked.error.status === 404;
  return (
    <>
      <div className="filters">
        <div className="row" role="group" aria-label="How far back">
          {spans.map((each) => (
            <button
              key={each.hours} type="button" className="button" aria-pressed={each.hours === hours}
              onClick={() => go(href("drift/data", { ...Object.fromEntries(query), hours: each.hours }))}
            >
              {each.label}
            </button>
          ))}
        </div>
        <span className="grow" />
        <button
          type="button" className="button" disabled={!asked.data}
          onClick={() => asked.data && saveCsv("data-health.csv", csvColumns, asked.data.hours.map(flat))}
        >
          CSV
        </button>
      </div>
      {isEmpty && (
        <div className="panel">
          <Blank title="Nothing was seen here yet">
            <p>
              The monitor follows the log of all payments. Send one to <code>POST /v1/transactions</code>, or load the past with{" "}
              <code>assay load FILE</code>.
            </p>
          </Blank>
        </div>
      )}
      {asked.error && !isEmpty && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading lines={10} />}
      {asked.data && !isEmpty && <Figures the={asked.data} />}
    </>
  );
}

function Figures({ the }: { the: DataHealth }) {
  const { sum } = the;
  const recomputed = the.checks.reduce((all, each) => all + each.recomputed, 0);
  const mismatched = the.checks.reduce((all, each) => all + each.mismatched, 0);
  const tile = (label: string, part: number, whole: number, limit: number) => (
    <div className="panel tile">
      <div className={`value ${(share(part, whole) ?? 0) > limit ? "bad" : ""}`}>{percent(share(part, whole))}</div>
      <div className="label">{label}</div>
    </div>
  );
  return (
    <>
      <div className="tiles">
        <div className="panel tile">
          <div className="value">{compact(sum.transactions)}</div>
          <div className="label">payments, {compact(Math.round(sum.transactions / Math.max(1, the.hours.length)))} in an hour that had any</div>
        </div>
        {tile("became known more than an hour late", lateOf(sum), sum.transactions, 0.05)}
        {tile("equal another one within a minute", sum.duplicates, sum.transactions, 0.01)}
        {tile("decided while a part was missing", sum.degraded, sum.decisions, 0.05)}
        {tile("decided without a score", sum.unscored, sum.decisions, 0.05)}
        <div className="panel tile">
          <div className={`value ${mismatched > 0 ? "bad" : ""}`}>{recomputed === 0 ? "–" : count(mismatched)}</div>
          <div className="label">of {compact(recomputed)} served vectors differ from what the log gives</div>
        </div>
      </div>
      <div className="columns">
        <ByHour the={the} />
        <div className="stack">
          <Lateness sum={sum} />
          <Checks the={the} />
        </div>
      </div>
    </>
  );
}

const shown: { name: string; of: (each: Health) => number | null; format: (value: number) => string }[] = [
  { name: "Payments", of: (each) => each.transactions, format: compact },
  { name: "Late", of: (each) => share(lateOf(each), each.transactions), format: percent },
  { name: "Twice", of: (each) => share(each.duplicates, each.transactions), format: percent },
  { name: "Degraded", of: (each) => share(each.degraded, each.decisions), format: percent },
  { name: "Without a score", of: (each) => share(each.unscored, each.decisions), format: percent },
  { name: "Labels", of: (each) => each.labels, format: compact },
];

const hourText = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** Every hour of the span: one in which nothing came is 0, and not left out. */
function everyHour(hours: Health[]): { x: number[]; rows: (Health | null)[] } {
  const at = (each: Health) => Date.parse(each.from) / 3600e3;
  if (hours.length === 0) return { x: [], rows: [] };
  const sent = new Map(hours.map((each) => [at(each), each]));
  const first = at(hours[0]!);
  const x = Array.from({ length: at(hours[hours.length - 1]!) - first + 1 }, (_, i) => first + i);
  return { x: x.map((hour) => hour * 3600), rows: x.map((hour) => sent.get(hour) ?? null) };
}

function ByHour({ the }: { the: DataHealth }) {
  const [name, setName] = useState("Payments");
  const each = shown.find((one) => one.name === name) ?? shown[0]!;
  const data = useMemo(() => {
    const { x, rows } = everyHour(the.hours);
    return { x, lines: [{ label: each.name, values: rows.map((row) => (row ? each.of(row) : 0)), colour: "accent" as const }] };
  }, [the, each]);
  const newest = [...the.hours].reverse();
  return (
    <div className="stack">
      <Panel
        title="By hour"
        tools={
          <select className="input figure-choice" aria-label="Figure" value={each.name} onChange={(event) => setName(event.target.value)}>
            {shown.map((one) => (
              <option key={one.name}>{one.name}</option>
            ))}
          </select>
        }
      >
        <Suspense fallback={<div className="chart drift-chart" />}>
          <Chart
            key={each.name} label={`${each.name} by hour`} isTime x={data.x} lines={data.lines} format={each.format}
            formatX={(at) => hourText.format(at * 1000)}
          />
        </Suspense>
      </Panel>
      <div className="panel table-wrap tall" tabIndex={0} role="region" aria-label="Table of hours">
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">Hour from</th>
              <th scope="col" className="num">Payments</th>
              <th scope="col" className="num">Decisions</th>
              <th scope="col" className="num">Late</th>
              <th scope="col" className="num">Twice</th>
              <th scope="col" className="num">Degraded</th>
              <th scope="col" className="num">No score</th>
              <th scope="col" className="num">Labels</th>
              <th scope="col" className="num">Frauds</th>
            </tr>
          </thead>
          <tbody>
            {newest.map((row) => (
              <tr key={row.from}>
                <th scope="row" className="nowrap">{moment(row.from)}</th>
                <td className="num">{count(row.transactions)}</td>
                <td className="num">{count(row.decisions)}</td>
                <td className="num">{percent(share(lateOf(row), row.transactions))}</td>
                <td className="num">{percent(share(row.duplicates, row.transactions))}</td>
                <td className="num">{percent(share(row.degraded, row.decisions))}</td>
                <td className="num">{percent(share(row.unscored, row.decisions))}</td>
                <td className="num">{count(row.labels)}</td>
                <td className="num">{count(row.frauds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function Lateness({ sum }: { sum: Health }) {
  const all = sum.late.reduce((total, bin) => total + bin.count, 0);
  const most = Math.max(...sum.late.map((bin) => bin.count), 1);
  return (
    <Panel title="How late payments become known" flush>
      <table className="plain bins">
        <tbody>
          {sum.late.map((bin, i) => (
            <tr key={i}>
              <th scope="row" className="nowrap">{bin.up_to_seconds === null ? "later" : `up to ${span(bin.up_to_seconds)}`}</th>
              <td className="num">{percent(share(bin.count, all))}</td>
              <td>
                <span className="bin-bars" aria-hidden="true">
                  <span className={isLate(bin) ? "late" : "now"} style={{ width: `${(100 * bin.count) / most}%` }} />
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {sum.ahead > 0 && (
        <p className="body small warn">{count(sum.ahead)} happened after they became known: somebody's clock is ahead.</p>
      )}
    </Panel>
  );
}

function Checks({ the }: { the: DataHealth }) {
  return (
    <Panel title="Served against computed again" flush>
      {the.checks.length === 0 ? (
        <p className="body muted">No sample has been computed again yet. It is done seldom, as the log is read from its beginning for it.</p>
      ) : (
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col" className="num">Vectors</th>
              <th scope="col">Result</th>
              <th scope="col" className="num">Took</th>
            </tr>
          </thead>
          <tbody>
            {the.checks.slice(0, 8).map((each) => (
              <tr key={each.at}>
                <th scope="row" className="nowrap">{moment(each.at)}</th>
                <td className="num">{count(each.recomputed)}</td>
                <td>{each.mismatched > 0 ? <Chip tone="bad">{count(each.mismatched)} differ</Chip> : <Chip tone="good">the same bits</Chip>}</td>
                <td className="num muted">{span(each.seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

const csvColumns = ["from", "transactions", "decisions", "late", "ahead", "duplicates", "degraded", "unscored", "labels", "frauds"] as const;
const flat = (each: Health) => ({ ...each, late: lateOf(each) });
