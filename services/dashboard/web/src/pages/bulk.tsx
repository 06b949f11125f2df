// SPDX-License-Identifier: Apache-2.0
// One decision for many cases: first what it would touch, then all or none.
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Case, type Filter, type Outcome, api, errorText } from "../api";
import { count, money } from "../format";
import { useBaseCurrency } from "../session";
import { Fault, Loading, Modal, useSay } from "../ui";
import { outcomes, reasonCodes } from "../verdicts";

/** What must be known of a case to decide it among others. */
export type BulkCase = Pick<Case, "case" | "version" | "amount_base_minor" | "expected_loss_base_minor">;
type What = { cases: BulkCase[] } | { filter: Filter };

export function BulkDialog({ what, onClose, onDone }: { what: What; onClose: () => void; onDone: () => void }) {
  const base = useBaseCurrency();
  const say = useSay();
  const [outcome, setOutcome] = useState<Outcome>("legit");
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setIsBusy] = useState(false);
  const asked = useQuery({
    queryKey: ["bulk", "filter" in what ? what.filter : null],
    queryFn: () => api.previewBulk("filter" in what ? what.filter : {}),
    enabled: "filter" in what,
    gcTime: 0,
    staleTime: 0,
  });
  const preview =
    "cases" in what
      ? {
          count: what.cases.length,
          amount_base_minor: what.cases.reduce((sum, each) => sum + each.amount_base_minor, 0),
          expected_loss_base_minor: what.cases.reduce((sum, each) => sum + each.expected_loss_base_minor, 0),
          cases: what.cases.map((each) => ({ case: each.case, version: each.version })),
        }
      : asked.data;

  const decide = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (!preview) return;
    const form = new FormData(event.currentTarget);
    const note = String(form.get("note")).trim();
    setIsBusy(true);
    setProblem(null);
    try {
      const done = await api.decideBulk({
        cases: preview.cases,
        outcome,
        reason: String(form.get("reason")),
        ...(note ? { note } : {}),
      });
      say(`${count(done.decided)} cases are decided.`);
      onDone();
    } catch (error) {
      setProblem(errorText(error));
      setIsBusy(false);
    }
  };

  return (
    <Modal title="Decide many cases" open onClose={onClose}>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {!preview && !asked.error && <Loading lines={3} />}
      {preview && (
        <form className="stack" onSubmit={(event) => void decide(event)}>
          <p>
            This touches <strong>{count(preview.cases.length)} cases</strong> of{" "}
            <strong>{money(preview.amount_base_minor, base)}</strong> in all, with an expected loss of{" "}
            {money(preview.expected_loss_base_minor, base)}.
            {preview.count > preview.cases.length &&
              ` The filter finds ${count(preview.count)}; the first ${count(preview.cases.length)} are decided now.`}
          </p>
          <div className="field">
            <label htmlFor="bulk-outcome">Outcome</label>
            <select id="bulk-outcome" className="input" value={outcome} onChange={(event) => setOutcome(event.target.value as Outcome)}>
              {outcomes.map((each) => (
                <option key={each.outcome} value={each.outcome}>
                  {each.label}
                </option>
              ))}
            </select>
          </div>
          <div className="field">
            <label htmlFor="bulk-reason">Reason</label>
            <select id="bulk-reason" name="reason" className="input" key={outcome}>
              {reasonCodes[outcome].map((each) => (
                <option key={each.code} value={each.code}>
                  {each.label}
                </option>
              ))}
            </select>
          </div>
          <div className="field">
            <label htmlFor="bulk-note">Note</label>
            <textarea id="bulk-note" name="note" className="input" rows={2} maxLength={4000} />
          </div>
          <p className="small muted">
            {outcomes.find((each) => each.outcome === outcome)!.effect} for each. If one of them has changed meanwhile,
            none is decided.
          </p>
          {problem !== null && <Fault error={new Error(String(problem))} />}
          <div className="actions">
            <button type="button" className="button" onClick={onClose}>
              Cancel
            </button>
            <button type="submit" className="button primary" disabled={isBusy || preview.cases.length === 0}>
              Decide {count(preview.cases.length)}
            </button>
          </div>
        </form>
      )}
    </Modal>
  );
}
