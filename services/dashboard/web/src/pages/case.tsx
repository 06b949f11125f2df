// SPDX-License-Identifier: Apache-2.0
// One case: what it is, why it is here, what surrounds it, and the decision by keyboard.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { type Case, type CaseFile, type Outcome, api, errorText } from "../api";
import { clock, due, moment, money, percent, span } from "../format";
import { useNow } from "../now";
import { type Place, placeOf } from "../place";
import { go, href, useRoute } from "../route";
import { useBaseCurrency, useMay, useSession } from "../session";
import { useShortcuts } from "../shortcuts";
import { ActionChip, Blank, Chip, Fault, Kbd, Loading, Panel, useSay, useTitle } from "../ui";
import { outcomes } from "../verdicts";
import { RelatedPanel } from "./related";
import { SnoozeDialog } from "./snooze";
import { TimelinePanel } from "./timeline";
import { VelocityPanel } from "./velocity";
import { VerdictForm } from "./verdict";
import { WhyPanel } from "./why";

export default function CasePage() {
  const { path } = useRoute();
  const id = Number(path[1]);
  const isNumber = Number.isSafeInteger(id) && id > 0;
  useTitle(isNumber ? `Case ${id}` : "Case");
  const file = useQuery({
    queryKey: ["case", id],
    queryFn: ({ signal }) => api.caseFile(id, signal),
    enabled: isNumber,
    refetchInterval: 30000,
  });
  if (!isNumber)
    return (
      <Blank title="There is no such case">
        <a href={href("queue")}>Go to the queue</a>
      </Blank>
    );
  if (file.isPending) return <Loading lines={14} />;
  if (!file.data)
    return (
      <div className="page">
        <Fault error={file.error} again={() => void file.refetch()} />
        <p>
          <a href={href("queue")}>Go to the queue</a>
        </p>
      </div>
    );
  return <CaseView key={id} file={file.data} />;
}

function CaseView({ file }: { file: CaseFile }) {
  const the = file.case;
  const { user, undo_s } = useSession();
  const canDecide = useMay("analyst", "lead");
  const isLead = useMay("lead");
  const say = useSay();
  const queries = useQueryClient();
  const place = placeOf(the.case);
  const [choice, setChoice] = useState<Outcome | null>(null);
  const [isSnoozing, setSnoozing] = useState(false);
  const isOpen = the.state !== "decided";
  const isMine = the.assignee === user.name;
  const isOthers = !!the.assignee && !isMine;
  const mayAct = canDecide && isOpen && (!isOthers || isLead);

  const refresh = () => {
    void queries.invalidateQueries({ queryKey: ["case", the.case] });
    void queries.invalidateQueries({ queryKey: ["cases"] });
  };
  const change = useMutation({
    mutationFn: (act: () => Promise<unknown>) => act(),
    onSuccess: refresh,
    onError: (error) => {
      say(errorText(error), { tone: "bad" });
      refresh();
    },
  });
  const next = useMutation({
    mutationFn: api.nextCase,
    onSuccess: (mine) => {
      void queries.invalidateQueries({ queryKey: ["cases"] });
      if (mine) return go(href(`cases/${mine.case}`));
      say("Nothing more waits.");
      go(href("queue"));
    },
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  const undo = async () => {
    try {
      await api.undo(the.case);
      say(`The decision on case ${the.case} is taken back.`);
      go(href(`cases/${the.case}`));
    } catch (error) {
      say(errorText(error), { tone: "bad" });
    }
    refresh();
  };
  const decided = (outcome: Outcome) => {
    setChoice(null);
    const label = outcomes.find((each) => each.outcome === outcome)!.label.toLowerCase();
    say(`Case ${the.case}: ${label}.`, { undo: () => void undo(), seconds: undo_s });
    refresh();
    next.mutate();
  };

  const focusNote = () => document.getElementById("note")?.focus();
  useShortcuts("Case", [
    ...(mayAct ? outcomes.map((each) => ({ key: each.key, label: `Decide: ${each.label.toLowerCase()}`, run: () => setChoice(each.outcome) })) : []),
    ...(mayAct ? [{ key: "s", label: "Put aside until later", run: () => setSnoozing(true) }] : []),
    ...(mayAct && !isMine ? [{ key: "a", label: "Take it", run: () => change.mutate(() => api.assign(the.case, the.version, user.name)) }] : []),
    ...(canDecide ? [{ key: "n", label: "Write a note", run: focusNote }, { key: "g n", label: "Next case for me", run: () => next.mutate() }] : []),
    { key: "j", label: "Next in the queue", run: () => place.after && go(href(`cases/${place.after}`)) },
    { key: "k", label: "The one before", run: () => place.before && go(href(`cases/${place.before}`)) },
    { key: "Escape", label: "Back to the queue", run: () => (choice ? setChoice(null) : go(href("queue", place.filter))) },
  ]);

  return (
    <div className="case">
      <Strip file={file} place={place} onExtend={isMine && isOpen ? () => change.mutate(() => api.extend(the.case)) : undefined} />
      <div className="case-body">
        <WhyPanel decision={file.decision} />
        <div className="stack">
          <PaymentPanel file={file} />
          <VelocityPanel id={the.case} />
          <TimelinePanel file={file} onNoted={refresh} canNote={canDecide} />
        </div>
        <RelatedPanel file={file} />
      </div>
      {choice && mayAct ? (
        <VerdictForm the={the} outcome={choice} setOutcome={setChoice} onDone={decided} onCancel={() => setChoice(null)} onStale={refresh} />
      ) : (
        <Bar
          the={the} mayAct={mayAct} canDecide={canDecide} isMine={isMine} choose={setChoice} onSnooze={() => setSnoozing(true)}
          onTake={() => change.mutate(() => api.assign(the.case, the.version, user.name))}
          onGiveBack={() => change.mutate(() => api.assign(the.case, the.version, ""))}
          onNext={() => next.mutate()} onUndo={() => void undo()}
        />
      )}
      {isSnoozing && (
        <SnoozeDialog the={the} onClose={() => setSnoozing(false)} onDone={() => { setSnoozing(false); refresh(); next.mutate(); }} />
      )}
    </div>
  );
}

function Strip({ file, place, onExtend }: { file: CaseFile; place: Place; onExtend: (() => void) | undefined }) {
  const the = file.case;
  const base = useBaseCurrency();
  return (
    <header className="strip">
      <div className="what">
        <h1 className="hidden">Case {the.case}</h1>
        <div className="row">
          <span className="amount">{money(the.amount_minor, the.currency)}</span>
          <ActionChip action={the.action} />
          {the.state === "decided" && (
            <Chip tone={the.outcome === "fraud" ? "bad" : the.outcome === "legit" ? "good" : "plain"}>{the.outcome}</Chip>
          )}
          {the.state === "snoozed" && <Chip>put aside until {moment(the.snoozed_until)}</Chip>}
        </div>
        <div className="muted cut">
          {the.merchant_id ? `at ${the.merchant_id}` : "no merchant"}
          {the.channel && `, ${the.channel}`}
          {the.country && `, ${the.country}`} · case {the.case}
        </div>
      </div>
      <Ladder score={the.score} thresholds={file.decision.thresholds} />
      <div className="clocks">
        <dl className="mini">
          <dt>Expected loss</dt>
          <dd>{money(the.expected_loss_base_minor, base)}</dd>
        </dl>
        <Clocks the={the} onExtend={onExtend} />
        <div className="row">
          <a className="button icon" aria-label="The case before" aria-keyshortcuts="K" aria-disabled={!place.before} href={place.before ? href(`cases/${place.before}`) : undefined} role="link">
            K
          </a>
          {place.at >= 0 && (
            <span className="small muted nowrap">
              {place.at + 1} of {place.of}
            </span>
          )}
          <a className="button icon" aria-label="The next case" aria-keyshortcuts="J" aria-disabled={!place.after} href={place.after ? href(`cases/${place.after}`) : undefined} role="link">
            J
          </a>
        </div>
      </div>
    </header>
  );
}

function Clocks({ the, onExtend }: { the: Case; onExtend: (() => void) | undefined }) {
  const now = useNow();
  if (the.state === "decided")
    return (
      <dl className="mini">
        <dt>Decided by</dt>
        <dd>{the.decided_by}</dd>
      </dl>
    );
  const left = due(the.due_at, now);
  const lock = the.locked_until ? (Date.parse(the.locked_until) - now) / 1000 : 0;
  return (
    <>
      <dl className="mini">
        <dt>Due</dt>
        <dd className={left.isLate ? "bad" : left.isSoon ? "warn" : ""}>{left.text}</dd>
      </dl>
      {the.assignee && (
        <dl className="mini">
          <dt>With {the.assignee}</dt>
          <dd>
            {lock > 0 ? <span title={span(lock)}>{clock(lock)}</span> : "not locked"}
            {onExtend && (
              <button type="button" className="button quiet" onClick={onExtend}>
                Extend
              </button>
            )}
          </dd>
        </dl>
      )}
    </>
  );
}

/** The score against the model's thresholds. */
function Ladder({ score, thresholds }: { score: number | null; thresholds: CaseFile["decision"]["thresholds"] }) {
  if (score === null) return <span className="muted">no score</span>;
  const marks = (["challenge", "review", "decline"] as const).flatMap((name) => {
    const at = thresholds?.[name];
    return typeof at === "number" && at <= 1 ? [{ name, at }] : [];
  });
  const passed = [...marks].reverse().find((mark) => score >= mark.at)?.name;
  const tone = passed === "decline" ? "bad" : passed === "review" ? "warn" : passed === "challenge" ? "info" : "good";
  return (
    <div className="ladder" role="img" aria-label={`Score ${percent(score)}; ${marks.map((mark) => `${mark.name} from ${percent(mark.at)}`).join(", ") || "no thresholds"}`}>
      <div className="row small">
        <span className="strong">Score {percent(score)}</span>
      </div>
      <div className="scale">
        <div className={`reach ${tone}`} style={{ width: `${score * 100}%` }} />
        {marks.map((mark) => (
          <div className="mark" key={mark.name} style={{ left: `${mark.at * 100}%` }} />
        ))}
      </div>
      <div className="legend">
        {marks.map((mark) => (
          <span key={mark.name}>
            {mark.name} {percent(mark.at)}
          </span>
        ))}
      </div>
    </div>
  );
}

const factOrder = [
  "transaction_id", "occurred_at", "customer_id", "card_id", "merchant_id", "terminal_id", "mcc", "channel", "country", "ip",
  "device_id", "email_hash",
];

function PaymentPanel({ file }: { file: CaseFile }) {
  const the = file.case;
  const [isRaw, setRaw] = useState(false);
  const { decision } = file;
  const facts = factOrder.filter((name) => file.payment[name] !== null && file.payment[name] !== undefined && file.payment[name] !== "");
  const attributes = Object.entries((file.payment.attributes ?? {}) as Record<string, unknown>);
  const searchable = ["customer_id", "card_id", "merchant_id", "ip", "device_id"];
  return (
    <Panel
      title="Payment"
      tools={
        <button type="button" className="button quiet" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
          Raw
        </button>
      }
    >
      {isRaw ? (
        <div className="raw">
          <pre tabIndex={0}>{JSON.stringify({ payment: file.payment, decision: file.decision, case: file.case }, null, 2)}</pre>
        </div>
      ) : (
        <dl className="facts">
          {facts.map((name) => {
            const text = name === "occurred_at" ? moment(String(file.payment[name])) : String(file.payment[name]);
            return (
              <Fact key={name} name={name.replace(/_id$/, "").replace(/_/g, " ")}>
                {searchable.includes(name) ? <a href={href("queue", { state: "all", entity: text })}>{text}</a> : text}
              </Fact>
            );
          })}
          {attributes.map(([name, value]) => (
            <Fact key={name} name={name.replace(/_/g, " ")}>
              {String(value)}
            </Fact>
          ))}
          <Fact name="account">{the.account}</Fact>
          <Fact name="decided">
            {moment(decision.decided_at)} by model {decision.model_version || "none"} ({decision.arm || "no arm"}), rules {decision.ruleset_version || "none"}
          </Fact>
          {decision.degraded.length > 0 && (
            <Fact name="missing then">
              <span className="warn">{decision.degraded.join(", ")}</span>
            </Fact>
          )}
        </dl>
      )}
    </Panel>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

interface BarProps {
  the: Case;
  mayAct: boolean;
  canDecide: boolean;
  isMine: boolean;
  choose: (outcome: Outcome) => void;
  onSnooze: () => void;
  onTake: () => void;
  onGiveBack: () => void;
  onNext: () => void;
  onUndo: () => void;
}

function Bar(props: BarProps) {
  const { the } = props;
  const { user } = useSession();
  const now = useNow();
  if (!props.canDecide) return null;
  const undoLeft = the.effective_at && the.decided_by === user.name && !the.is_applied ? (Date.parse(the.effective_at) - now) / 1000 : 0;
  return (
    <div className="verdict-bar" role="toolbar" aria-label="Decision">
      {props.mayAct &&
        outcomes.map((each) => (
          <button key={each.outcome} type="button" className={`button is-${each.tone}`} onClick={() => props.choose(each.outcome)}>
            {each.label} <Kbd>{each.key}</Kbd>
          </button>
        ))}
      {props.mayAct && (
        <>
          <button type="button" className="button quiet" onClick={props.onSnooze}>
            Put aside <Kbd>S</Kbd>
          </button>
          {props.isMine ? (
            <button type="button" className="button quiet wide-only" onClick={props.onGiveBack}>
              Give back
            </button>
          ) : (
            <button type="button" className="button quiet" onClick={props.onTake}>
              {the.assignee ? `Take from ${the.assignee}` : "Take"} <Kbd>A</Kbd>
            </button>
          )}
        </>
      )}
      {!props.mayAct && the.state !== "decided" && <span className="muted">{the.assignee} works on this; a lead can take it.</span>}
      {the.state === "decided" && (
        <span className="muted">
          {the.decided_by} decided {moment(the.decided_at)}: {the.outcome}, {the.reason?.replace(/_/g, " ")}
        </span>
      )}
      {undoLeft > 0 && (
        <button type="button" className="button" onClick={props.onUndo}>
          Undo {Math.ceil(undoLeft)} s
        </button>
      )}
      <span className="grow wide-only" />
      <button type="button" className="button" onClick={props.onNext}>
        Next for me
      </button>
    </div>
  );
}
