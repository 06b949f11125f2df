// SPDX-License-Identifier: Apache-2.0
// Alerts, the newest first, and the one that is open beside them: what the manual says of it, and who was told.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { type Alert, type Delivery, type Severity, watch } from "../api/drift";
import { saveCsv } from "../csv";
import { moment, span } from "../format";
import { Icon } from "../icons";
import { useNow } from "../now";
import { go, href, swap, useRoute } from "../route";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, Panel, type Tone } from "../ui";
import { Runbook } from "./alerts_runbook";
import { SilenceDialog } from "./alerts_silence";
import { figure } from "./drift_figures";

const pageRows = 50;
const severityTone: Record<Severity, Tone> = { info: "info", warning: "warn", critical: "bad" };
const severities: Severity[] = ["critical", "warning", "info"];

export default function List({ onlyOpen }: { onlyOpen: boolean }) {
  const { path, query } = useRoute();
  const severity = query.get("severity") ?? "";
  const canSilence = useMay("lead", "model_owner", "admin");
  const [toSilence, setToSilence] = useState<Alert | null>(null);
  const asked = useInfiniteQuery({
    queryKey: ["alerts", onlyOpen, severity],
    queryFn: ({ pageParam, signal }) =>
      watch.alerts({ state: onlyOpen ? "open" : undefined, severity: severity || undefined }, pageParam, pageRows, signal),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.alerts.length === pageRows ? page.alerts[pageRows - 1]!.id : null),
    refetchInterval: 10000,
  });
  const alerts = asked.data?.pages.flatMap((page) => page.alerts) ?? [];
  const chosen = Number(query.get("alert")) || null;
  const here = href(path.join("/"), { severity });
  const show = (id: number | null) => swap(id === null ? here : href(path.join("/"), { severity, alert: String(id) }));
  const box = useRef<HTMLUListElement>(null);
  const move = (by: number) => {
    const lines = [...(box.current?.querySelectorAll<HTMLElement>(".alert-line") ?? [])];
    const at = lines.indexOf(document.activeElement as HTMLElement);
    const to = lines[at < 0 ? Math.max(0, alerts.findIndex((each) => each.id === chosen)) : Math.max(0, Math.min(lines.length - 1, at + by))];
    to?.focus();
    to?.scrollIntoView({ block: "nearest" });
  };
  const focused = () => {
    const at = document.activeElement?.closest<HTMLElement>("[data-alert]")?.dataset.alert;
    return alerts.find((each) => each.id === (at ? Number(at) : chosen)) ?? null;
  };
  useShortcuts("Alerts", [
    { key: "j", label: "Next alert", run: () => move(1) },
    { key: "k", label: "Alert before", run: () => move(-1) },
    ...(canSilence ? [{ key: "s", label: "Silence the alert", run: () => setToSilence(focused()) }] : []),
    ...(chosen ? [{ key: "Escape", label: "Close the alert", run: () => show(null) }] : []),
  ]);
  return (
    <>
      <div className="filters">
        <div className="row" role="group" aria-label="Severity">
          {["", ...severities].map((each) => (
            <button
              key={each} type="button" className="button quiet" aria-pressed={each === severity}
              onClick={() => go(href(path.join("/"), { severity: each }))}
            >
              {each || "any severity"}
            </button>
          ))}
        </div>
        <span className="grow" />
        <button type="button" className="button" disabled={alerts.length === 0} onClick={() => saveCsv("alerts.csv", csvColumns, alerts.map(flat))}>
          CSV
        </button>
      </div>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className={chosen ? "drift-split" : ""}>
        <div className="panel">
          {asked.isPending && <Loading lines={8} />}
          {asked.data && alerts.length === 0 && (
            <Blank title={onlyOpen ? "Nothing is wrong" : "Nothing was ever wrong"}>
              <p>
                The monitor looks at drift, quality, the data and the parts of the cluster. What lasts becomes an alert, is listed here, and
                told to webhooks and Alertmanager.
              </p>
            </Blank>
          )}
          {alerts.length > 0 && (
            <ul className="alert-lines" ref={box} aria-label="Alerts">
              {alerts.map((each) => (
                <li key={each.id}>
                  <Line alert={each} isChosen={each.id === chosen} to={href(path.join("/"), { severity, alert: String(each.id) })} />
                </li>
              ))}
            </ul>
          )}
          {asked.hasNextPage && (
            <div className="row body">
              <button type="button" className="button" onClick={() => void asked.fetchNextPage()} disabled={asked.isFetchingNextPage}>
                Older
              </button>
            </div>
          )}
        </div>
        {chosen && <One key={chosen} id={chosen} onClose={() => show(null)} onSilence={canSilence ? setToSilence : null} />}
      </div>
      {toSilence && (
        <SilenceDialog alert={toSilence} open={alerts.filter((each) => each.state !== "resolved")} onClose={() => setToSilence(null)} />
      )}
    </>
  );
}

function StateChips({ alert }: { alert: Alert }) {
  return (
    <>
      <Chip tone={alert.state === "firing" ? severityTone[alert.severity] : "plain"}>{alert.state}</Chip>
      {alert.is_silenced && <Chip>silenced</Chip>}
      {alert.is_inhibited && <Chip>told by another</Chip>}
    </>
  );
}

const hidden = new Set(["alertname", "condition", "kind", "service", "lane"]);

function Line({ alert, isChosen, to }: { alert: Alert; isChosen: boolean; to: string }) {
  const now = useNow();
  const until = alert.resolved_at ? Date.parse(alert.resolved_at) : now;
  const labels = Object.entries(alert.labels).filter(([name, value]) => !hidden.has(name) || (name === "lane" && value !== "0"));
  return (
    <a className="alert-line" href={to} data-alert={alert.id} aria-current={isChosen ? "true" : undefined}>
      <span><Chip tone={severityTone[alert.severity]}>{alert.severity}</Chip></span>
      <span className="row">
        <strong>{alert.name}</strong>
        <StateChips alert={alert} />
      </span>
      <span className="small muted nowrap">{alert.resolved_at ? "lasted" : "for"} {span((until - Date.parse(alert.since)) / 1000)}</span>
      <span className="what">{alert.text}</span>
      {labels.length > 0 && (
        <span className="labels row">
          {labels.map(([name, value]) => (
            <Chip key={name}>{name}={value}</Chip>
          ))}
        </span>
      )}
    </a>
  );
}

function One({ id, onClose, onSilence }: { id: number; onClose: () => void; onSilence: ((alert: Alert) => void) | null }) {
  const asked = useQuery({ queryKey: ["alert", id], queryFn: ({ signal }) => watch.alert(id, signal), refetchInterval: 10000 });
  const alert = asked.data?.alert;
  return (
    <Panel
      title={alert ? `${alert.name}, alert ${alert.id}` : `Alert ${id}`}
      tools={
        <>
          {alert && onSilence && alert.state !== "resolved" && (
            <button type="button" className="button quiet" onClick={() => onSilence(alert)}>
              Silence <Kbd>S</Kbd>
            </button>
          )}
          <button type="button" className="button quiet icon" aria-label="Close the alert" onClick={onClose}>
            <Icon name="close" />
          </button>
        </>
      }
    >
      {asked.isPending && <Loading lines={6} />}
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {alert && asked.data && (
        <div className="stack">
          <p className="row">
            <Chip tone={severityTone[alert.severity]}>{alert.severity}</Chip>
            <StateChips alert={alert} />
          </p>
          <p>{alert.text}</p>
          <dl className="facts">
            {alert.value !== null && <><dt>Value</dt><dd>{figure(alert.value)}{alert.threshold === null ? "" : `, allowed ${figure(alert.threshold)}`}</dd></>}
            <dt>First seen</dt><dd>{moment(alert.since)}</dd>
            <dt>Fired</dt><dd>{moment(alert.fired_at)}</dd>
            <dt>Last told</dt><dd>{moment(alert.told_at)}</dd>
            <dt>Over</dt><dd>{moment(alert.resolved_at)}</dd>
            <dt>Labels</dt><dd>{Object.entries(alert.labels).map(([name, value]) => `${name}=${value}`).join(", ")}</dd>
          </dl>
          <div>
            <h3>What to do</h3>
            <Runbook at={alert.runbook} />
          </div>
          <div>
            <h3>Who was told</h3>
            <Deliveries all={asked.data.deliveries} />
          </div>
        </div>
      )}
    </Panel>
  );
}

export function Deliveries({ all }: { all: Delivery[] }) {
  if (all.length === 0) return <p className="muted">No webhook was told of it.</p>;
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of deliveries">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Webhook</th>
            <th scope="col">Message</th>
            <th scope="col">State</th>
            <th scope="col" className="num">Attempts</th>
            <th scope="col">Made</th>
            <th scope="col">Next</th>
          </tr>
        </thead>
        <tbody>
          {all.map((each) => (
            <tr key={each.id}>
              <th scope="row">{each.webhook}</th>
              <td className="nowrap">{each.type.replace("assay.alert.", "")}</td>
              <td>
                <Chip tone={each.state === "delivered" ? "good" : each.state === "failed" ? "bad" : "plain"}>{each.state}</Chip>{" "}
                <span className="small muted">{each.last_status > 0 ? `HTTP ${each.last_status}` : ""} {each.last_trouble}</span>
              </td>
              <td className="num">{each.attempts}</td>
              <td className="nowrap">{moment(each.created_at)}</td>
              <td className="nowrap">{moment(each.next_at)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const csvColumns = [
  "id", "name", "severity", "state", "text", "value", "threshold", "is_silenced", "is_inhibited", "since", "fired_at", "resolved_at", "told_at", "runbook", "labels",
] as const;
const flat = (each: Alert) => ({ ...each, labels: JSON.stringify(each.labels) });
