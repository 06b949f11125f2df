// SPDX-License-Identifier: Apache-2.0
// Full backtests of a set: asked over a span and perhaps with another model, looked at until they end.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { errorText } from "../api";
import { modelsApi } from "../api/models";
import { type Backtest, type BacktestWish, type RuleSet, rulesApi } from "../api/rules";
import { count, moment, percent } from "../format";
import { useMay } from "../session";
import { Blank, Chip, Fault, Panel, type Tone, useSay } from "../ui";

const jobTone: Record<Backtest["state"], Tone> = { waiting: "plain", running: "info", done: "good", failed: "bad", cancelled: "warn" };

function Progress({ the }: { the: Backtest }) {
  const share = the.total > 0 ? the.done / the.total : 0;
  return (
    <div className="row">
      <progress className="grow" max={1} value={the.state === "running" && the.total > 0 ? share : the.state === "waiting" ? 0 : undefined} aria-label={`Backtest ${the.backtest}`} />
      <span className="small muted num">
        {the.state === "waiting" ? "waits" : `${the.stage || "begins"} ${the.total > 0 ? `${percent(share)} of ${count(the.total)}` : ""}`}
      </span>
    </div>
  );
}

/** "from 2026-09-01, before 2026-10-01, scored by model 7" */
export function wishText({ from, to, model }: Backtest["question"]): string {
  const said = [from && `from ${from.slice(0, 10)}`, to && `before ${to.slice(0, 10)}`, model && `scored by model ${model}`].filter(Boolean);
  return said.length ? said.join(", ") : "the whole history";
}

const dayStart = (day: string) => (day ? `${day}T00:00:00Z` : undefined);

function Wish({ wish, onChange }: { wish: { from: string; to: string; model: string }; onChange: (wish: { from: string; to: string; model: string }) => void }) {
  const mayModels = useMay("model_owner", "lead", "admin", "auditor");
  const models = useQuery({ queryKey: ["rules", "models"], queryFn: ({ signal }) => modelsApi.list(null, 100, signal), enabled: mayModels, staleTime: 60000 });
  const isTurned = wish.from !== "" && wish.to !== "" && wish.from >= wish.to;
  return (
    <div className="stack tight">
      <div className="quad">
        <label className="field">
          <span className="label">From, UTC</span>
          <input className="input" type="date" value={wish.from} onChange={(event) => onChange({ ...wish, from: event.target.value })} />
        </label>
        <label className="field">
          <span className="label">Before, UTC</span>
          <input className="input" type="date" value={wish.to} onChange={(event) => onChange({ ...wish, to: event.target.value })} />
        </label>
        <label className="field">
          <span className="label">Scores</span>
          {mayModels ? (
            <select className="input" value={wish.model} onChange={(event) => onChange({ ...wish, model: event.target.value })}>
              <option value="">as they were</option>
              {(models.data?.models ?? []).map((each) => (
                <option key={each.version} value={each.version}>{`${each.name} ${each.version}, ${each.state}`}</option>
              ))}
            </select>
          ) : (
            <input className="input" type="number" min={1} step={1} value={wish.model} placeholder="as they were" title="The version of a model" onChange={(event) => onChange({ ...wish, model: event.target.value })} />
          )}
        </label>
      </div>
      {isTurned && <p className="bad small">The span ends before it begins.</p>}
    </div>
  );
}

/** The history as a job: begun here, looked at until it ends, its report kept. */
export function Backtests({ set, isChanged, shown, onShow }: { set: RuleSet; isChanged: boolean; shown: number | null; onShow: (id: number | null) => void }) {
  const may = useMay("rule_author", "publisher");
  const say = useSay();
  const queries = useQueryClient();
  const [wish, setWish] = useState({ from: "", to: "", model: "" });
  const key = ["rules", "backtests", set.version];
  const isGoing = (all: Backtest[] | undefined) => !!all?.some((each) => each.state === "waiting" || each.state === "running");
  const asked = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => rulesApi.backtests(set.version, signal),
    refetchInterval: (query) => (isGoing(query.state.data?.backtests) ? 500 : false),
  });
  const again = () => void queries.invalidateQueries({ queryKey: ["rules"], predicate: (query) => ["backtests", "history"].includes(String(query.queryKey[1])) });
  const begin = useMutation({
    mutationFn: () => {
      const full: BacktestWish = { from: dayStart(wish.from), to: dayStart(wish.to), model: wish.model ? Number(wish.model) : undefined };
      return rulesApi.ask(set.version, full);
    },
    onSettled: again,
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  const cancel = useMutation({ mutationFn: (id: number) => rulesApi.cancel(id), onSettled: again, onError: (error) => say(errorText(error), { tone: "bad" }) });
  const all = asked.data?.backtests ?? [];
  const isTurned = wish.from !== "" && wish.to !== "" && wish.from >= wish.to;
  return (
    <Panel
      title="Full backtests"
      tools={
        may && (
          <button type="button" className="button" disabled={isChanged || isTurned || begin.isPending || isGoing(all)} onClick={() => begin.mutate()} title={isChanged ? "Save first: what is tried is what was saved" : undefined}>
            Backtest
          </button>
        )
      }
    >
      {may && <Wish wish={wish} onChange={setWish} />}
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.data && all.length === 0 && (
        <Blank title="Not tried yet">
          <p>A backtest decides every payment of the past once more with this set, exactly as it would be decided today. Its report is kept with a hash.</p>
        </Blank>
      )}
      <ul className="jobs">
        {all.map((each) => (
          <li key={each.backtest}>
            <div className="row">
              <strong>#{each.backtest}</strong> <Chip tone={jobTone[each.state]}>{each.state}</Chip>
              <span className="small muted">{wishText(each.question)}; revision {each.revision}, by {each.asked_by}, {moment(each.created_at)}</span>
              <span className="grow" />
              {may && (each.state === "waiting" || each.state === "running") && (
                <button type="button" className="button quiet" onClick={() => cancel.mutate(each.backtest)} aria-label={`Cancel backtest ${each.backtest}`}>Cancel</button>
              )}
              {each.state === "done" && (
                <button type="button" className="button quiet" aria-pressed={shown === each.backtest} aria-label={`Report of backtest ${each.backtest}`} onClick={() => onShow(shown === each.backtest ? null : each.backtest)}>Report</button>
              )}
            </div>
            {(each.state === "waiting" || each.state === "running") && <Progress the={each} />}
            {each.trouble && <p className="bad wrap">{each.trouble}</p>}
            {each.report_sha256 && <p className="small muted mono cut" title={each.report_sha256}>sha-256 {each.report_sha256}</p>}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
