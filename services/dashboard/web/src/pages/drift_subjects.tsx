// SPDX-License-Identifier: Apache-2.0
// Every subject that is watched, against its noise floor: what stands out first.
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useEffect, useRef, useState } from "react";
import { type Drift, type Judging, type SubjectKind, type Verdict, type WatchedModel, watch } from "../api/drift";
import { saveCsv } from "../csv";
import { count, moment, percent } from "../format";
import { go, href, swap, useRoute } from "../route";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, Panel } from "../ui";
import { figure, shareBefore, times, timesNoise } from "./drift_figures";

const Subject = lazy(() => import("./drift_subject"));

const groups: { name: string; kinds: SubjectKind[] }[] = [
  { name: "All", kinds: [] },
  { name: "Features", kinds: ["feature"] },
  { name: "Score and actions", kinds: ["score", "action"] },
  { name: "Fields", kinds: ["field"] },
  { name: "Segments", kinds: ["segment_score", "segment_action"] },
];

const spans = [
  { hours: "", label: "Newest window" },
  { hours: "24", label: "24 hours" },
  { hours: "168", label: "7 days" },
  { hours: "720", label: "30 days" },
];

export const kindText: Record<SubjectKind, string> = {
  feature: "feature",
  score: "score",
  action: "actions",
  field: "field",
  segment_score: "score within",
  segment_action: "actions within",
};

export const subjectKey = (the: Verdict): string => `${the.kind}/${the.field ?? ""}/${the.name}`;

export default function Subjects({ lane }: { lane: number }) {
  const { query } = useRoute();
  const hours = query.get("hours") ?? "";
  const asked = useQuery({
    queryKey: ["drift", lane, hours],
    queryFn: ({ signal }) => watch.drift(lane, hours ? Number(hours) : null, signal),
    refetchInterval: 30000,
    placeholderData: (before) => before,
  });
  const set = (members: Record<string, string>) => {
    const all = Object.fromEntries(query);
    return href("drift", { ...all, ...members });
  };
  return (
    <>
      <div className="filters">
        <div className="row" role="group" aria-label="How far back">
          {spans.map((each) => (
            <button
              key={each.hours} type="button" className="button" aria-pressed={each.hours === hours}
              onClick={() => go(set({ hours: each.hours, subject: "" }))}
            >
              {each.label}
            </button>
          ))}
        </div>
      </div>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading lines={10} />}
      {asked.data && asked.data.models.length === 0 && (
        <div className="panel">
          <Blank title="No model has decided here">
            <p>
              Once a model is champion and payments are decided by it, its first decisions become the reference for what its bundle
              does not know, and each window of decisions is judged against it.
            </p>
            <p>
              Train one: <code>assay train FILE --promote</code>
            </p>
          </Blank>
        </div>
      )}
      {asked.data && asked.data.models.length > 0 && <Models the={asked.data} set={set} isSpan={hours !== ""} />}
    </>
  );
}

function Models({ the, set, isSpan }: { the: Drift; set: (members: Record<string, string>) => string; isSpan: boolean }) {
  const { query } = useRoute();
  const named = Number(query.get("version"));
  const model = the.models.find((each) => each.version === named) ?? the.models[0]!;
  const group = groups.find((each) => each.name === query.get("group")) ?? groups[0]!;
  const subjects = model.subjects.filter((each) => group.kinds.length === 0 || group.kinds.includes(each.kind));
  const chosen = model.subjects.find((each) => subjectKey(each) === query.get("subject"));
  const open = (each: Verdict | null) => swap(set({ subject: each ? subjectKey(each) : "" }));
  return (
    <>
      <Summary model={model} judging={the.judging} isSpan={isSpan} />
      <div className="filters">
        {the.models.length > 1 && (
          <select className="input" aria-label="Model" value={model.version} onChange={(event) => go(set({ version: event.target.value, subject: "" }))}>
            {the.models.map((each) => (
              <option key={each.version} value={each.version}>
                {each.name} version {each.version}
              </option>
            ))}
          </select>
        )}
        <div className="row" role="group" aria-label="Which subjects">
          {groups.map((each) => (
            <button key={each.name} type="button" className="button quiet" aria-pressed={each === group} onClick={() => swap(set({ group: each.name }))}>
              {each.name}
            </button>
          ))}
        </div>
        <span className="grow" />
        <button type="button" className="button" disabled={subjects.length === 0} onClick={() => saveCsv("drift.csv", csvColumns, subjects)}>
          CSV
        </button>
      </div>
      <div className={chosen ? "drift-split" : ""}>
        <SubjectTable subjects={subjects} judging={the.judging} model={model} chosen={chosen ?? null} open={open} />
        {chosen && (
          <Suspense fallback={<Panel title={chosen.name}><Loading lines={8} /></Panel>}>
            <Subject
              key={`${model.version}/${subjectKey(chosen)}`} the={chosen} lane={the.lane} version={model.version}
              judging={the.judging} onClose={() => open(null)}
            />
          </Suspense>
        )}
      </div>
    </>
  );
}

/** What all of it says, in one sentence; and by which rule. */
function Summary({ model, judging, isSpan }: { model: WatchedModel; judging: Judging; isSpan: boolean }) {
  const alarms = model.subjects.filter((each) => each.is_alarm).length;
  const beyond = model.subjects.filter((each) => each.is_beyond).length;
  const first = model.subjects[0];
  return (
    <section className="panel drift-summary" aria-label="Summary">
      <p className="row">
        {alarms > 0 ? (
          <Chip tone="bad">{alarms === 1 ? "1 subject drifts" : `${count(alarms)} subjects drift`}</Chip>
        ) : beyond > 0 ? (
          <Chip tone="warn">{beyond === 1 ? "1 is beyond its noise" : `${count(beyond)} are beyond their noise`}</Chip>
        ) : (
          <Chip tone="good">nothing has changed by more than noise</Chip>
        )}
        <span>
          {model.name} version {model.version}
          {first
            ? `, ${first.window ? `window ${count(first.window)}` : "the last hours"} until ${moment(first.at)}, ${count(Math.max(...model.subjects.map((each) => each.rows)))} decisions`
            : `: window ${count(model.open_window)} is being filled, none has been judged`}
        </span>
      </p>
      {!model.has_histograms && (
        <p className="warn">
          Its bundle does not say what it was trained on, so of its features only missing values are watched. Train it again.
        </p>
      )}
      <p className="small muted">
        The shaded part of each bar is what chance alone seldom exceeds in a window of this size. An effect is believed when it is beyond
        that (Benjamini-Hochberg over all subjects, {percent(judging.alpha)} of windows at most) and counts when it is at least{" "}
        {judging.js} bits, {percent(judging.missing)} of missing or {percent(judging.unseen)} of unseen values.{" "}
        {isSpan ? "A stretch of hours is judged as one window, and makes no alarm." : `It drifts when that holds in ${judging.windows} windows running.`}
      </p>
    </section>
  );
}

function SubjectTable(props: {
  subjects: Verdict[];
  judging: Judging;
  model: WatchedModel;
  chosen: Verdict | null;
  open: (each: Verdict | null) => void;
}) {
  const { subjects, chosen, open } = props;
  const box = useRef<HTMLTableSectionElement>(null);
  const [at, setAt] = useState(0);
  const here = Math.min(at, subjects.length - 1);
  const move = (by: number) => {
    const rows = box.current?.querySelectorAll<HTMLElement>("tr");
    if (!rows?.length) return;
    const isInside = box.current!.contains(document.activeElement);
    const to = Math.max(0, Math.min(rows.length - 1, here + (isInside ? by : 0)));
    setAt(to);
    rows[to]!.querySelector<HTMLElement>("button")?.focus();
    rows[to]!.scrollIntoView({ block: "nearest" });
    if (chosen) open(subjects[to]!);
  };
  useEffect(() => setAt(0), [props.model.version]);
  useShortcuts("Subjects", [
    { key: "j", label: "Next subject", run: () => move(1) },
    { key: "k", label: "Subject before", run: () => move(-1) },
    ...(chosen ? [{ key: "Escape", label: "Close the subject", run: () => open(null) }] : []),
  ]);
  if (subjects.length === 0)
    return (
      <div className="panel">
        <Blank title="Nothing to judge here yet">
          <p>Segments are listed only where something is beyond its threshold. Other subjects appear once a window is full.</p>
        </Blank>
      </div>
    );
  return (
    <div className="panel table-wrap" tabIndex={0} role="region" aria-label="Table of subjects">
      <table className="plain drift-table">
        <thead>
          <tr>
            <th scope="col">Subject</th>
            <th scope="col">State</th>
            <th scope="col">Effect and noise</th>
            <th scope="col" className="num">JS bits</th>
            <th scope="col" className="num">noise</th>
            <th scope="col" className="num">PSI</th>
            <th scope="col" className="num">noise</th>
            <th scope="col" className="num">Missing (before)</th>
            <th scope="col" className="num">Unseen (before)</th>
            <th scope="col" className="num">Decisions</th>
          </tr>
        </thead>
        <tbody ref={box}>
          {subjects.map((each, i) => (
            <tr key={subjectKey(each)} className={each === chosen ? "is-chosen" : undefined}>
              <th scope="row">
                <button
                  type="button" className="subject-link" aria-pressed={each === chosen} onFocus={() => setAt(i)}
                  onClick={() => open(each === chosen ? null : each)}
                >
                  {each.name}
                </button>
                <span className="muted small"> {kindText[each.kind]}{each.field && each.kind !== "field" ? ` ${each.field}` : ""}</span>
              </th>
              <td>
                <StateChip the={each} />
              </td>
              <td>
                <Effect the={each} least={props.judging.js} />
              </td>
              <td className="num">{figure(each.js)}</td>
              <td className="num muted">{figure(each.js_critical)}</td>
              <td className="num">{figure(each.psi)}</td>
              <td className="num muted">{figure(each.psi_critical)}</td>
              <td className="num">{shareBefore(each.missing, each.missing_reference)}</td>
              <td className="num">{shareBefore(each.unseen, each.unseen_reference)}</td>
              <td className="num muted">{count(each.rows)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="small muted body">
        <Kbd>J</Kbd> <Kbd>K</Kbd> walk, <Kbd>Enter</Kbd> opens how a subject lies in its bins.
      </p>
    </div>
  );
}

export function StateChip({ the }: { the: Verdict }) {
  if (the.is_alarm) return <Chip tone="bad">drift</Chip>;
  if (the.is_beyond) return <Chip tone="warn">beyond</Chip>;
  return <span className="muted small">as it was</span>;
}

const most = 4;

/** The divergence in units of its noise; the shaded part is what must be passed, by chance or by what matters. */
function Effect({ the, least }: { the: Verdict; least: number }) {
  const ratio = timesNoise(the.js, the.js_critical);
  if (ratio === null || the.js_critical === null) return <span className="muted">–</span>;
  const floor = Math.min(most, Math.max(1, least / the.js_critical));
  const tone = the.is_alarm ? "bad" : the.is_beyond ? "warn" : "";
  const part = (value: number) => `${(Math.min(value, most) / most) * 100}%`;
  return (
    <span className="effect">
      <span className="track" aria-hidden="true">
        <span className="floor" style={{ width: part(floor) }} />
        <span className={`reach ${tone}`} style={{ width: part(ratio) }} />
      </span>
      <span className="small">{times(ratio)}</span>
    </span>
  );
}

const csvColumns = [
  "kind", "field", "name", "window", "at", "rows", "reference_rows", "js", "js_critical", "psi", "psi_critical", "missing", "missing_reference",
  "missing_critical", "unseen", "unseen_reference", "unseen_critical", "is_beyond", "is_alarm", "text",
] as const satisfies readonly (keyof Verdict)[];
