// SPDX-License-Identifier: Apache-2.0
// One rule set: its rules on the left, what they would have done beside them while they are written, its life above.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { errorText } from "../api";
import { type Answer, type Document, type Fault as RuleFault, type Missing, type Rule, type RuleSet, type Trial, rulesApi } from "../api/rules";
import { compact, count, moment, percent } from "../format";
import { go, href, swap } from "../route";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, Panel, useSay, useTitle } from "../ui";
import Condition from "./rules_condition";
import { Changes, DayBars, Matches, ReviewLoad, RuleFiguresView, Sides } from "./rules_figures";
import { Backtests, wishText } from "./rules_backtests";
import { History, Life, Serving, SetDifferenceView, stateTone } from "./rules_life";
import { type Offer, freshId, lintsOf, offersOf, placeOf, plainly, saidOf, tidy } from "./rules_text";
import { ListsAsked, Thresholds } from "./rules_thresholds";

const spans = [7, 30, 180];
const empty: Document = { missing: { score: "open", features: "open" }, rules: [] };

/** What was typed a moment ago. */
function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(value), ms);
    return () => window.clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** A version, or a new draft, perhaps from another version. */
export default function RulesEditor({ version, base }: { version: number | null; base: number | null }) {
  const wanted = version ?? base;
  const asked = useQuery({
    queryKey: ["rules", "set", wanted],
    queryFn: ({ signal }) => rulesApi.set(wanted!, signal),
    enabled: wanted !== null,
    refetchOnWindowFocus: false,
  });
  if (wanted !== null && asked.isPending) return <Loading />;
  if (asked.error) return <div className="page"><Fault error={asked.error} again={() => void asked.refetch()} /></div>;
  return <Sheet key={asked.data && version ? `${version} ${asked.data.revision}` : "new"} set={version ? asked.data! : null} base={asked.data ?? null} />;
}

function Sheet({ set, base }: { set: RuleSet | null; base: RuleSet | null }) {
  const saved = base?.document ?? empty;
  const isAuthor = useMay("rule_author");
  const isOpen = isAuthor && (set === null || set.state === "draft");
  const say = useSay();
  const queries = useQueryClient();
  const [document, setDocument] = useState<Document>(saved);
  const [note, setNote] = useState(set?.note ?? "");
  const [selected, setSelected] = useState(0);
  const [days, setDays] = useState(30);
  const [report, setReport] = useState<number | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const isEmpty = document.rules.length === 0 && document.thresholds === undefined;
  const tidied = useMemo(() => tidy(document), [document]);
  const isChanged = set === null || note !== set.note || JSON.stringify(tidied) !== JSON.stringify(tidy(saved));
  useTitle(set ? `Rules, version ${set.version}` : "Rules, new draft");

  const live = useQuery({
    queryKey: ["rules", "live"],
    queryFn: async ({ signal }) => (await rulesApi.sets(null, signal)).rulesets.filter((each) => each.account === ""),
  });
  const inForce = live.data?.find((each) => each.state === "published") ?? null;
  const settled = useSettled(tidied, 250);
  const isBlank = settled.rules.length === 0 && settled.thresholds === undefined;
  const checked = useQuery({
    queryKey: ["rules", "check", settled],
    queryFn: ({ signal }) => rulesApi.check(settled, signal),
    enabled: isOpen && !isBlank,
    placeholderData: keepPreviousData,
    retry: false,
  });
  const faults = !isBlank ? (checked.data?.faults ?? []) : [];
  const rule = document.rules[Math.min(selected, document.rules.length - 1)];
  const trial = useTrial(settled, days, rule?.id ?? "", !isBlank && faults.length === 0 && (!isOpen || checked.isSuccess));
  const full = useQuery({ queryKey: ["rules", "report", report], queryFn: ({ signal }) => rulesApi.backtest(report!, signal), enabled: report !== null, staleTime: Infinity });
  const answer = report !== null ? full.data?.answer : trial.data?.answer;

  const change = (at: number, more: Partial<Rule>) =>
    setDocument((now) => ({ ...now, rules: now.rules.map((each, i) => (i === at ? { ...each, ...more } : each)) }));
  const add = (copy?: Rule) => {
    setSelected(document.rules.length);
    setDocument((now) => ({ ...now, rules: [...now.rules, copy ? { ...copy, id: freshId(now.rules, `${copy.id}_copy`) } : { id: freshId(now.rules), when: "", action: "review", priority: 50 }] }));
    requestAnimationFrame(() => window.document.querySelector<HTMLElement>(".rules-list > li:last-child [role=combobox]")?.focus());
  };
  const remove = (at: number) => {
    setDocument((now) => ({ ...now, rules: now.rules.filter((_, i) => i !== at) }));
    setSelected(Math.max(0, at - 1));
  };
  const again = () => void queries.invalidateQueries({ queryKey: ["rules"] });
  const save = useMutation({
    mutationFn: (allowUnknown: boolean) =>
      set ? rulesApi.edit(set.version, set.revision, tidied, note, allowUnknown) : rulesApi.draft(tidied, note, allowUnknown),
    onSuccess: (kept) => {
      setProblem(null);
      say(`Kept as version ${kept.version}, revision ${kept.revision}.`);
      again();
      if (!set) swap(href(`rules/${kept.version}`));
    },
    onError: setProblem,
  });
  const discard = useMutation({
    mutationFn: () => rulesApi.discard(set!.version, set!.revision),
    onSuccess: () => {
      say(`Draft ${set!.version} is gone.`);
      again();
      go(href("rules"));
    },
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  const canSave = isOpen && isChanged && faults.length === 0 && !isEmpty && !save.isPending;
  useShortcuts("Rule set", [
    ...(isOpen ? [{ key: "mod+s", label: "Save the draft", run: () => canSave && save.mutate(false) }, { key: "n", label: "Add a rule", run: () => add() }] : []),
    { key: "j", label: "Next rule", run: () => setSelected((now) => Math.min(document.rules.length - 1, now + 1)) },
    { key: "k", label: "Rule before", run: () => setSelected((now) => Math.max(0, now - 1)) },
  ]);

  return (
    <div className="page rules">
      <header>
        <h1>{set ? `Version ${set.version}` : "New draft"}</h1>
        {set && <Chip tone={stateTone[set.state]}>{set.state}</Chip>}
        {set && <Serving set={set} />}
        <span className="muted small">
          {set ? `revision ${set.revision}, by ${set.authors}${set.approver ? `, approved by ${set.approver}` : ""}, ${moment(set.updated_at)}` : base ? `from version ${base.version}` : "from nothing"}
        </span>
        <span className="grow" />
        <Stages set={set} />
      </header>
      <div className="row steps" role="toolbar" aria-label="What is done with it">
        {isOpen && (
          <>
            <button type="button" className="button primary" disabled={!canSave} onClick={() => save.mutate(false)}>
              {set ? "Save" : "Save draft"} <Kbd>Ctrl S</Kbd>
            </button>
            {faults.length > 0 && <span className="bad small">{faults.length === 1 ? "1 fault" : `${faults.length} faults`}</span>}
          </>
        )}
        {set && <Life set={set} live={inForce} isChanged={isOpen && isChanged} onStep={again} />}
        {set && !isOpen && isAuthor && <a className="button" href={href(`rules/new/${set.version}`)}>New draft from it</a>}
        {set?.state === "draft" && isAuthor && (
          <button type="button" className="button quiet" disabled={discard.isPending} onClick={() => discard.mutate()}>Discard</button>
        )}
        {isOpen && (
          <label className="row grow note">
            <span className="small muted">Note</span>
            <input className="input" value={note} onChange={(event) => setNote(event.target.value)} maxLength={500} placeholder="What it is for" />
          </label>
        )}
      </div>
      {problem !== null && (
        <div className="stack">
          <Fault error={problem} />
          {/no feature|no list|is not (there|served)|not computed/i.test(errorText(problem)) && (
            <span><button type="button" className="button" onClick={() => save.mutate(true)}>Save all the same</button></span>
          )}
        </div>
      )}
      <div className="rules-body">
        <section className="panel" aria-label="Rules">
          <header>
            <h2>{document.rules.length === 1 ? "1 rule" : `${count(document.rules.length)} rules`}</h2>
            {isOpen && <button type="button" className="button" onClick={() => add()}>Add a rule <Kbd>N</Kbd></button>}
          </header>
          <RuleList document={document} faults={faults} isOpen={isOpen} selected={selected} answer={answer} days={days} onSelect={setSelected} onChange={change} onAdd={add} onRemove={remove} />
          <Thresholds document={document} isOpen={isOpen} onChange={(thresholds) => setDocument(({ thresholds: _, ...now }) => (thresholds ? { ...now, thresholds } : now))} />
          <ListsAsked document={document} />
          <WithoutAnswer document={document} isOpen={isOpen} onChange={(missing) => setDocument((now) => ({ ...now, missing }))} />
        </section>
        <div className="stack">
          <Panel
            title={report !== null ? `Backtest ${report}, ${full.data ? wishText(full.data.question) : "the whole history"}` : `What it would have done, last ${days} days`}
            tools={
              report !== null ? (
                <button type="button" className="button" onClick={() => setReport(null)}>Back to the draft</button>
              ) : (
                <span className="row" role="group" aria-label="Days">
                  {spans.map((each) => (
                    <button type="button" key={each} className="button quiet" aria-pressed={days === each} onClick={() => setDays(each)}>{each} d</button>
                  ))}
                </span>
              )
            }
          >
            <Figures rule={rule} answer={answer} trial={report === null ? trial.data : undefined} error={report !== null ? full.error : trial.error} hasFaults={faults.length > 0} isStale={report === null && (trial.isPlaceholderData || settled !== tidied)} />
          </Panel>
          {answer && answer.report.span.decisions > 0 && (
            <Panel title={`Against ${answer.report.compared.name}`}>
              <div className="stack">
                <Sides report={answer.report} />
                <ReviewLoad report={answer.report} />
                <Changes answer={answer} />
              </div>
            </Panel>
          )}
        </div>
        <div className="stack">
          {rule && answer && <Panel title={`Payments that ${rule.id} hits`}>{<MatchesOf id={rule.id} answer={answer} />}</Panel>}
          {set && <Backtests set={set} isChanged={isOpen && isChanged} shown={report} onShow={setReport} />}
          {set && inForce && inForce.version !== set.version && <AgainstLive version={set.version} live={inForce.version} />}
          {rule && <LiveHits id={rule.id} sets={live.data ?? []} />}
          {set && <History version={set.version} />}
        </div>
      </div>
    </div>
  );
}

/** One draft over the newest days: asked again while the history is being opened. */
function useTrial(document: Document, days: number, rule: string, isReady: boolean) {
  const settled = useSettled(document, 250);
  return useQuery<Trial>({
    queryKey: ["rules", "trial", settled, days, rule],
    queryFn: ({ signal }) => rulesApi.try(settled, days, rule, signal),
    enabled: isReady && settled === document,
    placeholderData: keepPreviousData,
    refetchInterval: (query) => (query.state.data?.state === "opening" ? 700 : false),
    refetchOnWindowFocus: false,
    staleTime: 60000,
    retry: false,
  });
}

/** Where it is on its way. */
function Stages({ set }: { set: RuleSet | null }) {
  const tried = useQuery({ queryKey: ["rules", "backtests", set?.version], queryFn: ({ signal }) => rulesApi.backtests(set!.version, signal), enabled: !!set });
  const isTried = !!tried.data?.backtests.some((each) => each.state === "done" && each.revision === set?.revision);
  const stages = [
    { name: "draft", isDone: !!set },
    { name: "backtest", isDone: isTried },
    { name: "shadow", isDone: !!set?.shadowed_at },
    { name: "published", isDone: !!set?.published_at },
    { name: "retired", isDone: set?.state === "retired" },
  ];
  return (
    <ol className="stages" aria-label="Its way so far">
      {stages.map((each) => (
        <li key={each.name} className={each.isDone ? "done" : ""}>
          {each.name}
          <span className="hidden">{each.isDone ? ", done" : ", not yet"}</span>
        </li>
      ))}
    </ol>
  );
}

function Figures(props: { rule: Rule | undefined; answer: Answer | undefined; trial: Trial | undefined; error: unknown; hasFaults: boolean; isStale: boolean }) {
  const { rule, answer, trial } = props;
  if (props.error) return <Fault error={props.error} />;
  if (trial?.state === "opening")
    return (
      <div className="stack" role="status">
        <p>The history is being opened{trial.total ? `: ${percent((trial.done ?? 0) / trial.total)} of ${count(trial.total)} decisions` : ""}. It stays open while somebody writes.</p>
        <progress max={trial.total || undefined} value={trial.total ? trial.done : undefined} aria-label="The history is being opened" />
      </div>
    );
  if (!answer && props.hasFaults) return <p className="muted">Figures come when the faults are gone.</p>;
  if (!answer) return rule ? <Loading lines={5} /> : <Blank title="Nothing to try"><p>Add a rule: as you write, it is tried on the payments of the last days.</p></Blank>;
  if (answer.report.span.decisions === 0) return <Blank title="Nothing was decided in this span"><p>A rule is tried on decisions of the past. As soon as payments are decided, there are figures here.</p></Blank>;
  const figures = answer.report.rules.find((each) => each.id === rule?.id);
  return (
    <div className={props.isStale ? "stack stale" : "stack"} aria-busy={props.isStale}>
      <p className="small muted" role="status">
        {rule ? <strong>{rule.id}</strong> : "The whole set"}, {count(answer.report.span.decisions * answer.report.sample)} decisions
        {answer.report.sample > 1 ? `, one in ${answer.report.sample} looked at` : ""}, {answer.report.span.mature_days} of {answer.report.span.days} days with mature labels
        {props.hasFaults ? "; as it was before the fault" : props.isStale ? "; being worked out" : `; ${answer.run_seconds.toFixed(2)} s`}
      </p>
      {figures ? <RuleFiguresView rule={figures} report={answer.report} /> : rule && <p className="muted">It is switched off, or not in what was tried.</p>}
    </div>
  );
}

function MatchesOf({ id, answer }: { id: string; answer: Answer }) {
  const figures = answer.report.rules.find((each) => each.id === id);
  return figures ? <Matches rule={figures} /> : <p className="muted small">It is switched off, or not in what was tried.</p>;
}

/* ---- rules ---- */

interface ListProps {
  document: Document;
  faults: RuleFault[];
  isOpen: boolean;
  selected: number;
  answer: Answer | undefined;
  days: number;
  onSelect: (at: number) => void;
  onChange: (at: number, more: Partial<Rule>) => void;
  onAdd: (copy: Rule) => void;
  onRemove: (at: number) => void;
}

function RuleList(props: ListProps) {
  const names = useQuery({ queryKey: ["rules", "names"], queryFn: ({ signal }) => rulesApi.names(signal), staleTime: 300000 });
  const listed = useQuery({ queryKey: ["rules", "lists"], queryFn: ({ signal }) => rulesApi.lists(signal), staleTime: 60000 });
  const offers = useMemo(() => offersOf(names.data), [names.data]);
  const lists = useMemo<Offer[]>(() => {
    const there = (listed.data?.lists ?? []).map((each): Offer => ({ text: each.list, type: each.type, about: each.note || each.purpose, kind: "list" }));
    const declared = (props.document.lists ?? []).filter((each) => !there.some((other) => other.text === each.name));
    return [...there, ...declared.map((each): Offer => ({ text: each.name, type: each.type ?? "string", about: each.note ?? "made when it is saved", kind: "list" }))];
  }, [listed.data, props.document.lists]);
  const general = props.faults
    .filter((each) => placeOf(each) === null)
    .map((each) => <p className="bad body" key={each.pointer + each.detail}>{each.pointer}: {each.detail}</p>);
  if (props.document.rules.length === 0)
    return (
      <>
        {general}
        <Blank title="No rule yet">
          <p>A condition on one line, and what is done when it holds. Fields begin with <code>tx.</code>, velocities are calls like <code>count(card, "10m")</code>; Ctrl-Space lists all names.</p>
        </Blank>
      </>
    );
  return (
    <>
      {general}
      <ol className="rules-list">
        {props.document.rules.map((rule, at) => (
          <RuleRow key={at} {...props} rule={rule} at={at} offers={offers} lists={lists} />
        ))}
      </ol>
    </>
  );
}

const actions = ["approve", "challenge", "review", "decline", "tag"] as const;

function RuleRow(props: ListProps & { rule: Rule; at: number; offers: Offer[]; lists: Offer[] }) {
  const { rule, at, isOpen } = props;
  const isSelected = props.selected === at;
  const faults = props.faults.filter((each) => placeOf(each)?.rule === at);
  const figures = props.answer?.report.rules.find((each) => each.id === rule.id);
  const lints = isSelected ? lintsOf(rule, figures, props.answer, props.days) : [];
  const change = (more: Partial<Rule>) => props.onChange(at, more);
  const name = rule.id || `rule ${at + 1}`;
  return (
    <li className={`rule ${isSelected ? "selected" : ""} ${rule.enabled === false ? "off" : ""}`}>
      <div className="head">
        <button type="button" className="link strong cut" aria-pressed={isSelected} aria-label={`Show ${name}`} onClick={() => props.onSelect(at)}>{name}</button>
        {rule.name && <span className="muted small cut grow">{rule.name}</span>}
        {rule.shadow && <Chip tone="info">shadow</Chip>}
        {rule.enabled === false && <Chip>off</Chip>}
        {figures && figures.errors > 0 && <Chip tone="warn">errs {compact(figures.errors * props.answer!.report.sample)} times</Chip>}
        <Chip tone={{ approve: "good", challenge: "info", review: "warn", decline: "bad", tag: "plain" }[rule.action] as "good"}>{rule.action}</Chip>
        <span className="small muted">{rule.priority ?? 0}</span>
      </div>
      <Condition
        label={`Condition of ${name}`} value={rule.when} offers={props.offers} lists={props.lists} isWrong={faults.length > 0} readOnly={!isOpen}
        describedBy={faults.length ? `faults-${at}` : undefined} onChange={(when) => change({ when })} onFocus={() => props.onSelect(at)}
      />
      {faults.length > 0 && (
        <div id={`faults-${at}`} className="faults">
          {faults.map((each) => (
            <div key={each.pointer + each.detail}>
              <p className="bad small">{placeOf(each)?.member && placeOf(each)?.member !== "when" ? `${placeOf(each)?.member}: ` : ""}{plainly(saidOf(each).text)}</p>
              {each.detail.includes("\n") && <pre aria-hidden="true">{each.detail.split("\n").slice(1).map((line) => line.replace(/^ \| ?/, "")).join("\n")}</pre>}
            </div>
          ))}
        </div>
      )}
      {lints.map((each) => (
        <p key={each.text} className={`small lint ${each.tone}`}>{each.text}</p>
      ))}
      {isSelected && <RuleDetail {...props} change={change} />}
    </li>
  );
}

function RuleDetail({ rule, at, isOpen, change, onAdd, onRemove }: ListProps & { rule: Rule; at: number; change: (more: Partial<Rule>) => void }) {
  const text = (label: string, member: "id" | "name" | "reason" | "public_reason" | "owner" | "tag", about = "") => (
    <label className="field">
      <span className="label">{label}</span>
      <input className="input" value={rule[member] ?? ""} readOnly={!isOpen} placeholder={about} spellCheck={member !== "id"} autoComplete="off" onChange={(event) => change({ [member]: event.target.value })} />
    </label>
  );
  return (
    <div className="detail">
      <div className="quad">
        {text("Id", "id")}
        <label className="field">
          <span className="label">Action</span>
          <select className="input" value={rule.action} disabled={!isOpen} onChange={(event) => change({ action: event.target.value as Rule["action"] })}>
            {actions.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label className="field">
          <span className="label">Priority</span>
          <input className="input" type="number" step={1} value={rule.priority ?? 0} readOnly={!isOpen} onChange={(event) => change({ priority: Math.round(Number(event.target.value) || 0) })} />
        </label>
        {text("Owner", "owner")}
      </div>
      <div className="pair">
        {text("Name", "name")}
        {rule.action === "tag" ? text("Tag", "tag", "its id, if nothing is said") : text("Public reason", "public_reason", "not public, if nothing is said")}
      </div>
      {text("Reason, for analysts", "reason", "{tx.amount} stands for the value")}
      <div className="row">
        <label className="row choice">
          <input type="checkbox" checked={rule.enabled !== false} disabled={!isOpen} onChange={(event) => change({ enabled: event.target.checked })} /> on
        </label>
        <label className="row choice">
          <input type="checkbox" checked={rule.shadow === true} disabled={!isOpen} onChange={(event) => change({ shadow: event.target.checked })} /> in shadow: told, and decides nothing
        </label>
        <span className="grow" />
        {isOpen && (
          <>
            <button type="button" className="button quiet" onClick={() => onAdd(rule)}>Copy</button>
            <button type="button" className="button quiet" onClick={() => onRemove(at)}>Remove</button>
          </>
        )}
      </div>
    </div>
  );
}

const ways: Missing[] = ["open", "challenge", "review", "closed"];

/** What is done at least when the model, or the customer's history, did not answer. */
function WithoutAnswer({ document, isOpen, onChange }: { document: Document; isOpen: boolean; onChange: (missing: Document["missing"]) => void }) {
  const one = (label: string, member: "score" | "features") => (
    <label className="field">
      <span className="label">{label}</span>
      <select className="input" disabled={!isOpen} value={document.missing?.[member] ?? "open"} onChange={(event) => onChange({ ...document.missing, [member]: event.target.value as Missing })}>
        {(ways.includes(document.missing?.[member] ?? "open") ? ways : [...ways, document.missing![member]!]).map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    </label>
  );
  return (
    <div className="body missing">
      <p className="small muted">When no rule speaks, the thresholds decide. At least this is done when</p>
      <div className="pair">
        {one("the model does not answer", "score")}
        {one("the features do not answer", "features")}
      </div>
    </div>
  );
}

/* ---- beside it ---- */

function AgainstLive({ version, live }: { version: number; live: number }) {
  const asked = useQuery({ queryKey: ["rules", "difference", live, version], queryFn: ({ signal }) => rulesApi.difference(live, version, signal) });
  return (
    <Panel title={`What is other than in version ${live}, which is in force`}>
      {asked.error && <Fault error={asked.error} />}
      {asked.data ? <SetDifferenceView the={asked.data} /> : <Loading lines={2} />}
    </Panel>
  );
}

/** How often the rule held in what was really decided: each decision once more by the set of its time. */
function LiveHits({ id, sets }: { id: string; sets: RuleSet[] }) {
  const [isShown, setIsShown] = useState(false);
  const asked = useQuery({
    queryKey: ["rules", "as it was"],
    queryFn: ({ signal }) => rulesApi.tryAsItWas(90, signal),
    enabled: isShown,
    refetchInterval: (query) => (query.state.data?.state === "opening" ? 700 : false),
    staleTime: 60000,
  });
  const report = asked.data?.answer?.report;
  const figures = report?.rules.find((each) => each.id === id);
  const marks = sets.filter((each) => each.published_at).map((each) => ({ day: each.published_at!.slice(0, 10), text: `version ${each.version} in force` }));
  return (
    <details className="panel" onToggle={(event) => setIsShown(event.currentTarget.open)}>
      <summary className="panel-summary">Hits while in force, last 90 days</summary>
      <div className="body">
        {asked.error && <Fault error={asked.error} />}
        {isShown && !report && !asked.error && <Loading lines={2} />}
        {report && !figures && <p className="muted small">No set that was in force in this time has a rule of this id.</p>}
        {report && figures && (
          <div className="stack tight">
            <p className="small muted">Each decision once more by the set of its time{report.sample > 1 ? `, one in ${report.sample} looked at` : ""}; a mark where a version came into force.</p>
            {figures.errors > 0 && <p className="small lint warn">It erred for {report.sample > 1 ? "about " : ""}{count(figures.errors * report.sample)} payments, and did not match there.</p>}
            <DayBars label={`Hits of ${id} in force`} days={report.days} values={figures.by_day.map((each) => each * report.sample)} marks={marks} />
          </div>
        )}
      </div>
    </details>
  );
}
