// SPDX-License-Identifier: Apache-2.0
// What a rule, or a whole set, would have done: figures, days, overlap, matches, and what changes against the set in force.
import { useId, useState } from "react";
import { api } from "../api";
import type { Answer, Change, Example, Report, RuleFigures } from "../api/rules";
import { saveCsv } from "../csv";
import { compact, count, moment, money, percent } from "../format";
import { go, href } from "../route";
import { useBaseCurrency, useMay } from "../session";
import { ActionChip, Chip, useSay } from "../ui";
import { loadOf, newlyStopped, ordered } from "./rules_text";

/** Counts of a sample are shown as what they stand for. */
const scaled = (n: number, report: Report) => n * report.sample;
const rate = (n: number) => (n < 100 ? n.toFixed(1) : compact(Math.round(n)));
const about = (report: Report) => (report.sample > 1 ? "≈ " : "");

export interface Mark {
  day: string;
  text: string;
}

/** Hits a day; days whose labels cannot have come yet are hatched. */
export function DayBars(props: { label: string; days: { day: string; is_mature: boolean }[]; values: number[]; marks?: Mark[] }) {
  const id = useId().replace(/[^a-zA-Z0-9]/g, "");
  const most = Math.max(1, ...props.values);
  const total = props.values.reduce((sum, each) => sum + each, 0);
  const young = props.days.filter((each) => !each.is_mature).length;
  const place = new Map(props.days.map((each, i) => [each.day, i]));
  const marks = (props.marks ?? []).filter((each) => place.has(each.day));
  return (
    <figure className="day-bars">
      <svg
        viewBox={`0 0 ${Math.max(1, props.days.length) * 8} 64`} preserveAspectRatio="none" role="img"
        aria-label={`${props.label}: ${count(total)} on ${props.days.length} days, at most ${count(most)} on one; labels of ${young} days are not mature`}
      >
        <defs>
          <pattern id={id} width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect width="4" height="4" className="hatch-ground" />
            <path d="M0 0V4" className="hatch" />
          </pattern>
        </defs>
        {props.days.map((each, i) =>
          each.is_mature ? null : <rect key={each.day} x={i * 8} y={0} width={8} height={64} fill={`url(#${id})`} />,
        )}
        {props.values.map((each, i) => (
          <rect key={props.days[i]?.day ?? i} className={props.days[i]?.is_mature ? "bar" : "bar young"} x={i * 8 + 1} width={6} y={64 - (60 * each) / most} height={(60 * each) / most}>
            <title>{`${props.days[i]?.day}: ${count(each)}${props.days[i]?.is_mature ? "" : ", labels not mature"}`}</title>
          </rect>
        ))}
        {marks.map((each) => (
          <path key={each.day + each.text} className="mark" d={`M${place.get(each.day)! * 8} 64V0l5 5-5 5`}>
            <title>{`${each.day}: ${each.text}`}</title>
          </path>
        ))}
      </svg>
      <figcaption className="row small muted">
        <span>{props.days[0]?.day}</span>
        <span className="grow" />
        {young > 0 && (
          <span className="row">
            <svg className="swatch" aria-hidden="true" viewBox="0 0 16 12">
              <rect width="16" height="12" fill={`url(#${id})`} />
            </svg>
            labels not mature yet
          </span>
        )}
        <span>{props.days.at(-1)?.day}</span>
      </figcaption>
      {marks.length > 0 && <p className="hidden">{marks.map((each) => `${each.day}: ${each.text}`).join("; ")}</p>}
    </figure>
  );
}

function Figure({ name, value, more }: { name: string; value: string; more?: string }) {
  return (
    <div className="figure">
      <dt>{name}</dt>
      <dd>
        <span className="value">{value}</span>
        {more && <span className="muted small">{more}</span>}
      </dd>
    </div>
  );
}

const interval = (low: number | null, high: number | null) => (low === null || high === null ? undefined : `${percent(low)} to ${percent(high)}`);

export function RuleFiguresView({ rule, report }: { rule: RuleFigures; report: Report }) {
  const currency = useBaseCurrency();
  const known = rule.fraud + rule.good;
  return (
    <div className="stack">
      <dl className="figures">
        <Figure name="Hits a day" value={`${about(report)}${rate(scaled(rule.hits_per_day ?? 0, report))}`} more={`${count(scaled(rule.hits, report))} in all`} />
        <Figure name="Of the traffic" value={percent(rule.share)} more={rule.errors ? `${count(scaled(rule.errors, report))} not evaluated` : undefined} />
        <Figure name="Precision" value={percent(rule.precision)} more={known ? interval(rule.precision_low, rule.precision_high) : "no mature label"} />
        <Figure name="Recall" value={percent(rule.recall)} more={`${count(scaled(rule.fraud, report))} frauds`} />
        <Figure name="Fraud caught" value={money(scaled(rule.money_caught, report), currency, true)} more={`${money(scaled(rule.alone.money_caught, report), currency, true)} by it alone`} />
        <Figure name="Good money hit" value={money(scaled(rule.good_money, report), currency, true)} more={`${count(scaled(rule.good, report))} payments`} />
        <Figure name="It decides" value={count(scaled(rule.decides, report))} more="of its hits; others came first for the rest" />
        <Figure name="Reviews a day" value={rule.action === "review" && report.span.days ? `${about(report)}${rate(scaled(rule.decides, report) / Math.max(1, report.days.filter((day) => day.decisions > 0).length))}` : "0"} more={`whole set ${report.asked.reviews_per_day === null ? "–" : rate(scaled(report.asked.reviews_per_day, report))}`} />
      </dl>
      <DayBars label={`Hits of ${rule.id} a day`} days={report.days} values={rule.by_day.map((each) => scaled(each, report))} />
      <Overlap rule={rule} report={report} />
    </div>
  );
}

/** Of the hits of a rule, the share that each other rule hits too. */
function Overlap({ rule, report }: { rule: RuleFigures; report: Report }) {
  const place = report.overlap.rules.indexOf(rule.id);
  if (place < 0 || rule.hits === 0) return null;
  const others = report.overlap.rules
    .map((id, i) => ({ id, share: (report.overlap.hits[place]?.[i] ?? 0) / rule.hits }))
    .filter((each) => each.id !== rule.id && each.share > 0)
    .sort((a, b) => b.share - a.share)
    .slice(0, 6);
  if (others.length === 0) return <p className="small muted">No other rule hits what it hits.</p>;
  return (
    <div className="stack tight">
      <h3>Hit by others too</h3>
      <ul className="overlap">
        {others.map((each) => (
          <li key={each.id}>
            <span className="cut">{each.id}</span>
            <meter min={0} max={1} value={each.share} aria-label={`${percent(each.share)} of its hits are hits of ${each.id}`} />
            <span className="num">{percent(each.share)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The whole set beside what it is compared with. */
export function Sides({ report }: { report: Report }) {
  const currency = useBaseCurrency();
  const rows = [report.asked, report.compared];
  const actions = ["approve", "challenge", "review", "decline"] as const;
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="The set beside what is in force">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">On mature days</th>
            {actions.map((each) => (
              <th scope="col" className="num" key={each}>{each}</th>
            ))}
            <th scope="col" className="num">Precision</th>
            <th scope="col" className="num">Recall</th>
            <th scope="col" className="num">Fraud stopped</th>
            <th scope="col" className="num">Good declined</th>
            <th scope="col" className="num">Reviews a day</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((side, i) => (
            <tr key={i}>
              <th scope="row">{side.name}</th>
              {actions.map((each) => (
                <td className="num" key={each}>{compact(scaled(side.actions[each].count, report))}</td>
              ))}
              <td className="num" title={interval(side.precision_low, side.precision_high)}>{percent(side.precision)}</td>
              <td className="num">{percent(side.recall)}</td>
              <td className="num">{money(scaled(actions.slice(1).reduce((sum, each) => sum + side.actions[each].fraud_money, 0), report), currency, true)}</td>
              <td className="num">{money(scaled(side.actions.decline.good_money, report), currency, true)}</td>
              <td className="num">{side.reviews_per_day === null ? "–" : rate(scaled(side.reviews_per_day, report))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Reviews a day of both sets against what people can do. */
export function ReviewLoad({ report }: { report: Report }) {
  const [text, setText] = useState("");
  const capacity = Number(text);
  const isAsked = text !== "" && capacity > 0;
  const sides = [
    { name: report.asked.name, load: loadOf(report, "asked", capacity) },
    { name: report.compared.name, load: loadOf(report, "compared", capacity) },
  ];
  return (
    <div className="stack tight">
      <label className="row">
        <span>Reviews a day that people can do</span>
        <input className="input short" type="number" min={1} step={1} value={text} onChange={(event) => setText(event.target.value)} />
      </label>
      {sides.map(({ name, load }, i) => (
        <p className="small" key={i}>
          <strong>{name}</strong>: {about(report)}{rate(load.average)} a day{load.most > 0 && `, at most ${about(report)}${count(load.most)} on ${load.mostDay}`}
          {isAsked && (
            <>
              {"; "}
              <span className={load.average > capacity ? "bad" : undefined}>
                {percent(load.average / capacity)} of what they can do, more than that on {count(load.daysAbove)} of {count(load.days)} days
              </span>
            </>
          )}
        </p>
      ))}
    </div>
  );
}

const tones = { fraud: "bad", good: "good", unknown: "plain" } as const;

/** Opens the case of a payment, where there is one. */
function useOpenCase() {
  const say = useSay();
  const may = useMay("analyst", "lead", "admin", "auditor");
  if (!may) return null;
  return async (transaction: string) => {
    try {
      const found = (await api.cases({ state: "all", entity: transaction }, null, 5)).cases.find((each) => each.transaction_id === transaction);
      if (found) go(href(`cases/${found.case}`));
      else say(`${transaction} was never a case.`);
    } catch (error) {
      say(error instanceof Error ? error.message : "The case cannot be looked up.", { tone: "bad" });
    }
  };
}

function Examples({ label, rows }: { label: string; rows: Example[] }) {
  const currency = useBaseCurrency();
  const openCase = useOpenCase();
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label={label}>
      <table className="plain examples">
        <thead>
          <tr>
            <th scope="col">Payment</th>
            <th scope="col">Outcome</th>
            <th scope="col" className="num">Amount</th>
            <th scope="col">When</th>
            <th scope="col">In force</th>
            <th scope="col">With this</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((each) => (
            <tr key={`${each.account} ${each.transaction_id}`}>
              <th scope="row" className="mono">
                {openCase ? (
                  <button type="button" className="link" onClick={() => void openCase(each.transaction_id)} aria-label={`Open the case of ${each.transaction_id}`}>
                    {each.transaction_id}
                  </button>
                ) : (
                  each.transaction_id
                )}
              </th>
              <td>
                <Chip tone={tones[each.outcome]}>{each.outcome}</Chip>
                {each.outcome === "good" && !each.label && <span className="muted small"> no complaint</span>}
              </td>
              <td className="num">{money(each.amount, currency)}</td>
              <td className="nowrap muted">{moment(each.known_at)}</td>
              <td><ActionChip action={each.from} /></td>
              <td><ActionChip action={each.to} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const exampleColumns = ["transaction_id", "outcome", "label", "amount", "known_at", "from", "to", "rule", "ruleset_version"] as const;

export function Matches({ rule }: { rule: RuleFigures }) {
  const rows = [...rule.matches.fraud, ...rule.matches.good, ...rule.matches.unknown];
  if (rows.length === 0) return <p className="muted small">It hits no payment in this span.</p>;
  return (
    <div className="stack tight">
      <div className="row">
        <span className="small muted grow">
          The newest: {rule.matches.fraud.length} fraud, {rule.matches.good.length} good, {rule.matches.unknown.length} unknown
        </span>
        <button type="button" className="button quiet" onClick={() => saveCsv(`matches-${rule.id}.csv`, exampleColumns, rows)}>
          CSV
        </button>
      </div>
      <Examples label={`Matches of ${rule.id}`} rows={rows} />
    </div>
  );
}

const titleOf = (each: Change, report: Report) =>
  `${each.from} → ${each.to}: ${about(report)}${count(scaled(each.count, report))} (${count(scaled(each.good, report))} good, ${count(scaled(each.fraud, report))} fraud, ${count(scaled(each.unknown, report))} unknown)`;

export function Changes({ answer }: { answer: Answer }) {
  const currency = useBaseCurrency();
  const { report } = answer;
  const changes = ordered(report.changes);
  const more = newlyStopped(report.changes);
  if (changes.length === 0) return <p className="muted small">No decision of this span changes against {report.compared.name}.</p>;
  return (
    <div className="stack tight">
      <div className="row">
        <span className="grow">
          Newly stopped: <strong>{about(report)}{count(scaled(more.count, report))}</strong>, of good customers{" "}
          <strong className={more.good ? "bad" : ""}>{about(report)}{count(scaled(more.good, report))}</strong>
        </span>
        <button type="button" className="button quiet" onClick={() => saveCsv("changed-decisions.csv", exampleColumns, changes.flatMap((each) => each.examples))}>
          CSV
        </button>
      </div>
      {changes.map((each, i) => (
        <details key={each.from + each.to} open={i === 0}>
          <summary>
            {titleOf(each, report)} <span className="muted">{money(scaled(each.money, report), currency, true)}</span>
          </summary>
          <Examples label={`From ${each.from} to ${each.to}`} rows={each.examples} />
        </details>
      ))}
    </div>
  );
}
