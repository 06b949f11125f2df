// SPDX-License-Identifier: Apache-2.0
// What the pages about models share: states, figures, gates, curves.
import { Suspense, lazy } from "react";
import type { Curves, Experiment, ModelState, Points, Run, Verdict, VerdictOutcome } from "../api/models";
import { money, moment, percent, words } from "../format";
import { Chip, type Tone } from "../ui";

const Chart = lazy(() => import("./models_chart"));

export const stateTone: Record<ModelState, Tone> = {
  registered: "plain", validated: "info", shadow: "info", ab: "warn", champion: "good", retired: "plain", rejected: "bad",
};
export const stateText: Record<ModelState, string> = {
  registered: "registered", validated: "validated", shadow: "shadow", ab: "challenger", champion: "champion", retired: "retired", rejected: "rejected",
};
export const outcomeTone: Record<VerdictOutcome, Tone> = { pass: "good", fail: "bad", inconclusive: "warn" };
export const trialTone: Record<Experiment["state"], Tone> = { running: "info", passed: "good", failed: "bad", inconclusive: "warn", stopped: "plain" };
export const runTone: Record<Run["state"], Tone> = { queued: "plain", running: "info", succeeded: "good", failed: "bad", cancelled: "plain" };

/** A figure between 0 and 1 with three digits. */
export const figure = (value: unknown): string => (typeof value === "number" && Number.isFinite(value) ? value.toFixed(3) : "–");

export function StateChip({ state, aliases = [] }: { state: ModelState; aliases?: string[] }) {
  return (
    <>
      <Chip tone={stateTone[state] ?? "plain"}>
        <span className="dot" aria-hidden="true" />
        {stateText[state] ?? state}
      </Chip>
      {aliases.includes("previous_champion") && <Chip>way back</Chip>}
    </>
  );
}

export function Verdicts({ verdicts }: { verdicts: Verdict[] }) {
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of gates">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Gate</th>
            <th scope="col">Outcome</th>
            <th scope="col">Why</th>
            <th scope="col">Stage</th>
            <th scope="col">When</th>
          </tr>
        </thead>
        <tbody>
          {verdicts.map((each) => (
            <tr key={each.verdict}>
              <th scope="row" className="nowrap">{words(each.gate)}</th>
              <td>
                <Chip tone={outcomeTone[each.outcome] ?? "plain"}>{each.outcome}</Chip>
              </td>
              <td className="wrap">
                {each.reason}
                <Evidence evidence={each.evidence} />
              </td>
              <td className="nowrap">{each.stage}</td>
              <td className="nowrap muted">{moment(each.at)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Evidence({ evidence }: { evidence?: Record<string, unknown> }) {
  const members = Object.entries(evidence ?? {});
  if (members.length === 0) return null;
  return (
    <details className="evidence">
      <summary>Figures</summary>
      <dl>
        {members.map(([name, value]) => (
          <div key={name}>
            <dt>{words(name)}</dt>
            <dd>{typeof value === "number" ? short(value) : typeof value === "string" ? value : JSON.stringify(value)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

export const short = (value: number): string =>
  Number.isInteger(value) ? value.toLocaleString() : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString() : Number(value.toPrecision(4)).toString();

/** A percentage beside an axis. */
export const axisPercent = (value: number): string => (value === 0 ? "0 %" : value >= 0.01 ? `${Number((value * 100).toPrecision(3))} %` : percent(value));

/** Whose curves, and at which thresholds it decides now. */
export interface Whose {
  label: string;
  colour: "accent" | "warn";
  curves: Curves;
  decline: number | null;
  review: number | null;
}

const column = (points: Points, at: number): number[] => points.map((point) => point[at] ?? Number.NaN);

/** Precision over recall, how right the probabilities are, and money by the threshold: of one version, or of two. */
export function CurveCharts({ all, currency }: { all: Whose[]; currency: string }) {
  const ranked = all.filter((each) => (each.curves.precision_recall?.length ?? 0) > 0);
  const reliable = all.filter((each) => (each.curves.reliability?.length ?? 0) > 0);
  const moneyed = all.filter((each) => (each.curves.money?.length ?? 0) > 0);
  const most = Math.max(0.01, ...reliable.flatMap((each) => each.curves.reliability!.map((bin) => Math.max(bin[0] ?? 0, bin[1] ?? 0))));
  return (
    <Suspense fallback={<div className="chart" />}>
      <div className="curve-grid">
        {ranked.length > 0 && (
          <Chart
            label="Precision by recall" xTitle="recall" xText={axisPercent} yText={axisPercent} xRange={[0, 1]} yRange={[0, 1.02]}
            curves={ranked.map((each) => ({
              label: each.label, colour: each.colour, dash: each.colour === "warn",
              x: column(each.curves.precision_recall!, 0), y: column(each.curves.precision_recall!, 1),
            }))}
          />
        )}
        {reliable.length > 0 && (
          <Chart
            label="Calibration: frauds by what was said" xTitle="mean probability said" xText={axisPercent} yText={axisPercent} xRange={[0, most]} yRange={[0, most * 1.05]}
            curves={[
              { label: "as it should be", colour: "line-strong", dash: true, x: [0, most], y: [0, most] },
              ...reliable.map((each) => ({
                label: each.label, colour: each.colour, points: true, dash: each.colour === "warn",
                x: column(each.curves.reliability!, 0), y: column(each.curves.reliability!, 1),
              })),
            ]}
          />
        )}
        {moneyed.length > 0 && (
          <Chart
            label="Money by decline threshold" xTitle="declined from this probability on" isLog
            xText={axisPercent} yText={(value) => money(value, currency, true)}
            curves={moneyed.map((each) => ({
              label: `${each.label}: saved`, colour: each.colour, dash: each.colour === "warn",
              x: column(each.curves.money!, 0).map((x) => Math.max(x, 1e-6)), y: column(each.curves.money!, 1),
            }))}
            marks={moneyed.flatMap((each) =>
              each.decline === null ? [] : [{ x: each.decline, label: `${all.length > 1 ? `${each.label} ` : ""}declines from ${percent(each.decline)}`, colour: each.colour }],
            )}
          />
        )}
      </div>
    </Suspense>
  );
}

/** Names and values, as many columns as fit. */
export function Facts({ facts }: { facts: [string, React.ReactNode][] }) {
  return (
    <dl className="model-facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
