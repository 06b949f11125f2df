// SPDX-License-Identifier: Apache-2.0
// The head of a case: what it is about, the score against the thresholds, what runs out, its place in the queue.
import type { Case, CaseFile } from "../api";
import { clock, due, moment, money, percent, span } from "../format";
import { useNow } from "../now";
import type { Place } from "../place";
import { href } from "../route";
import { useBaseCurrency } from "../session";
import { ActionChip, Chip } from "../ui";

export function Strip({ file, place, onExtend }: { file: CaseFile; place: Place; onExtend: (() => void) | undefined }) {
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
