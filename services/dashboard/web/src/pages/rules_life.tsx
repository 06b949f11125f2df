// SPDX-License-Identifier: Apache-2.0
// The life of a rule set: backtest, shadow, publish by a second person, roll back. What a step would do is said before it
// is done, and why it cannot be done when it cannot.
import { useMutation, useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { errorText } from "../api";
import { type RuleSet, type SetDifference, rulesApi } from "../api/rules";
import { moment, words } from "../format";
import { useMay, useSession } from "../session";
import { Chip, Fault, Loading, Modal, Panel, type Tone, useSay } from "../ui";
import { thresholdText } from "./rules_text";

export const stateTone: Record<RuleSet["state"], Tone> = { draft: "plain", shadow: "info", published: "good", retired: "plain" };

/** Thresholds in words, all else as it stands in the document. */
const otherText = (name: string, value: unknown): string =>
  name === "thresholds" ? (value ? thresholdText(value) : "as the model has them") : JSON.stringify(value);

export function SetDifferenceView({ the }: { the: SetDifference }) {
  const nothing = the.added.length + the.removed.length + the.changed.length + the.others.length === 0;
  if (nothing) return <p className="muted">They say the same.</p>;
  return (
    <ul className="difference">
      {the.added.map((rule) => (
        <li key={`+${rule.id}`}><Chip tone="good">new</Chip> <strong>{rule.id}</strong> <code className="wrap">{rule.when}</code> → {rule.action}</li>
      ))}
      {the.removed.map((rule) => (
        <li key={`-${rule.id}`}><Chip tone="bad">gone</Chip> <strong>{rule.id}</strong> <code className="wrap">{rule.when}</code> → {rule.action}</li>
      ))}
      {the.changed.map((rule) => (
        <li key={rule.id}>
          <Chip tone="warn">other</Chip> <strong>{rule.id}</strong>
          {Object.keys({ ...rule.from, ...rule.to }).map((name) => (
            <span key={name} className="wrap"> {name}: <code>{String(rule.from[name] ?? "–")}</code> → <code>{String(rule.to[name] ?? "–")}</code></span>
          ))}
        </li>
      ))}
      {the.others.map((other) => (
        <li key={other.name}><Chip tone="warn">other</Chip> <strong>{other.name}</strong> <code className="wrap">{otherText(other.name, other.from)}</code> → <code className="wrap">{otherText(other.name, other.to)}</code></li>
      ))}
    </ul>
  );
}

function Difference({ from, to }: { from: number; to: number }) {
  const asked = useQuery({ queryKey: ["rules", "difference", from, to], queryFn: ({ signal }) => rulesApi.difference(from, to, signal) });
  if (asked.error) return <Fault error={asked.error} />;
  return asked.data ? <SetDifferenceView the={asked.data} /> : <Loading lines={3} />;
}

/** A step with a reason, once more looked at before it is done. */
function Confirm(props: { title: string; button: string; isBad?: boolean; error: unknown; isBusy: boolean; onClose: () => void; onDo: (reason: string) => void; children: ReactNode }) {
  const [reason, setReason] = useState("");
  return (
    <Modal title={props.title} open wide onClose={props.onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          props.onDo(reason.trim());
        }}
      >
        {props.error !== null && props.error !== undefined && <Fault error={props.error} />}
        {props.children}
        <div className="field">
          <label htmlFor="step-reason">Reason, for the audit trail</label>
          <input id="step-reason" className="input" value={reason} onChange={(event) => setReason(event.target.value)} autoComplete="off" />
        </div>
        <div className="actions">
          <button type="button" className="button" onClick={props.onClose}>Cancel</button>
          <button type="submit" className={`button ${props.isBad ? "is-bad" : "primary"}`} disabled={props.isBusy}>{props.button}</button>
        </div>
      </form>
    </Modal>
  );
}

/** Why the one who is logged in cannot publish it; null: can. */
export function whyNotPublish(set: RuleSet, name: string, isPublisher: boolean, isChanged: boolean): string | null {
  if (isChanged) return "Save first: what is published is what was saved.";
  if (set.authors.split(", ").includes(name)) return "You wrote in it. Somebody else has to put it in force: two persons see each rule before it decides.";
  if (!isPublisher) return "This needs the role publisher.";
  return null;
}

/** The buttons of a saved set; `live` is the version in force, null when there is none. */
export function Life({ set, live, isChanged, onStep }: { set: RuleSet; live: RuleSet | null; isChanged: boolean; onStep: () => void }) {
  const me = useSession().user.name;
  const isPublisher = useMay("publisher");
  const isAuthor = useMay("rule_author", "publisher");
  const say = useSay();
  const [open, setOpen] = useState<"publish" | "rollback" | "retire" | null>(null);
  const done = (text: string) => {
    setOpen(null);
    say(text);
    onStep();
  };
  const shadow = useMutation({
    mutationFn: () => rulesApi.shadow(set.version, set.revision),
    onSuccess: () => done(`Version ${set.version} sees every decision now, and decides nothing.`),
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  const prepare = useMutation({
    mutationFn: () => rulesApi.prepare(set.version, set.revision),
    onSuccess: () => done("Its velocities are being computed from the whole log."),
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  const publish = useMutation({
    mutationFn: (reason: string) => rulesApi.publish(set.version, set.revision, live?.version ?? 0, reason),
    onSuccess: () => done(`Version ${set.version} is in force.`),
  });
  const rollBack = useMutation({
    mutationFn: (reason: string) => rulesApi.rollBack(set.version, reason),
    onSuccess: (back) => done(`Version ${back.version} is in force again.`),
  });
  const retire = useMutation({
    mutationFn: () => rulesApi.retire(set.version),
    onSuccess: () => done(`Version ${set.version} is retired.`),
  });
  const canMove = set.state === "draft" || set.state === "shadow";
  const not = whyNotPublish(set, me, isPublisher, isChanged);
  return (
    <>
      {set.state === "draft" && isAuthor && (
        <>
          <button type="button" className="button quiet" disabled={isChanged || prepare.isPending} onClick={() => prepare.mutate()} title="Computes its velocities from the whole log, so that none starts from zero">
            Prepare
          </button>
          <button type="button" className="button" disabled={isChanged || shadow.isPending} onClick={() => shadow.mutate()}>Shadow</button>
        </>
      )}
      {canMove && (
        <button type="button" className="button primary" aria-disabled={not !== null} aria-describedby={not ? "why-not" : undefined} onClick={() => not === null && setOpen("publish")}>
          Publish
        </button>
      )}
      {set.state === "shadow" && isPublisher && <button type="button" className="button" onClick={() => setOpen("retire")}>Retire</button>}
      {set.state === "published" && set.previous !== null && isPublisher && (
        <button type="button" className="button is-bad" onClick={() => setOpen("rollback")}>Roll back</button>
      )}
      {canMove && not && <p className="small muted why-not" id="why-not">{not}</p>}
      {open === "publish" && (
        <Confirm title={`Put version ${set.version} in force`} button="Publish" error={publish.error} isBusy={publish.isPending} onClose={() => setOpen(null)} onDo={(reason) => publish.mutate(reason)}>
          <p>Within a second every process decides by it. By {set.authors}.{live ? ` It takes the place of version ${live.version}:` : " Nothing is in force now."}</p>
          {live && <Difference from={live.version} to={set.version} />}
        </Confirm>
      )}
      {open === "rollback" && (
        <Confirm title={`Back to version ${set.previous}`} button="Roll back" isBad error={rollBack.error} isBusy={rollBack.isPending} onClose={() => setOpen(null)} onDo={(reason) => rollBack.mutate(reason)}>
          <p>Version {set.previous} was in force before, so nobody else needs to agree. What changes:</p>
          <Difference from={set.version} to={set.previous!} />
        </Confirm>
      )}
      {open === "retire" && (
        <Confirm title={`Retire version ${set.version}`} button="Retire" isBad error={retire.error} isBusy={retire.isPending} onClose={() => setOpen(null)} onDo={() => retire.mutate()}>
          <p>It is evaluated no more. It never was in force, and nothing else changes.</p>
        </Confirm>
      )}
    </>
  );
}

/** Which processes decide by it; looked at until all do. */
export function Serving({ set }: { set: RuleSet }) {
  const asked = useQuery({
    queryKey: ["rules", "serving", set.version, set.state],
    queryFn: ({ signal }) => rulesApi.serving(set.version, signal),
    refetchInterval: (query) => (query.state.data && query.state.data.serving < query.state.data.processes ? 1000 : 10000),
    enabled: set.state === "published" || set.state === "shadow",
  });
  if (!asked.data) return null;
  const { processes, serving, lagging } = asked.data;
  return (
    <Chip tone={processes > 0 && serving === processes ? "good" : "warn"}>
      {serving} of {processes} processes{lagging ? `, not ${lagging}` : ""}
    </Chip>
  );
}

export function History({ version }: { version: number }) {
  const asked = useQuery({ queryKey: ["rules", "history", version], queryFn: ({ signal }) => rulesApi.history(version, signal) });
  return (
    <Panel title="Who did what">
      {asked.error && <Fault error={asked.error} />}
      {asked.isPending && <Loading lines={3} />}
      <ul className="timeline">
        {asked.data?.history.map((each, i) => (
          <li key={i}>
            <span className="dot muted" aria-hidden="true" />
            <span>
              <strong>{words(each.action.replace("rules.", ""))}</strong> by {each.actor} <span className="muted small">{moment(each.at)}</span>
              {typeof each.detail.reason === "string" && <span className="wrap"> “{each.detail.reason}”</span>}
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
