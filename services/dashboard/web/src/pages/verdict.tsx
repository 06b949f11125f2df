// SPDX-License-Identifier: Apache-2.0
// The decision, by keyboard: a digit chose the outcome; digits choose the reason, Ctrl-Enter decides. What it will do is
// shown before.
import { type FormEvent, type KeyboardEvent, useEffect, useRef, useState } from "react";
import { type Case, type Outcome, Refused, api } from "../api";
import { useSession } from "../session";
import { Fault, Kbd } from "../ui";
import { outcomes, reasonCodes } from "../verdicts";

interface Props {
  the: Case;
  outcome: Outcome;
  setOutcome: (outcome: Outcome) => void;
  onDone: (outcome: Outcome) => void;
  onCancel: () => void;
  onStale: () => void;
}

export function VerdictForm({ the, outcome, setOutcome, onDone, onCancel, onStale }: Props) {
  const { undo_s } = useSession();
  const form = useRef<HTMLFormElement>(null);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setIsBusy] = useState(false);
  const chosen = outcomes.find((each) => each.outcome === outcome)!;
  useEffect(() => {
    setReason("");
    setProblem(null);
    form.current?.querySelector<HTMLInputElement>("input[name=reason]")?.focus();
  }, [outcome]);

  const decide = async (event: FormEvent) => {
    event.preventDefault();
    if (!reason) {
      setProblem(new Error("Choose a reason: it is kept with the decision."));
      form.current?.querySelector<HTMLInputElement>("input[name=reason]")?.focus();
      return;
    }
    const note = String(new FormData(form.current!).get("note")).trim();
    if (reason === "other" && !note) {
      setProblem(new Error("The reason is “other”: write a note that tells it."));
      form.current?.querySelector<HTMLTextAreaElement>("textarea")?.focus();
      return;
    }
    setIsBusy(true);
    setProblem(null);
    try {
      await api.decide(the.case, { version: the.version, outcome, reason, ...(note ? { note } : {}) });
      onDone(outcome);
    } catch (error) {
      setProblem(error);
      setIsBusy(false);
      if (error instanceof Refused && error.status === 409) onStale();
    }
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.current?.requestSubmit();
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      onCancel();
    } else if (/^[1-9]$/.test(event.key) && !(event.target instanceof HTMLTextAreaElement)) {
      const wanted = reasonCodes[outcome][Number(event.key) - 1];
      event.preventDefault();
      event.stopPropagation();
      if (!wanted) return;
      setReason(wanted.code);
      form.current?.querySelector<HTMLInputElement>(`input[value="${wanted.code}"]`)?.focus();
    }
  };

  return (
    <form className="verdict" ref={form} onSubmit={(event) => void decide(event)} onKeyDown={onKey} aria-label={`Decide: ${chosen.label}`}>
      <fieldset>
        <legend>
          <span className={`tone-${chosen.tone} ${chosen.tone}`}>{chosen.label}</span>, because
        </legend>
        {reasonCodes[outcome].map((each, i) => (
          <label className="choice" key={each.code}>
            <input type="radio" name="reason" value={each.code} checked={reason === each.code} onChange={() => setReason(each.code)} />
            <Kbd>{i + 1}</Kbd> {each.label}
          </label>
        ))}
      </fieldset>
      <div className="field">
        <label htmlFor="verdict-note">Note{reason === "other" ? "" : " (if there is more to say)"}</label>
        <textarea id="verdict-note" name="note" className="input" rows={3} maxLength={4000} />
        <label htmlFor="verdict-outcome">Outcome</label>
        <select id="verdict-outcome" className="input" value={outcome} onChange={(event) => setOutcome(event.target.value as Outcome)}>
          {outcomes.map((each) => (
            <option key={each.outcome} value={each.outcome}>
              {each.label}
            </option>
          ))}
        </select>
      </div>
      <div className="stack">
        <div>
          <h3>What this does</h3>
          <ul className="effects small">
            <li>{chosen.effect}</li>
            <li>Closes case {the.case} in your name</li>
            <li>Takes effect after {undo_s} s; until then it can be undone</li>
          </ul>
        </div>
        {problem !== null && <Fault error={problem} />}
        <div className="row">
          <button type="submit" className="button primary" disabled={isBusy}>
            Decide <Kbd>Ctrl ↵</Kbd>
          </button>
          <button type="button" className="button" onClick={onCancel}>
            Cancel <Kbd>Esc</Kbd>
          </button>
        </div>
      </div>
    </form>
  );
}
