// SPDX-License-Identifier: Apache-2.0
// How things go: rates, what was decided, time per stage, money, the queue, health, and what is being decided now.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, lazy, useState } from "react";
import { type LiveDecision, type Overview, api } from "../api";
import { compact, count, micros, money, percent, span, timeOfDay } from "../format";
import { useLive } from "../live";
import { useNow } from "../now";
import { go, href, useRoute } from "../route";
import { useBaseCurrency, useMay } from "../session";
import { ActionChip, Blank, Chip, Fault, Loading, Panel, actionTone, allActions, useTitle } from "../ui";

const ActionChart = lazy(() => import("./action_chart"));

const spans = [
  { minutes: 15, label: "15 min" },
  { minutes: 60, label: "1 hour" },
  { minutes: 360, label: "6 hours" },
  { minutes: 1440, label: "24 hours" },
];
const instant = /\d{4}-\d\d-\d\dT[\d:.]+Z/;
const widest = spans[spans.length - 1]!.minutes;

/** More are on their own page, and would push the rest out of sight. */
const alertsShown = 4;

export default function OverviewPage() {
  useTitle("Overview");
  const { query } = useRoute();
  const wanted = Number(query.get("minutes") ?? 60);
  const minutes = spans.some((each) => each.minutes === wanted) ? wanted : 60;
  const asked = useQuery({
    queryKey: ["overview", minutes],
    queryFn: ({ signal }) => api.overview(minutes, signal),
    refetchInterval: 5000,
    placeholderData: (before) => before,
  });
  const queries = useQueryClient();
  useLive("alerts", () => void queries.invalidateQueries({ queryKey: ["overview"] }));
  return (
    <div className="page">
      <header>
        <h1>Overview</h1>
        <span className="grow" />
        <div className="row" role="group" aria-label="How far back">
          {spans.map((each) => (
            <button
              key={each.minutes} type="button" className="button" aria-pressed={each.minutes === minutes}
              onClick={() => go(href("overview", { minutes: String(each.minutes) }))}
            >
              {each.label}
            </button>
          ))}
        </div>
      </header>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading lines={10} />}
      {asked.data && <Figures the={asked.data} />}
    </div>
  );
}

function Figures({ the }: { the: Overview }) {
  const base = useBaseCurrency();
  const canReview = useMay("analyst", "lead", "admin", "auditor");
  const { queue, money_base_minor: sums } = the;
  return (
    <>
      <div className="tiles">
        <Tile label="decisions a second" value={the.per_s < 10 ? the.per_s.toFixed(1) : compact(Math.round(the.per_s))} />
        <Tile label={`decisions in ${span(the.minutes * 60)}`} value={compact(the.decisions)} />
        <Tile label="stopped" value={money(sums.stopped, base, true)} />
        <Tile label="let through" value={money(sums.let_through, base, true)} />
        <Tile label="in review" value={money(sums.in_review, base, true)} />
        <Tile label={`open, ${count(queue.assigned)} assigned`} value={compact(queue.open)} to={canReview ? href("queue") : undefined} />
        <Tile
          label="overdue" value={compact(queue.overdue)} tone={queue.overdue > 0 ? "bad" : undefined}
          to={canReview ? href("queue", { sort: "due" }) : undefined}
        />
      </div>
      <div className="columns">
        <div className="stack">
          <Panel title="Decisions a minute" tools={<Mix the={the} />}>
            {the.decisions === 0 ? (
              <Blank title={`Nothing was decided in the last ${span(the.minutes * 60)}`}>
                <p>
                  This counts by the clock of the service, whatever time a payment tells. What was decided a moment ago
                  comes within seconds; after a large import of history, within minutes.
                </p>
                <p>
                  Send a payment to <code>POST /v1/transactions</code>, or run <code>make demo</code> for a real stream.
                </p>
                {the.minutes < widest && <a href={href("overview", { minutes: String(widest) })}>Look at {span(widest * 60)}</a>}
              </Blank>
            ) : (
              <Suspense fallback={<div className="chart" />}>
                <ActionChart the={the} />
              </Suspense>
            )}
          </Panel>
          <Live />
        </div>
        <div className="stack">
          <Panel title="Alerts" flush>
            {the.alerts.length === 0 ? (
              <p className="body muted">Nothing is wrong.</p>
            ) : (
              <ul className="why">
                {the.alerts.slice(0, alertsShown).map((alert) => (
                  <li key={alert.alert} className="body">
                    <div className="row">
                      <Chip tone={alert.severity === "critical" || alert.severity === "page" ? "bad" : "warn"}>{alert.severity}</Chip>
                      <span className="grow">{alert.text}</span>
                      <Since iso={alert.since} />
                    </div>
                  </li>
                ))}
                <li className="body">
                  <a href={href("alerts")}>{the.alerts.length > alertsShown ? `All ${count(the.alerts.length)} alerts` : "Alerts, with what to do"}</a>
                </li>
              </ul>
            )}
          </Panel>
          <Panel title="Latency by stage" flush>
            {the.decisions === 0 ? <p className="body muted">Nothing was decided.</p> : <LatencyTable the={the} />}
          </Panel>
          <Panel title="Services" flush>
            {the.services.length === 0 && <p className="body muted">No service has told how it is.</p>}
            <table className="plain">
              <tbody>
                {the.services.map((service) => (
                  <tr key={service.name}>
                    <th scope="row">{service.name}</th>
                    <td>
                      <Chip tone={service.is_well ? "good" : "bad"}>
                        <span className="dot" aria-hidden="true" />
                        {service.is_well ? "well" : "not well"}
                      </Chip>
                    </td>
                    <td className="muted">{service.detail.replace(instant, (iso) => timeOfDay(iso))}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Panel>
        </div>
      </div>
    </>
  );
}

function Since({ iso }: { iso: string }) {
  const now = useNow();
  return <span className="small muted nowrap">{span((now - Date.parse(iso)) / 1000)}</span>;
}

function Tile({ label, value, tone, to }: { label: string; value: string; tone?: "bad"; to?: string }) {
  return (
    <div className="panel tile">
      <div className={`value ${tone ?? ""}`}>{value}</div>
      <div className="label">{to ? <a href={to}>{label}</a> : label}</div>
    </div>
  );
}

function Mix({ the }: { the: Overview }) {
  return (
    <div className="legend">
      {allActions.map((action) => (
        <span key={action}>
          <i className={`dot ${actionTone[action]}`} />
          {action} {the.decisions > 0 && percent((the.actions[action] ?? 0) / the.decisions)}
        </span>
      ))}
    </div>
  );
}

function LatencyTable({ the }: { the: Overview }) {
  const order = ["queue", "features", "scoring", "rules", "total"];
  const stages = Object.entries(the.latency_us ?? {}).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  return (
    <table className="plain">
      <thead>
        <tr>
          <th scope="col">Stage</th>
          <th scope="col" className="num">p50</th>
          <th scope="col" className="num">p95</th>
          <th scope="col" className="num">p99</th>
        </tr>
      </thead>
      <tbody>
        {stages.map(([stage, latency]) => (
          <tr key={stage}>
            <th scope="row">{stage}</th>
            <td className="num">{micros(latency?.p50)}</td>
            <td className="num">{micros(latency?.p95)}</td>
            <td className="num">{micros(latency?.p99)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The newest decisions, as the service sends them. */
function Live() {
  const [rows, setRows] = useState<LiveDecision[]>([]);
  const [rate, setRate] = useState<number | null>(null);
  const [isOn, setOn] = useState(true);
  const canReview = useMay("analyst", "lead", "admin", "auditor");
  const isLost = useLive(
    "decisions",
    ({ count: heard, in_ms: ms, decisions }) => {
      const newest = [...decisions].reverse();
      if (ms > 0) setRate((heard * 1000) / ms);
      setRows((before) => (ms > 0 ? [...newest, ...before] : newest).slice(0, 50));
    },
    isOn,
  );
  if (isLost && rows.length === 0) return null;
  return (
    <Panel
      title="Being decided now" flush
      tools={
        <>
          {isLost && <span className="small warn">The stream has ended.</span>}
          {isOn && rate !== null && <span className="small muted">{rate < 10 ? rate.toFixed(1) : compact(Math.round(rate))} a second</span>}
          <button type="button" className="button quiet" aria-pressed={!isOn} onClick={() => setOn(!isOn)}>
            {isOn ? "Pause" : "Go on"}
          </button>
        </>
      }
    >
      {rows.length === 0 ? (
        <p className="body muted">{isOn ? "Waits for the next decision." : "Paused."}</p>
      ) : (
        <div className="table-wrap live" tabIndex={0} role="region" aria-label="Newest decisions">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col">Decided</th>
                <th scope="col" className="num">Score</th>
                <th scope="col" className="num">Amount</th>
                <th scope="col">Payment</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row, i) => (
                <tr key={`${row.transaction_id}/${i}`}>
                  <td className="nowrap">{timeOfDay(row.decided_at)}</td>
                  <td><ActionChip action={row.action} /></td>
                  <td className="num">{percent(row.score)}</td>
                  <td className="num">{money(row.amount_minor, row.currency)}</td>
                  <td className="cut">
                    {row.case !== null && canReview ? <a href={href(`cases/${row.case}`)}>{row.transaction_id}</a> : row.transaction_id}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
