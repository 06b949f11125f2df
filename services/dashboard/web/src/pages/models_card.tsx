// SPDX-License-Identifier: Apache-2.0
// All that is known of one version: figures and curves of its own judging rows, gates, training, features, history.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Version, modelsApi } from "../api/models";
import { saveCsv } from "../csv";
import { count, moment, percent, words } from "../format";
import { href } from "../route";
import { useBaseCurrency, useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Chip, Fault, Loading, Panel, useTitle } from "../ui";
import { ChangeDialog } from "./models_change";
import { CurveCharts, Facts, StateChip, Verdicts, figure, short, trialTone } from "./models_parts";

export default function CardPage({ name, version }: { name: string; version: number }) {
  useTitle(`${name} ${version}`);
  const asked = useQuery({
    queryKey: ["models", "version", name, version],
    queryFn: ({ signal }) => modelsApi.version(name, version, signal),
    enabled: Number.isInteger(version),
  });
  if (asked.error) return <Fault error={asked.error} again={() => void asked.refetch()} />;
  if (!asked.data) return <Loading lines={12} />;
  return <Card the={asked.data} />;
}

function Card({ the }: { the: Version }) {
  const { model, metrics } = the;
  const currency = useBaseCurrency();
  const mayChange = useMay("model_owner") && model.state !== "champion" && model.state !== "rejected";
  const [isOpen, setIsOpen] = useState(false);
  const list = useQuery({ queryKey: ["models", "all"], queryFn: ({ signal }) => modelsApi.list(null, 1000, signal) });
  const champion = list.data?.models.find((each) => each.name === model.name && each.state === "champion") ?? null;
  useShortcuts("Version", mayChange ? [{ key: "p", label: "Promote it", run: () => setIsOpen(true) }] : []);
  const number = (key: string) => metrics[key] as number | undefined;
  const fraudMoney = number("fraud_minor");
  return (
    <>
      <header className="row">
        <h1>
          {model.name} {model.version}
        </h1>
        <StateChip state={model.state} aliases={model.aliases} />
        <span className="grow" />
        {champion && champion.version !== model.version && (
          <a className="button" href={href("models/compare", { name: model.name, challenger: String(model.version) })}>
            Compare with champion {champion.version}
          </a>
        )}
        {mayChange && (
          <button type="button" className="button primary" disabled={!list.data} onClick={() => setIsOpen(true)}>
            Promote
          </button>
        )}
      </header>
      <div className="tiles">
        <Tile label="average precision" value={figure(metrics.average_precision)} />
        <Tile label="card precision@100" value={figure(metrics.card_precision_100)} />
        <Tile label="recall at 1 % false positives" value={figure(metrics.recall_at_fpr_1)} />
        <Tile label="calibration error" value={figure(metrics.calibration_error)} />
        <Tile label="judged on frauds" value={number("held_out_frauds") === undefined ? "–" : count(number("held_out_frauds")!)} />
        {fraudMoney !== undefined && fraudMoney > 0 && <Tile label="of fraud money caught" value={percent((number("caught_minor") ?? 0) / fraudMoney)} />}
      </div>
      {metrics.curves && (
        <Panel title="On its own judging rows, which came after all that it learned from">
          <CurveCharts
            currency={currency}
            all={[{ label: `version ${model.version}`, colour: "accent", curves: metrics.curves, decline: the.thresholds.decline, review: the.thresholds.review }]}
          />
        </Panel>
      )}
      <Panel title={`Gates: ${count(the.verdicts.filter((each) => each.outcome === "pass").length)} of ${count(the.verdicts.length)} passed`} flush>
        {the.verdicts.length === 0 ? (
          <p className="body muted">
            It was not held to any gate: gates are run by the training that makes a version. This one was registered by {model.registered_by ?? "somebody"}.
          </p>
        ) : (
          <Verdicts verdicts={the.verdicts} />
        )}
      </Panel>
      <div className="columns">
        <div className="stack">
          <Panel title="Training">
            <Facts
              facts={[
                ["Payments from", moment(the.training.from)],
                ["until", moment(the.training.until)],
                ["Labels known until", moment(the.training.labels_known)],
                ["Labels take", `${short(the.training.label_delay_days)} days`],
                ["Rows", count(the.training.rows)],
                ["of them frauds", count(the.training.frauds)],
                ["Decides", thresholds(the)],
                ["Trees", `${count(the.forest.trees)}, ${the.forest.depth} deep`],
                ...Object.entries(the.parameters)
                  .filter(([key, value]) => key !== "trees" && (typeof value === "number" || typeof value === "string"))
                  .map(([key, value]): [string, string] => [words(key), typeof value === "number" ? short(value) : String(value)]),
              ]}
            />
          </Panel>
          <Panel
            title={`Features: ${count(the.features.length)}`} flush
            tools={
              <button type="button" className="button quiet" aria-label="CSV: features" onClick={() => saveCsv(`${model.name}-${model.version}-features.csv`, ["name", "describe"], the.features)}>
                CSV
              </button>
            }
          >
            <div className="table-wrap live" tabIndex={0} role="region" aria-label="Table of features">
              <table className="plain">
                <thead>
                  <tr>
                    <th scope="col">Name</th>
                    <th scope="col">What it says</th>
                  </tr>
                </thead>
                <tbody>
                  {the.features.map((each) => (
                    <tr key={each.name}>
                      <th scope="row">
                        <code className="wrap">{each.name}</code>
                      </th>
                      <td className="wrap">{each.describe}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </Panel>
          {the.card && (
            <Panel title="Model card">
              <details>
                <summary>Purpose, factors, figures, cautions</summary>
                <pre className="card-text">{the.card}</pre>
              </details>
            </Panel>
          )}
        </div>
        <div className="stack">
          <Panel title="Where it comes from">
            <Facts
              facts={[
                ["Registered", moment(model.created_at)],
                ["by", model.registered_by ?? "–"],
                ["Run", the.run ? `${the.run.run}, ${the.run.cause}` : "none: it was trained elsewhere"],
                ["asked for by", the.run?.requested_by ?? "–"],
                ["Because", the.run?.reason || "–"],
                ["Signed by", model.signer ? <code>{model.signer.slice(0, 16)}…</code> : "nobody"],
                ["SHA-256 of the bundle", <code key="sha">{model.sha256}</code>],
                ["Digest of the features", <code key="plan">{the.plan}</code>],
                ["Size", `${count(Math.round(model.bytes / 1024))} kB, ${count(the.forest.golden_rows)} golden rows`],
              ]}
            />
          </Panel>
          <Panel title="Experiments" flush>
            {the.experiments.length === 0 ? (
              <p className="body muted">None: it has not been tried beside another.</p>
            ) : (
              <ul>
                {the.experiments.map((each) => (
                  <li key={each.experiment} className="body row">
                    <a href={href(`models/experiments/${each.experiment}`)}>
                      {each.experiment}: {each.candidate} beside {each.champion}
                    </a>
                    <Chip tone={trialTone[each.state]}>{each.state}</Chip>
                    <span className="muted small">{each.stage}</span>
                  </li>
                ))}
              </ul>
            )}
          </Panel>
          <Panel title="Who did what" flush>
            <ul>
              {the.history.map((each, i) => (
                <li key={i} className="body">
                  <div className="row">
                    <strong>{each.actor}</strong>
                    <code>{each.action.replace("model.", "")}</code>
                    <span className="muted small">{moment(each.at)}</span>
                  </div>
                  {typeof each.detail.reason === "string" && each.detail.reason && <p className="wrap">{each.detail.reason}</p>}
                </li>
              ))}
            </ul>
          </Panel>
        </div>
      </div>
      {isOpen && <ChangeDialog wish={{ kind: "promote", model, champion }} onClose={() => setIsOpen(false)} />}
    </>
  );
}

const thresholds = ({ thresholds: at }: Version): string =>
  (["challenge", "review", "decline"] as const).filter((name) => at[name] !== null).map((name) => `${name} from ${percent(at[name])}`).join(", ") || "nothing by itself";

function Tile({ label, value }: { label: string; value: string }) {
  return (
    <div className="panel tile">
      <div className="value">{value}</div>
      <div className="label">{label}</div>
    </div>
  );
}
