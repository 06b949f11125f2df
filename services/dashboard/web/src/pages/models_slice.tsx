// SPDX-License-Identifier: Apache-2.0
// The control slice: of what the score declines, a small share is let through by lot, so that it is known what declining
// is worth.
import { useQuery } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { type ControlSlice, type Estimate, type SliceLine, modelsApi } from "../api/models";
import { saveCsv } from "../csv";
import { count, moment, money, percent } from "../format";
import { href, swap, useRoute } from "../route";
import { useBaseCurrency } from "../session";
import { Blank, Fault, Loading, Panel, useTitle } from "../ui";
import { Facts } from "./models_parts";

export default function SlicePage() {
  useTitle("Control slice");
  const { query } = useRoute();
  const days = Number(query.get("days") ?? 30) || 30;
  const mature = query.get("mature") ? Number(query.get("mature")) : null;
  const asked = useQuery({
    queryKey: ["models", "slice", days, mature],
    queryFn: ({ signal }) => modelsApi.controlSlice(days, mature, signal),
    staleTime: 60000,
  });
  const ask = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    swap(href("models/slice", { days: String(form.get("days")), mature: String(form.get("mature")) }));
  };
  const lines = asked.data?.report?.lines ?? [];
  return (
    <>
      <header className="row">
        <h1>Control slice</h1>
        <span className="grow" />
        <button type="button" className="button" disabled={lines.length === 0} onClick={() => saveCsv("control-slice.csv", csvColumns, lines.map(flat))}>
          CSV
        </button>
      </header>
      <form className="ask" aria-label="Which decisions" onSubmit={ask} key={`${days} ${mature}`}>
        <div className="field">
          <label htmlFor="slice-days">Days</label>
          <input id="slice-days" name="days" className="input" type="number" min={1} max={3650} defaultValue={days} required />
        </div>
        <div className="field">
          <label htmlFor="slice-mature">Older than, days</label>
          <input id="slice-mature" name="mature" className="input" type="number" min={0} max={3650} defaultValue={mature ?? ""} placeholder="as labels take" />
        </div>
        <button type="submit" className="button">
          Show
        </button>
      </form>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading lines={8} />}
      {asked.data && <Slice the={asked.data} />}
    </>
  );
}

function Slice({ the }: { the: ControlSlice }) {
  const currency = useBaseCurrency();
  const { report } = the;
  return (
    <>
      <Panel title="What is let through" flush={the.slices.length === 0}>
        {the.slices.length === 0 ? (
          <Blank title="The slice is off">
            <p>
              What is declined gets no label, so a model never learns whether it was right, and no experiment can show what its declines cost. With a slice, a small share of the
              declines by score goes through by lot, capped by amount, card, merchant and day. An operator switches it on with <code>assay slice set</code>.
            </p>
          </Blank>
        ) : (
          the.slices.map((each) => (
            <Facts
              key={each.account}
              facts={[
                ["Account", each.account || "each without one of its own"],
                ["Share of the declines by score", percent(each.share)],
                ["Up to", money(each.amount_most_minor, currency)],
                ["a day in all", `${count(each.count_per_day)} payments, ${money(each.amount_per_day_minor, currency, true)}`],
                ["a day of one card", count(each.card_per_day)],
                ["a day at one merchant", count(each.merchant_per_day)],
                ["let through on the newest day", count(each.newest_day_count)],
              ]}
            />
          ))
        )}
      </Panel>
      <Panel title="What the declines are worth" flush>
        {!report ? (
          <Blank title="Nothing to tell">
            <p>The score decided nothing in this span. Give more days, or a smaller age.</p>
          </Blank>
        ) : (
          <>
            <p className="body small muted">
              {count(report.decisions)} decisions by the score until {moment(report.to)}, {count(report.let_through)} of them let through by lot, each standing for 1 / its chance.{" "}
              {count(report.decided_otherwise)} were decided by lists, rules or for want of parts and do not count.
              {the.is_cut && " Only the newest are weighed: the span has more."}
              {report.let_through === 0 && " None was let through: whatever was declined is unknown, and only what was not can be told."}
            </p>
            <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of the control slice">
              <table className="plain">
                <thead>
                  <tr>
                    <th scope="col">Decline from</th>
                    <th scope="col">Precision</th>
                    <th scope="col">Recall</th>
                    <th scope="col" className="num">Declines</th>
                    <th scope="col" className="num">Caught</th>
                    <th scope="col" className="num">Lost</th>
                    <th scope="col" className="num">Turned away</th>
                    <th scope="col" className="num">Effective rows</th>
                    <th scope="col" className="num">Not covered</th>
                  </tr>
                </thead>
                <tbody>
                  {report.lines.map((line, i) => (
                    <tr key={i} className={line.of === "policy" ? "is-champion" : undefined}>
                      <th scope="row" className="nowrap">{line.of === "policy" ? "in force" : percent(line.threshold)}</th>
                      <td className="nowrap">{rate(line.precision)}</td>
                      <td className="nowrap">{rate(line.recall)}</td>
                      <td className="num">{amount(line.flagged, (value) => count(Math.round(value)))}</td>
                      <td className="num">{amount(line.money_caught, (value) => money(value, currency, true))}</td>
                      <td className="num">{amount(line.money_lost, (value) => money(value, currency, true))}</td>
                      <td className="num">{amount(line.money_turned_away, (value) => money(value, currency, true))}</td>
                      <td className="num">{Math.round(line.effective)}</td>
                      <td className="num">{count(line.not_covered)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            <p className="body small muted">
              Intervals are of 95 %, by the bootstrap over customers. Below 30 effective rows believe the interval, not the figure. Not covered: declines that had no chance to be let
              through; no figure speaks for them.
            </p>
          </>
        )}
      </Panel>
    </>
  );
}

const amount = (estimate: Estimate, text: (value: number) => string): string => (estimate.value === null ? "–" : text(estimate.value));
const rate = (estimate: Estimate): string =>
  estimate.value === null ? "–" : estimate.low === null || estimate.high === null ? percent(estimate.value) : `${percent(estimate.value)} (${percent(estimate.low)} to ${percent(estimate.high)})`;

const csvColumns = [
  "of", "threshold", "precision", "precision_low", "precision_high", "recall", "recall_low", "recall_high", "flagged", "money_caught", "money_lost",
  "money_turned_away", "effective", "not_covered",
] as const;
const flat = (line: SliceLine) => ({
  of: line.of, threshold: line.threshold ?? "", precision: line.precision.value, precision_low: line.precision.low, precision_high: line.precision.high,
  recall: line.recall.value, recall_low: line.recall.low, recall_high: line.recall.high, flagged: line.flagged.value, money_caught: line.money_caught.value,
  money_lost: line.money_lost.value, money_turned_away: line.money_turned_away.value, effective: line.effective, not_covered: line.not_covered,
});
