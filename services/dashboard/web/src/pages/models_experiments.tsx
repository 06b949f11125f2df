// SPDX-License-Identifier: Apache-2.0
// Experiments: a candidate beside the champion, what was seen at each look, and the bounds that it was held against.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, lazy, useState } from "react";
import { type Experiment, type Verdict, modelsApi } from "../api/models";
import { errorText } from "../api";
import { saveCsv } from "../csv";
import { count, moment, percent, words } from "../format";
import { href } from "../route";
import { useMay } from "../session";
import { Blank, Chip, Fault, Loading, Modal, Panel, useSay, useTitle } from "../ui";
import type { Curve } from "./models_chart";
import { Facts, Verdicts, axisPercent, outcomeTone, short, trialTone } from "./models_parts";

const Chart = lazy(() => import("./models_chart"));

export default function ExperimentsPage({ id }: { id: number | null }) {
  return id === null ? <List /> : <One id={id} />;
}

function List() {
  useTitle("Experiments");
  const asked = useQuery({ queryKey: ["models", "experiments"], queryFn: ({ signal }) => modelsApi.experiments(signal), refetchInterval: 10000 });
  const all = asked.data?.experiments ?? [];
  return (
    <>
      <header className="row">
        <h1>Experiments</h1>
        <span className="muted small">{asked.data && count(all.length)}</span>
        <span className="grow" />
        <button type="button" className="button" disabled={all.length === 0} onClick={() => saveCsv("experiments.csv", csvColumns, all)}>
          CSV
        </button>
      </header>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading lines={6} />}
        {asked.data && all.length === 0 && (
          <Blank title="No experiment yet">
            <p>One begins by itself, once there is a champion and a run has made another version:</p>
            <ol className="model-steps">
              <li>The version passes its gates, and scores every payment in shadow for some days. It decides nothing.</li>
              <li>When shadow shows it to be no worse, a share of the customers is decided by it. Which, is drawn anew for each experiment.</li>
              <li>Each matured day is one look at what both lost. It ends when the evidence crosses a bound, and a guardrail can end it at any time.</li>
            </ol>
            <p>
              <a href={href("models/retraining")}>Request a run</a> to make a version to try.
            </p>
          </Blank>
        )}
        {all.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of experiments">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">Experiment</th>
                  <th scope="col">Stage</th>
                  <th scope="col">State</th>
                  <th scope="col">Candidate</th>
                  <th scope="col">Champion</th>
                  <th scope="col" className="num">Share</th>
                  <th scope="col">Began</th>
                  <th scope="col">Ended</th>
                </tr>
              </thead>
              <tbody>
                {all.map((each) => (
                  <tr key={each.experiment}>
                    <th scope="row">
                      <a href={href(`models/experiments/${each.experiment}`)}>
                        {each.name} {each.experiment}
                      </a>
                    </th>
                    <td>{stageText[each.stage]}</td>
                    <td>
                      <Chip tone={trialTone[each.state]}>{each.state}</Chip>
                    </td>
                    <td>{each.candidate}</td>
                    <td>{each.champion}</td>
                    <td className="num">{each.stage === "ab" ? percent(each.share) : "none"}</td>
                    <td className="nowrap muted">{moment(each.started_at)}</td>
                    <td className="nowrap muted">{each.ended_at ? `${moment(each.ended_at)} by ${each.ended_by || "somebody"}` : "–"}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
    </>
  );
}

const csvColumns = ["experiment", "name", "stage", "state", "champion", "candidate", "share", "started_at", "ended_at", "ended_by"] as const satisfies readonly (keyof Experiment)[];
const stageText: Record<Experiment["stage"], string> = { shadow: "in shadow", ab: "with arms" };

function One({ id }: { id: number }) {
  useTitle(`Experiment ${id}`);
  const mayStop = useMay("model_owner");
  const [isStopping, setIsStopping] = useState(false);
  const asked = useQuery({ queryKey: ["models", "experiment", id], queryFn: ({ signal }) => modelsApi.experiment(id, signal), refetchInterval: 10000 });
  if (asked.error) return <Fault error={asked.error} again={() => void asked.refetch()} />;
  if (!asked.data) return <Loading lines={10} />;
  const { experiment: the, verdicts } = asked.data;
  const guardrails = verdicts.filter((each) => each.stage === "guardrail");
  const found = verdicts.filter((each) => each.stage !== "guardrail");
  return (
    <>
      <header className="row">
        <h1>
          {the.name}: {the.candidate} beside {the.champion}
        </h1>
        <Chip tone={trialTone[the.state]}>{the.state}</Chip>
        <span className="muted small">
          experiment {the.experiment}, {stageText[the.stage]}
        </span>
        <span className="grow" />
        <a className="button" href={href("models/compare", { name: the.name, champion: String(the.champion), challenger: String(the.candidate) })}>
          Compare
        </a>
        {mayStop && the.state === "running" && (
          <button type="button" className="button is-bad" onClick={() => setIsStopping(true)}>
            Stop
          </button>
        )}
      </header>
      <Panel title="What it is">
        <Facts
          facts={[
            ["Decided by the candidate", the.stage === "ab" ? `${percent(the.share)} of the customers` : "nothing: it scores beside"],
            ["Began", moment(the.started_at)],
            ["Ended", the.ended_at ? `${moment(the.ended_at)} by ${the.ended_by || "somebody"}` : "–"],
            ["Next look", the.state === "running" && the.progress?.look_at_us ? moment(new Date(the.progress.look_at_us / 1000).toISOString()) : "–"],
            ...(the.progress?.rows === undefined ? [] : [["Payments seen by both", count(the.progress.rows)] as [string, string]]),
            ...Object.entries(the.design ?? {}).map(([name, value]): [string, string] => [words(name), typeof value === "number" ? short(value) : String(value)]),
          ]}
        />
      </Panel>
      {the.stage === "ab" && <Evidence the={the} />}
      <Panel title="The decision" flush>
        {found.length === 0 ? (
          <p className="body muted">
            {the.state === "running"
              ? "Not yet. It comes with the look at which a bound is crossed, or at the end of the plan."
              : the.state === "stopped"
                ? `It was stopped by ${the.ended_by || "somebody"} before there was one.`
                : "Nothing was written about it."}
          </p>
        ) : (
          <>
            <p className="body">
              <Decision verdicts={found} />
            </p>
            <Verdicts verdicts={found} />
          </>
        )}
      </Panel>
      <Panel title="Guardrails" flush>
        {guardrails.length === 0 ? (
          <p className="body muted">
            None has broken. Approval rate, review load, errors, slow answers and where scores lie are looked at all the time, by tests that may be looked at whenever one
            likes; one that breaks ends the experiment and is written here.
          </p>
        ) : (
          <Verdicts verdicts={guardrails} />
        )}
      </Panel>
      {isStopping && <StopDialog the={the} onClose={() => setIsStopping(false)} />}
    </>
  );
}

function Decision({ verdicts }: { verdicts: Verdict[] }) {
  const worst = verdicts.find((each) => each.outcome === "fail") ?? verdicts.find((each) => each.outcome === "inconclusive") ?? verdicts[0]!;
  return (
    <span className="row">
      <Chip tone={outcomeTone[worst.outcome]}>{worst.outcome}</Chip>
      <span>
        {words(worst.gate)}: {worst.reason}
      </span>
    </span>
  );
}

/** Beyond this no figure is drawn: next to nothing may be spent that early. */
const drawnMost = 8;

function Evidence({ the }: { the: Experiment }) {
  const progress = the.progress?.looks;
  const planned = progress?.planned_rows ?? the.design?.planned_rows ?? 0;
  const looks = progress?.looks ?? [];
  if (looks.length === 0)
    return (
      <Panel title="Evidence over time">
        <p className="muted">No look was taken yet. The first comes when the first day of the experiment is old enough that its labels are in.</p>
      </Panel>
    );
  const x = looks.map((look) => (planned > 0 ? look.rows / planned : look.rows));
  const shown = (value: number | null | undefined) => (value === null || value === undefined ? null : Math.max(-drawnMost, Math.min(drawnMost, value)));
  const curves: Curve[] = [
    { label: "bound", colour: "bad", dash: true, x, y: looks.map((look) => (look.bound !== null && look.bound > drawnMost ? null : look.bound)) },
    { label: "that it is not worse", colour: "good", points: true, x, y: looks.map((look) => shown(look.z_pass)) },
    { label: "that it is worse", colour: "warn", points: true, x, y: looks.map((look) => shown(look.z_fail)) },
  ];
  const values = curves.flatMap((curve) => curve.y.filter((value): value is number => value !== null));
  const last = looks[looks.length - 1]!;
  return (
    <Panel
      title="Evidence over time"
      tools={
        <button type="button" className="button quiet" aria-label="CSV: looks" onClick={() => saveCsv(`experiment-${the.experiment}-looks.csv`, ["rows", "z_pass", "z_fail", "bound"], looks)}>
          CSV
        </button>
      }
    >
      <Suspense fallback={<div className="chart" />}>
        <Chart
          label="Evidence at each look, against the bound" xTitle="share of the planned payments that is in" curves={curves}
          xText={axisPercent} yText={(value) => value.toFixed(1)} xRange={[0, Math.max(1, ...x)]} yRange={[Math.min(-1, ...values) * 1.1, Math.max(2, ...values) * 1.1]}
        />
      </Suspense>
      <p className="small muted">
        {count(looks.length)} looks; at the last one {count(last.rows)} of {count(planned)} planned payments were in. Each line is a difference of net loss in standard errors. Whichever
        rises above the bound ends the experiment; the bound is high early, so that daily looks cost nothing (O'Brien and Fleming, spent as Lan and DeMets have it).
      </p>
    </Panel>
  );
}

function StopDialog({ the, onClose }: { the: Experiment; onClose: () => void }) {
  const say = useSay();
  const queries = useQueryClient();
  const stop = useMutation({
    mutationFn: () => modelsApi.stopExperiment(the.experiment),
    onSuccess: () => {
      say(`Experiment ${the.experiment} is stopped.`);
      void queries.invalidateQueries({ queryKey: ["models"] });
      onClose();
    },
  });
  return (
    <Modal title={`Stop experiment ${the.experiment}`} open onClose={onClose}>
      <div className="stack">
        {stop.error && <Fault error={new Error(errorText(stop.error))} />}
        <ul className="changes">
          <li>Version {the.candidate} {the.stage === "ab" ? `decides for nobody any more: the champion takes its ${percent(the.share)} of the customers back` : "scores no payment any more"}.</li>
          <li>It becomes validated, and is not tried again by itself. A model owner can still promote it.</li>
          <li>What was seen so far stays here. It cannot be gone on with.</li>
        </ul>
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="button" className="button primary" disabled={stop.isPending} onClick={() => stop.mutate()}>
            Stop it
          </button>
        </div>
      </div>
    </Modal>
  );
}
