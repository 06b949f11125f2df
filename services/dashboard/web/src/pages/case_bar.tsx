// SPDX-License-Identifier: Apache-2.0
// What can be done with a case, at the foot of its page.
import type { Case, Outcome } from "../api";
import { moment } from "../format";
import { useNow } from "../now";
import { useSession } from "../session";
import { Kbd } from "../ui";
import { outcomes } from "../verdicts";

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

export function Bar(props: BarProps) {
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
