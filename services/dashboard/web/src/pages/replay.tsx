// SPDX-License-Identifier: Apache-2.0
// The decision made again: whether each step comes out bit for bit, what differs, and how the rules that spoke came to
// what they said.
import { useQuery } from "@tanstack/react-query";
import { type Explanation, type ExplainStep, type ExplainedRule, type Replay, type ReplayOutcome, replayCase } from "../api/replay";
import { useShortcuts } from "../shortcuts";
import { Chip, Fault, Kbd, Loading, Panel, type Tone } from "../ui";
import "./replay.css";

const outcomes: Record<ReplayOutcome, { tone: Tone; word: string }> = {
  matches: { tone: "good", word: "matches" },
  as_stored: { tone: "info", word: "as stored" },
  differs: { tone: "bad", word: "differs" },
  lost: { tone: "warn", word: "cannot be made again" },
};

const whole: Record<ReplayOutcome, string> = {
  matches: "It comes out bit for bit as it was decided.",
  as_stored: "It comes out as it was decided, but for what was taken as it is stored.",
  differs: "It does not come out as it is stored.",
  lost: "It cannot be made again in full.",
};

const steps: Record<string, string> = {
  payment: "Payment as it was sent",
  score: "Score, contributions, thresholds",
  rules: "Lists, rules, reasons, action",
  record: "Stored record, byte by byte",
};

export default function ReplayPanel({ id }: { id: number }) {
  const asked = useQuery({ queryKey: ["replay", id], queryFn: ({ signal }) => replayCase(id, signal), enabled: false, gcTime: 0 });
  const run = () => void asked.refetch();
  useShortcuts("Replay", [{ key: "r", label: "Make the decision again", run }]);
  return (
    <Panel
      title="Replay"
      tools={
        <button type="button" className="button quiet" onClick={run} disabled={asked.isFetching} aria-keyshortcuts="R">
          Replay <Kbd>R</Kbd>
        </button>
      }
    >
      <div className="replay" aria-live="polite">
        {asked.isFetching && <Loading lines={4} />}
        {!asked.isFetching && asked.error && <Fault error={asked.error} again={run} />}
        {!asked.isFetching && !asked.error && !asked.data && (
          <p className="muted">Makes this decision again with the model, the rules and the lists of its time, and compares every bit.</p>
        )}
        {!asked.isFetching && !asked.error && asked.data && (
          <>
            <Result replay={asked.data.replay} />
            {asked.data.explanation && <Rules title="Rules that spoke" explanation={asked.data.explanation} />}
            {asked.data.shadow && <Rules title="In shadow" explanation={asked.data.shadow} />}
          </>
        )}
      </div>
    </Panel>
  );
}

function Result({ replay }: { replay: Replay }) {
  const { tone, word } = outcomes[replay.outcome];
  return (
    <>
      <p className="row">
        <Chip tone={tone}>{word}</Chip>
        <span>{whole[replay.outcome]}</span>
      </p>
      <dl className="replay-steps">
        {replay.steps.map((step) => (
          <div key={step.step}>
            <dt>{steps[step.step] ?? step.step}</dt>
            <dd>
              <span className={outcomes[step.outcome].tone}>{outcomes[step.outcome].word}</span>
              {step.note && <span className="small muted">{step.note}</span>}
            </dd>
          </div>
        ))}
      </dl>
      {replay.differences.length > 0 && (
        <div className="table-wrap" tabIndex={0} role="region" aria-label="What differs">
          <table className="replay-differences">
            <thead>
              <tr>
                <th scope="col">Field</th>
                <th scope="col">Stored</th>
                <th scope="col">Made again</th>
              </tr>
            </thead>
            <tbody>
              {replay.differences.map((each, i) => (
                <tr key={i}>
                  <th scope="row">{each.field}</th>
                  <td>{each.stored}</td>
                  <td>{each.computed}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {replay.difference_count > replay.differences.length && (
        <p className="small muted">The first {replay.differences.length} of {replay.difference_count} are shown.</p>
      )}
    </>
  );
}

function Rules({ title, explanation }: { title: string; explanation: Explanation }) {
  return (
    <>
      <h3 className="small muted">
        {title} (rule set {explanation.ruleset_version}, {explanation.evaluated} evaluated)
      </h3>
      {explanation.rules.length === 0 && <p className="muted">None.</p>}
      {explanation.rules.map((rule) => (
        <details key={rule.id} className="tree-of">
          <summary>
            <span className="grow">{rule.name || rule.id}</span>
            <span className="small muted">
              {rule.fires ? (rule.action === "tag" ? `tag ${rule.tag}` : rule.action) : rule.value}
              {rule.shadow && ", in shadow"}
            </span>
          </summary>
          <Tree rule={rule} />
        </details>
      ))}
      {explanation.is_cut && <p className="small muted">The last rules have too many parts to be shown.</p>}
    </>
  );
}

/** Every part of a condition with what it came to; what a literal is, it says itself. */
function Tree({ rule }: { rule: ExplainedRule }) {
  const shown = rule.steps.filter((step) => !step.literal || step.depth === 0);
  return (
    <ul className="tree" aria-label={`Parts of ${rule.id}`} tabIndex={0}>
      {shown.map((step, i) => (
        <li key={i} style={{ paddingLeft: `${Math.min(step.depth, 12) * 14}px` }}>
          <code>{step.text}</code>
          <Value step={step} />
        </li>
      ))}
    </ul>
  );
}

function Value({ step }: { step: ExplainStep }) {
  if (step.times === 0) return <span className="small muted">passed over</span>;
  const tone = step.kind === "bool" ? (step.value === "true" ? "good" : "muted") : step.kind === "error" ? "warn" : "";
  return (
    <span className={`value ${tone}`}>
      {step.value}
      {step.times > 1 && <span className="small muted"> ({step.times} times)</span>}
    </span>
  );
}
