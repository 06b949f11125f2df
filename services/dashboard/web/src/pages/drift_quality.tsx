// SPDX-License-Identifier: Apache-2.0
// How good a model was, by days whose labels have come; what its scores expect of the others, and how far that can be
// trusted.
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useMemo, useState } from "react";
import { Refused } from "../api";
import { type Figures, type Quality, type QualityDay, watch } from "../api/drift";
import { saveCsv } from "../csv";
import { compact, count, money, percent } from "../format";
import { go, href, useRoute } from "../route";
import { useBaseCurrency } from "../session";
import { Blank, Chip, Fault, Loading, Panel } from "../ui";
import { day, figure } from "./drift_figures";

const Chart = lazy(() => import("./drift_chart"));

const spans = ["30", "90", "180"];

export default function QualityView({ lane }: { lane: number }) {
  const { query } = useRoute();
  const days = spans.find((each) => each === query.get("days")) ?? "90";
  const version = query.get("version");
  const asked = useQuery({
    queryKey: ["quality", lane, version, days],
    queryFn: ({ signal }) => watch.quality(lane, version ? Number(version) : null, Number(days), signal),
    refetchInterval: 60000,
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
              key={each} type="button" className="button" aria-pressed={each === days}
              onClick={() => go(href("drift/quality", { ...Object.fromEntries(query), days: each }))}
            >
              {each} days
            </button>
          ))}
        </div>
        <span className="grow" />
        <button
          type="button" className="button" disabled={!asked.data}
          onClick={() => asked.data && saveCsv("quality.csv", csvColumns, asked.data.days.map(flat))}
        >
          CSV
        </button>
      </div>
      {isEmpty && (
        <div className="panel">
          <Blank title="No day has been counted yet">
            <p>
              Each day's decisions are counted by score. As labels come, also weeks later, they are counted again; once the label delay
              of the model has passed, a day has matured and its figures are final.
            </p>
            <p>
              Send labels to <code>POST /v1/labels</code>, or decide cases: both count.
            </p>
          </Blank>
        </div>
      )}
      {asked.error && !isEmpty && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading lines={10} />}
      {asked.data && !isEmpty && <Report the={asked.data} />}
    </>
  );
}

function Report({ the }: { the: Quality }) {
  return (
    <>
      <Tiles the={the} />
      <div className="columns">
        <div className="stack">
          <ByDay the={the} />
          <DayTable the={the} />
        </div>
        <div className="stack">
          <Trust the={the} />
          <Maturity the={the} />
          <Calibration the={the} />
        </div>
      </div>
    </>
  );
}

function Tiles({ the }: { the: Quality }) {
  const base = useBaseCurrency();
  const { recent } = the;
  const promised = the.promised_average_precision;
  const isBelow = promised !== null && recent.average_precision !== null && recent.average_precision < 0.9 * promised;
  const card = [...the.days].reverse().find((each) => each.card_precision)?.card_precision;
  return (
    <div className="tiles">
      <Tile
        value={figure(recent.average_precision)} tone={isBelow ? "bad" : undefined}
        label={`average precision, newest matured week${promised === null ? "" : ` (promised ${figure(promised)})`}`}
      />
      {card && <Tile value={percent(card.precision)} label={`card precision at ${card.k}, newest matured day`} />}
      <Tile value={percent(recent.recall)} label="of frauds were flagged" />
      <Tile value={percent(recent.false_positive_rate)} label="of good payments were flagged" />
      <Tile value={recent.money_caught === null ? "–" : money(recent.money_caught, base, true)} label="of fraud was caught" />
      <Tile value={recent.money_lost === null ? "–" : money(recent.money_lost, base, true)} label="of fraud went through" />
      <Tile value={recent.money_turned_away === null ? "–" : money(recent.money_turned_away, base, true)} label="of good payments was declined" />
    </div>
  );
}

function Tile({ label, value, tone }: { label: string; value: string; tone?: "bad" }) {
  return (
    <div className="panel tile">
      <div className={`value ${tone ?? ""}`}>{value}</div>
      <div className="label">{label}</div>
    </div>
  );
}

interface Shown {
  name: string;
  of: keyof Figures | null;
  format: (value: number) => string;
}

function useShown(): Shown[] {
  const base = useBaseCurrency();
  return useMemo(
    () => [
      { name: "Average precision", of: "average_precision", format: figure },
      { name: "Card precision", of: null, format: percent },
      { name: "Recall", of: "recall", format: percent },
      { name: "Precision", of: "precision", format: percent },
      { name: "False positives", of: "false_positive_rate", format: percent },
      { name: "Fraud rate", of: "fraud_rate", format: percent },
      { name: "Money lost", of: "money_lost", format: (minor: number) => money(minor, base, true) },
    ],
    [base],
  );
}

const second = (iso: string): number => Date.parse(iso) / 1000;

/** Realised where a day has matured, expected everywhere; from the first day that has not, hatched. */
function ByDay({ the }: { the: Quality }) {
  const all = useShown().filter((each) => each.of !== null || the.days.some((one) => one.card_precision));
  const [name, setName] = useState("Average precision");
  const shown = all.find((each) => each.name === name) ?? all[0]!;
  const error = shown.of ? the.estimate_error[shown.of] : undefined;
  const data = useMemo(() => {
    const value = (from: Figures | null) => (from && shown.of ? (from[shown.of] as number | null) : null);
    const realised = the.days.map((each) => (shown.of ? value(each.realised) : (each.card_precision?.precision ?? null)));
    const lines = [{ label: "realised", values: realised, colour: "accent" as const }];
    if (!shown.of) return { x: the.days.map((each) => second(each.day)), lines };
    const estimated = the.days.map((each) => value(each.estimated));
    const off = error?.error ?? null;
    const band = (sign: 1 | -1) =>
      the.days.map((each, i) => (each.is_matured || off === null || estimated[i] === null ? null : Math.max(0, estimated[i]! + sign * off)));
    return {
      x: the.days.map((each) => second(each.day)),
      lines: [
        ...lines,
        { label: "expected by the scores", values: estimated, colour: "info" as const, dash: true },
        { label: "and what that was off", values: band(1), colour: "line-strong" as const, dash: true },
        { label: "in the past", values: band(-1), colour: "line-strong" as const, dash: true },
      ],
    };
  }, [the, shown, error]);
  const firstYoung = the.days.find((each) => !each.is_matured);
  return (
    <Panel
      title="By day"
      tools={
        <select className="input figure-choice" aria-label="Figure" value={shown.name} onChange={(event) => setName(event.target.value)}>
          {all.map((each) => (
            <option key={each.name}>{each.name}</option>
          ))}
        </select>
      }
    >
      {the.days.length === 0 ? (
        <Blank title="Nothing was decided in this time" />
      ) : (
        <Suspense fallback={<div className="chart drift-chart" />}>
          <Chart
            key={shown.name} label={`${shown.name} by day`} isTime x={data.x} lines={data.lines} format={shown.format}
            hatchedFrom={firstYoung ? second(firstYoung.day) : null}
          />
        </Suspense>
      )}
      <p className="small muted">
        Hatched: days of which labels are still to come. What the scores expect holds as long as they mean what they say
        {error?.error !== null && error?.error !== undefined
          ? `; on ${count(error.days)} matured days it was off by ${shown.format(error.error)} on average.`
          : "; no matured day says yet how far it is off."}
      </p>
    </Panel>
  );
}

function DayTable({ the }: { the: Quality }) {
  const base = useBaseCurrency();
  const hasCards = the.days.some((each) => each.card_precision);
  const newest = [...the.days].reverse();
  const cents = (minor: number | null | undefined) => (minor === null || minor === undefined ? "–" : money(minor, base, true));
  return (
    <div className="panel table-wrap tall" tabIndex={0} role="region" aria-label="Table of days">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Day (UTC)</th>
            <th scope="col">Labels</th>
            <th scope="col" className="num">Decisions</th>
            <th scope="col" className="num">Frauds known</th>
            <th scope="col" className="num">Fraud rate</th>
            <th scope="col" className="num">AP</th>
            <th scope="col" className="num">expected</th>
            {hasCards && <th scope="col" className="num">Card precision</th>}
            <th scope="col" className="num">Recall</th>
            <th scope="col" className="num">False positives</th>
            <th scope="col" className="num">Caught</th>
            <th scope="col" className="num">Lost</th>
            <th scope="col" className="num">Turned away</th>
          </tr>
        </thead>
        <tbody>
          {newest.map((each) => (
            <tr key={each.day} className={each.is_matured ? undefined : "is-young"}>
              <th scope="row" className="nowrap">{day(each.day)}</th>
              <td className="nowrap">
                {each.is_matured ? "matured" : each.known_share === null ? "to come" : `${percent(each.known_share)} known`}
              </td>
              <td className="num">{compact(each.decisions)}</td>
              <td className="num">{count(each.known_frauds)}</td>
              <td className="num" title={each.fraud_rate.low === null ? undefined : `95 %: ${percent(each.fraud_rate.low)} to ${percent(each.fraud_rate.high)}`}>
                {percent(each.fraud_rate.corrected ?? each.fraud_rate.known)}
              </td>
              <td className="num strong">{figure(each.realised?.average_precision)}</td>
              <td className="num muted">{figure(each.estimated.average_precision)}</td>
              {hasCards && <td className="num">{each.card_precision ? percent(each.card_precision.precision) : "–"}</td>}
              <td className="num">{percent((each.realised ?? each.estimated).recall)}</td>
              <td className="num">{percent((each.realised ?? each.estimated).false_positive_rate)}</td>
              <td className="num">{cents((each.realised ?? each.estimated).money_caught)}</td>
              <td className="num">{cents((each.realised ?? each.estimated).money_lost)}</td>
              <td className="num">{cents((each.realised ?? each.estimated).money_turned_away)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Whether to believe what is expected of young days. */
function Trust({ the }: { the: Quality }) {
  const { calibration: c, coming } = the;
  const ap = the.estimate_error.average_precision;
  return (
    <Panel title={`${the.name} version ${the.version}`}>
      <div className="stack">
        <p>
          A day has matured {count(the.label_delay_days)} days after it; {count(the.matured_days)} of {count(the.days.length)} have.
        </p>
        {the.matured_days === 0 ? (
          <p className="muted">No day has matured yet: what is expected cannot be compared with what came true.</p>
        ) : c.p !== null && c.p < 0.05 ? (
          <p>
            <Chip tone="bad">scores are off</Chip> They say too {(c.ratio ?? 1) > 1 ? "little" : "much"}: {count(Math.round(c.happened ?? 0))}{" "}
            frauds happened where {count(Math.round(c.expected ?? 0))} were expected. Do not trust what is expected of young days, and have
            a model trained.
          </p>
        ) : (
          <p>
            <Chip tone="good">scores mean what they say</Chip> {count(Math.round(c.happened ?? 0))} frauds happened where{" "}
            {count(Math.round(c.expected ?? 0))} were expected: what is expected of young days holds as long as the world stays.
          </p>
        )}
        <dl className="facts">
          <dt>Expected of days to come</dt>
          <dd>
            {coming.average_precision === null
              ? "–"
              : `average precision ${figure(coming.average_precision)}${ap?.error ? ` ± ${figure(ap.error)}` : ""}, recall ${percent(coming.recall)}`}
          </dd>
          <dt>All matured days</dt>
          <dd>average precision {figure(the.realised.average_precision)}, recall {percent(the.realised.recall)}</dd>
          <dt>Calibration error</dt>
          <dd>{c.ece === null ? "–" : `${percent(c.ece)}; by chance as far off: p = ${c.p === null ? "–" : c.p.toPrecision(2)}`}</dd>
          <dt>Flagged, label never seen</dt>
          <dd>{count(the.realised.excluded)}</dd>
        </dl>
      </div>
    </Panel>
  );
}

function Maturity({ the }: { the: Quality }) {
  const { maturity } = the;
  const data = useMemo(
    () => ({
      x: maturity.known_after_days.map((_, i) => i),
      lines: [{ label: "known", values: maturity.known_after_days, colour: "accent" as const }],
    }),
    [maturity],
  );
  return (
    <Panel title="How soon frauds are known">
      {maturity.frauds === 0 || maturity.known_after_days.length === 0 ? (
        <p className="muted">No fraud is known yet; the curve is made of the delays of those that are.</p>
      ) : (
        <>
          <Suspense fallback={<div className="chart drift-chart" />}>
            <Chart label="Share of a day's frauds that is known after so many days" x={data.x} lines={data.lines} format={percent} formatX={(at) => `${at} d`} least={1} />
          </Suspense>
          <p className="small muted">
            {percent(maturity.known_after_days[0])} within the day;{" "}
            {maturity.matured_after_days === null ? "" : `95 % after ${count(maturity.matured_after_days)} days; `}
            from {count(maturity.frauds)} frauds, corrected for those that are too young to have been told.
          </p>
        </>
      )}
    </Panel>
  );
}

/** Groups of about equal weight by score: what was expected of each, and what happened. */
function Calibration({ the }: { the: Quality }) {
  const { groups } = the.calibration;
  const rate = (part: number, rows: number) => (rows > 0 ? part / rows : 0);
  const most = Math.max(...groups.map((each) => Math.max(rate(each.expected, each.rows), rate(each.happened, each.rows))), 1e-9);
  const width = (part: number, rows: number) => `${(100 * rate(part, rows)) / most}%`;
  return (
    <Panel title="Expected and happened, by score" flush>
      {groups.length === 0 ? (
        <p className="body muted">Needs a matured day.</p>
      ) : (
        <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of calibration">
          <table className="plain bins">
            <thead>
              <tr>
                <th scope="col">Group</th>
                <th scope="col" className="num">Expected</th>
                <th scope="col" className="num">Happened</th>
                <th scope="col"><span className="bin-key reference">expected</span> <span className="bin-key now">happened</span></th>
              </tr>
            </thead>
            <tbody>
              {groups.map((each, i) => (
                <tr key={i}>
                  <th scope="row" className="nowrap">{i + 1} <span className="muted small">{compact(Math.round(each.rows))} decisions</span></th>
                  <td className="num muted">{percent(rate(each.expected, each.rows))}</td>
                  <td className="num">{percent(rate(each.happened, each.rows))}</td>
                  <td>
                    <span className="bin-bars" aria-hidden="true">
                      <span className="reference" style={{ width: width(each.expected, each.rows) }} />
                      <span className="now" style={{ width: width(each.happened, each.rows) }} />
                    </span>
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

const csvColumns = [
  "day", "is_matured", "decisions", "known_frauds", "known_share", "fraud_rate", "average_precision", "average_precision_expected",
  "card_precision", "recall", "false_positive_rate", "money_caught_minor", "money_lost_minor", "money_turned_away_minor",
] as const;

const flat = (each: QualityDay) => ({
  day: each.day.slice(0, 10),
  is_matured: each.is_matured,
  decisions: each.decisions,
  known_frauds: each.known_frauds,
  known_share: each.known_share,
  fraud_rate: each.fraud_rate.corrected ?? each.fraud_rate.known,
  average_precision: each.realised?.average_precision,
  average_precision_expected: each.estimated.average_precision,
  card_precision: each.card_precision?.precision,
  recall: each.realised?.recall,
  false_positive_rate: each.realised?.false_positive_rate,
  money_caught_minor: each.realised?.money_caught,
  money_lost_minor: each.realised?.money_lost,
  money_turned_away_minor: each.realised?.money_turned_away,
});
