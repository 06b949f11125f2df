// SPDX-License-Identifier: Apache-2.0
// Thresholds by analysts' capacity and money, over the last month; and what the service was started with. A change is a
// draft of a rule set: somebody else puts it in force.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { type LastMonth, type Settings, type Thresholds, settingsApi } from "../api/settings";
import { saveCsv } from "../csv";
import { count, money, percent, span } from "../format";
import { href } from "../route";
import { useBaseCurrency, useMay } from "../session";
import { Blank, Chip, Fault, Loading, Panel, useTitle } from "../ui";
import { Curve, type Figures, never } from "./thresholds";
import "./settings.css";

type Name = keyof Thresholds;
const names: Name[] = ["challenge", "review", "decline"];

export default function SettingsPage() {
  useTitle("Settings");
  const settings = useQuery({ queryKey: ["settings"], queryFn: ({ signal }) => settingsApi.get(signal) });
  const month = useQuery({ queryKey: ["thresholds"], queryFn: ({ signal }) => settingsApi.lastMonth("", signal), staleTime: 600e3 });
  return (
    <div className="page settings-page">
      <header>
        <h1>Settings</h1>
      </header>
      {month.error && <Fault error={month.error} again={() => void month.refetch()} />}
      {month.isPending && (
        <div className="panel">
          <Loading lines={8} />
        </div>
      )}
      {month.data && month.data.buckets.length === 0 && (
        <div className="panel">
          <Blank title="Nothing was scored yet">
            <p>Once a model scores payments, the last month shows here what other thresholds would have stopped, missed and cost.</p>
          </Blank>
        </div>
      )}
      {month.data && month.data.buckets.length > 0 && <ThresholdsPanel month={month.data} />}
      {settings.error && <Fault error={settings.error} again={() => void settings.refetch()} />}
      {settings.data && <ServicePanel settings={settings.data} />}
    </div>
  );
}

const shownScore = (score: number): string => (score >= never ? "never" : percent(score));

function ThresholdsPanel({ month }: { month: LastMonth }) {
  const mayDraft = useMay("rule_author");
  const curve = useMemo(() => new Curve(month.buckets, month.days, month.review_cost_base_minor), [month]);
  const { challenge, review, decline } = month.present ?? { challenge: never, review: never, decline: never };
  const present: Thresholds = { challenge, review, decline };
  const [chosen, setChosen] = useState<Thresholds>(present);
  const [goodShare, setGoodShare] = useState(50);
  const [capacity, setCapacity] = useState("");
  const stops = useMemo(() => [...curve.edges.filter((edge) => edge > 0), never], [curve]);
  const at = curve.at(chosen, goodShare / 100);
  const now = curve.at(present, goodShare / 100);
  const isOther = names.some((name) => chosen[name] !== present[name]);
  const keep = useMutation({ mutationFn: () => settingsApi.draft(chosen, "thresholds from the settings page") });
  /* A stricter action never begins below a milder one. */
  const move = (name: Name, score: number) => {
    keep.reset();
    setChosen((old) => {
      const next = { ...old, [name]: score };
      if (name === "challenge") next.review = Math.max(next.review, score);
      if (name !== "decline") next.decline = Math.max(next.decline, next.review);
      if (name === "decline") next.review = Math.min(next.review, score);
      next.challenge = Math.min(next.challenge, next.review);
      return next;
    });
  };
  const fit = () => {
    if (capacity !== "") move("review", curve.reviewFor(chosen.decline, Number(capacity)));
  };
  return (
    <Panel
      title="Thresholds of the score"
      tools={
        <button type="button" className="button" onClick={() => saveCsv("thresholds.csv", csvColumns, csvRows(month))}>
          CSV
        </button>
      }
    >
      <div className="stack">
        <p className="small muted">
          What the score alone would have done with the payments of the last {month.days} days; rules and lists act before it and are left out.
          Without a label a payment counts as good after {month.mature_days} days; <Unknown month={month} /> are younger and count in the queue,
          but neither as caught nor as good.
        </p>
        <div className="sliders">
          {names.map((name) => (
            <Slider key={name} name={name} score={chosen[name]} present={present[name]} stops={stops} move={(score) => move(name, score)} />
          ))}
        </div>
        <div className="row">
          <label className="row">
            Reviews a day
            <input className="input short" type="number" min={0} value={capacity} onChange={(event) => setCapacity(event.target.value)} />
          </label>
          <button type="button" className="button" disabled={capacity === ""} onClick={fit}>
            Review as many
          </button>
          <label className="row">
            A good payment that is stopped costs, of its amount,
            <input
              className="input short" type="number" min={0} max={100} value={goodShare}
              onChange={(event) => setGoodShare(Math.min(100, Math.max(0, Number(event.target.value))))}
            />
            %
          </label>
          <span className="grow" />
          <button type="button" className="button quiet" disabled={!isOther} onClick={() => { keep.reset(); setChosen(present); }}>
            Back to what holds
          </button>
        </div>
        <FiguresTable at={at} now={now} days={month.days} />
        {keep.error && <Fault error={keep.error} />}
        <div className="row" role="status">
          {keep.data ? (
            <p>
              Rule set {keep.data.version} is a draft with these thresholds. They hold once somebody else publishes it:{" "}
              <a href={href("rules")}>the rule sets</a>.
            </p>
          ) : (
            <>
              <p className="small muted grow">
                {month.present
                  ? month.present.is_of_rules
                    ? `What holds now stands in rule set ${month.present.ruleset_version}.`
                    : `What holds now came with model ${month.present.model_version}.`
                  : "No decision by score is known yet."}{" "}
                A change is kept as a draft of the rule set, which another person publishes; nothing changes before.
              </p>
              {mayDraft ? (
                <button type="button" className="button primary" disabled={!isOther || keep.isPending} onClick={() => keep.mutate()}>
                  Keep as a draft
                </button>
              ) : (
                <span className="small muted">Rule authors can keep it as a draft.</span>
              )}
            </>
          )}
        </div>
      </div>
    </Panel>
  );
}

function Unknown({ month }: { month: LastMonth }) {
  return <>{count(month.buckets.reduce((sum, bucket) => sum + bucket.counts[2], 0))}</>;
}

interface SliderProps {
  name: Name;
  score: number;
  present: number;
  stops: number[];
  move: (score: number) => void;
}

function Slider({ name, score, present, stops, move }: SliderProps) {
  const place = (value: number): number => {
    const i = stops.findIndex((stop) => stop >= value);
    return i < 0 ? stops.length - 1 : i;
  };
  const share = stops.length > 1 ? place(present) / (stops.length - 1) : 0;
  return (
    <div className="slider">
      <label htmlFor={`slider-${name}`} className="strong">
        {name} from
      </label>
      <div className="rail">
        <input
          id={`slider-${name}`} type="range" min={0} max={stops.length - 1} value={place(score)} aria-valuetext={shownScore(score)}
          onChange={(event) => move(stops[Number(event.target.value)]!)}
        />
        <svg className="mark" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">
          <rect x={share * 994} y="0" width="6" height="8" />
        </svg>
      </div>
      <output htmlFor={`slider-${name}`} className="num">
        {shownScore(score)}
      </output>
      <span className="small muted">{score === present ? "as now" : `now ${shownScore(present)}`}</span>
    </div>
  );
}

function FiguresTable({ at, now, days }: { at: Figures; now: Figures; days: number }) {
  const currency = useBaseCurrency();
  const of = (minor: number) => money(minor, currency, true);
  const all = (band: { counts: number[] }) => band.counts.reduce((sum, n) => sum + n, 0);
  const rows: [string, (f: Figures) => string][] = [
    ["Queue a day", (f) => count(Math.round(f.queuePerDay * 10) / 10)],
    ["Declined a day", (f) => count(Math.round((all(f.declined) / days) * 10) / 10)],
    ["Challenged a day", (f) => count(Math.round((all(f.challenged) / days) * 10) / 10)],
    ["Precision of review and decline", (f) => percent(f.precision)],
    ["Recall of review and decline", (f) => percent(f.recall)],
    ["Fraud caught", (f) => of(f.caughtMinor)],
    ["Good money declined", (f) => of(f.stoppedGoodMinor)],
    ["Reviews cost", (f) => of(f.reviewMinor)],
    ["Left over", (f) => of(f.netMinor)],
  ];
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of figures">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">In {days} days</th>
            <th scope="col" className="num">with these</th>
            <th scope="col" className="num">as now</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, figure]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td className="num strong">{figure(at)}</td>
              <td className="num muted">{figure(now)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const csvColumns = ["from", "frauds", "good", "unknown", "fraud_base_minor", "good_base_minor", "unknown_base_minor"] as const;
const csvRows = (month: LastMonth) =>
  month.buckets.map(({ from, counts, amounts_base_minor: amounts }) => ({
    from, frauds: counts[0], good: counts[1], unknown: counts[2], fraud_base_minor: amounts[0], good_base_minor: amounts[1],
    unknown_base_minor: amounts[2],
  }));

function ServicePanel({ settings }: { settings: Settings }) {
  const rows: [string, string, string][] = [
    ["Decisions that become cases", settings.case_actions || "none", "ASSAY_DASHBOARD_CASES"],
    ["And by score from", Number(settings.case_score) > 1 ? "never" : percent(Number(settings.case_score)), "ASSAY_DASHBOARD_CASE_SCORE"],
    ["A review costs", money(settings.review_cost_base_minor, settings.base_currency), "ASSAY_DASHBOARD_REVIEW_COST"],
    ["A case is due after", span(settings.sla_s), "ASSAY_DASHBOARD_SLA"],
    ["A case that was taken is its taker's for", span(settings.lock_s), "ASSAY_DASHBOARD_LOCK"],
    ["A decision can be undone for", span(settings.undo_s), "ASSAY_DASHBOARD_UNDO"],
    ["A session ends without a request for", span(settings.idle_s), "ASSAY_DASHBOARD_IDLE"],
    ["And in any case after", span(settings.session_s), "ASSAY_DASHBOARD_SESSION"],
    ["Base currency", settings.base_currency, "ASSAY_BASE_CURRENCY"],
  ];
  return (
    <Panel title="What the service was started with" tools={<Chip>read only</Chip>} flush>
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of settings">
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Is</th>
              <th scope="col">Set by</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([what, is, by]) => (
              <tr key={by}>
                <th scope="row">{what}</th>
                <td>{is}</td>
                <td className="mono muted">{by}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
