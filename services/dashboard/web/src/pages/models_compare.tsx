// SPDX-License-Identifier: Apache-2.0
// Two versions on the very same decisions whose outcome is known.
import { useQuery } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { type AtThreshold, type Comparison, type Model, type Side, modelsApi } from "../api/models";
import { saveCsv } from "../csv";
import { count, moment, money, percent } from "../format";
import { href, swap, useRoute } from "../route";
import { useBaseCurrency } from "../session";
import { Blank, Chip, Fault, Loading, Panel, useTitle } from "../ui";
import { CurveCharts, figure, stateText } from "./models_parts";

const usualDays = 30;

/** The one that an address names, else the one that is tried now, else the newest other one. */
function choose(models: Model[], query: URLSearchParams): { name: string; champion?: Model; challenger?: Model } {
  const champions = models.filter((each) => each.state === "champion");
  const name = query.get("name") ?? champions[0]?.name ?? models[0]?.name ?? "";
  const own = models.filter((each) => each.name === name);
  const asked = (key: string) => own.find((each) => String(each.version) === query.get(key));
  const champion = asked("champion") ?? own.find((each) => each.state === "champion") ?? own[1];
  const others = own.filter((each) => each !== champion);
  const challenger = asked("challenger") ?? others.find((each) => each.state === "ab") ?? others.find((each) => each.state === "shadow") ?? others[0];
  return { name, champion, challenger };
}

export default function ComparePage() {
  useTitle("Compare models");
  const { query } = useRoute();
  const list = useQuery({ queryKey: ["models", "all"], queryFn: ({ signal }) => modelsApi.list(null, 1000, signal) });
  if (list.error) return <Fault error={list.error} again={() => void list.refetch()} />;
  if (!list.data) return <Loading lines={8} />;
  const { name, champion, challenger } = choose(list.data.models, query);
  if (!champion || !challenger)
    return (
      <>
        <h1>Champion against challenger</h1>
        <div className="panel">
          <Blank title="Nothing to compare yet">
            <p>
              It takes two versions of one name. <a href={href("models/retraining")}>Request a run</a>: the version that it makes can be held against the champion at once, on
              the decisions of the past whose outcome is known.
            </p>
          </Blank>
        </div>
      </>
    );
  return <Compare models={list.data.models} name={name} champion={champion} challenger={challenger} query={query} />;
}

function Compare(props: { models: Model[]; name: string; champion: Model; challenger: Model; query: URLSearchParams }) {
  const { name, champion, challenger, query } = props;
  const days = Number(query.get("days") ?? usualDays) || usualDays;
  const mature = query.get("mature") === null || query.get("mature") === "" ? null : Number(query.get("mature"));
  const asked = useQuery({
    queryKey: ["models", "compare", name, champion.version, challenger.version, days, mature],
    queryFn: ({ signal }) => modelsApi.compare(name, { champion: champion.version, challenger: challenger.version, days, mature_days: mature }, signal),
    staleTime: 60000,
    retry: false,
  });
  const own = props.models.filter((each) => each.name === name);
  const names = [...new Set(props.models.map((each) => each.name))];
  const ask = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (key: string) => String(form.get(key) ?? "").trim();
    const isSame = text("name") === name;
    swap(
      href("models/compare", {
        name: text("name"), days: text("days"), mature: text("mature"),
        ...(isSame ? { champion: text("champion"), challenger: text("challenger") } : {}),
      }),
    );
  };
  return (
    <>
      <header className="row">
        <h1>Champion against challenger</h1>
        <span className="grow" />
        <button type="button" className="button" disabled={!asked.data} onClick={() => saveCsv("comparison.csv", ["version", "figure", "value"], asked.data ? flat(asked.data) : [])}>
          CSV
        </button>
      </header>
      <form className="ask" aria-label="What to compare" onSubmit={ask} key={`${name} ${champion.version} ${challenger.version} ${days} ${mature}`}>
        {names.length > 1 ? <Choice name="name" label="Model" chosen={name} all={names.map((each) => [each, each])} /> : <input type="hidden" name="name" value={name} />}
        <Choice name="champion" label="Champion" chosen={String(champion.version)} all={own.map(option)} />
        <Choice name="challenger" label="Challenger" chosen={String(challenger.version)} all={own.map(option)} />
        <div className="field">
          <label htmlFor="compare-days">Days</label>
          <input id="compare-days" name="days" className="input" type="number" min={1} max={3650} defaultValue={days} required />
        </div>
        <div className="field">
          <label htmlFor="compare-mature">Older than, days</label>
          <input id="compare-mature" name="mature" className="input" type="number" min={0} max={3650} defaultValue={mature ?? ""} placeholder="as labels take" />
        </div>
        <button type="submit" className="button">
          Compare
        </button>
      </form>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && (
        <div className="panel">
          <p className="body muted" role="status">Both versions score the decisions of that time …</p>
          <Loading lines={8} />
        </div>
      )}
      {asked.data && <Figures the={asked.data} />}
    </>
  );
}

const option = (model: Model): [string, string] => [String(model.version), `${model.version}, ${stateText[model.state]}`];

function Choice({ name, label, chosen, all }: { name: string; label: string; chosen: string; all: [string, string][] }) {
  return (
    <div className="field">
      <label htmlFor={`compare-${name}`}>{label}</label>
      <select id={`compare-${name}`} name={name} className="input" defaultValue={chosen}>
        {all.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

function Figures({ the }: { the: Comparison }) {
  const currency = useBaseCurrency();
  const { champion, challenger } = the;
  if (the.rows === 0 || the.frauds === 0)
    return (
      <div className="panel">
        <Blank title={the.rows === 0 ? "No decision counts" : "No fraud among them"}>
          <p>
            Of {count(the.decisions)} decisions from {moment(the.from)} to {moment(the.until)}, {count(the.declined)} were declined and have no outcome, {count(the.unscored)}{" "}
            lack a feature that one of the two needs. What is young may still turn out to be fraud, so the newest days are left out; give more days, or a smaller age.
          </p>
        </Blank>
      </div>
    );
  return (
    <>
      <p className="small muted">
        {count(the.rows)} decisions from {moment(the.from)} to {moment(the.until)}, {count(the.frauds)} of them frauds. Not among them: {count(the.declined)} declined, whose
        outcome nobody knows, and {count(the.unscored)} without a feature that one of the two needs.
        {the.is_cut && " Only the newest are read: the span has more."}
      </p>
      {the.declined > the.rows * 0.05 && (
        <p className="warn small">
          Declines are many. Both are told by what the decisions of that time let through; the <a href={href("models/slice")}>control slice</a> tells what declining is worth.
        </p>
      )}
      <div className="panel table-wrap" tabIndex={0} role="region" aria-label="Table of figures">
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">Figure</th>
              <th scope="col" className="num">Champion {champion.version}</th>
              <th scope="col" className="num">Challenger {challenger.version}</th>
              <th scope="col">Better</th>
            </tr>
          </thead>
          <tbody>
            {rows(currency).map((row) => {
              const a = row.of(champion);
              const b = row.of(challenger);
              const better = a === null || b === null || row.isBetter === null || a === b ? null : row.isBetter === "more" ? b > a : b < a;
              return (
                <tr key={row.label}>
                  <th scope="row">{row.label}</th>
                  <td className="num">{a === null ? "–" : row.text(a)}</td>
                  <td className="num">{b === null ? "–" : row.text(b)}</td>
                  <td>{better === null ? "" : <Chip tone={better ? "good" : "plain"}>{better ? "challenger" : "champion"}</Chip>}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <Panel title="On the same decisions">
        <CurveCharts
          currency={currency}
          all={[
            { label: `champion ${champion.version}`, colour: "accent", curves: champion, decline: champion.thresholds.decline?.threshold ?? null, review: null },
            { label: `challenger ${challenger.version}`, colour: "warn", curves: challenger, decline: challenger.thresholds.decline?.threshold ?? null, review: null },
          ]}
        />
      </Panel>
      <p className="small muted">
        Saved is the money of the frauds that declining would have stopped, less {percent(the.decline_cost)} of that of the good payments it would have turned away. A difference
        here is no verdict: whether it may be chance is what the gates, shadow and experiments test.
      </p>
    </>
  );
}

interface Row {
  label: string;
  of: (side: Side) => number | null;
  text: (value: number) => string;
  isBetter: "more" | "less" | null;
}

const at = (side: Side, name: "decline" | "review", read: (point: AtThreshold) => number | null): number | null => {
  const point = side.thresholds[name];
  return point ? read(point) : null;
};

const rows = (currency: string): Row[] => [
  { label: "Average precision", of: (side) => side.average_precision, text: figure, isBetter: "more" },
  { label: "AUC ROC", of: (side) => side.auc_roc, text: figure, isBetter: "more" },
  { label: "Calibration error", of: (side) => side.calibration_error, text: (value) => value.toFixed(4), isBetter: "less" },
  { label: "Declines from", of: (side) => at(side, "decline", (point) => point.threshold), text: percent, isBetter: null },
  { label: "of payments declined", of: (side) => at(side, "decline", (point) => point.flagged), text: percent, isBetter: null },
  { label: "of frauds declined", of: (side) => at(side, "decline", (point) => point.recall), text: percent, isBetter: "more" },
  { label: "of declines frauds", of: (side) => at(side, "decline", (point) => point.precision), text: percent, isBetter: "more" },
  { label: "Saved by declining", of: (side) => at(side, "decline", (point) => point.saved_minor), text: (value) => money(value, currency, true), isBetter: "more" },
  { label: "Good payments turned away", of: (side) => at(side, "decline", (point) => point.turned_away_minor), text: (value) => money(value, currency, true), isBetter: "less" },
  { label: "Reviews from", of: (side) => at(side, "review", (point) => point.threshold), text: percent, isBetter: null },
  { label: "of payments reviewed or declined", of: (side) => at(side, "review", (point) => point.flagged), text: percent, isBetter: null },
  { label: "of frauds reviewed or declined", of: (side) => at(side, "review", (point) => point.recall), text: percent, isBetter: "more" },
];

const flat = (the: Comparison) =>
  [the.champion, the.challenger].flatMap((side) => rows("").map((row) => ({ version: side.version, figure: row.label, value: row.of(side) ?? "" })));
