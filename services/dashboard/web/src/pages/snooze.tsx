// SPDX-License-Identifier: Apache-2.0
import { type FormEvent, useState } from "react";
import { type Case, api, errorText } from "../api";
import { Fault, Modal, useSay } from "../ui";

const hour = 3600e3;

/** Tomorrow at eight, where the reader is. */
function tomorrow(): Date {
  const at = new Date();
  at.setDate(at.getDate() + 1);
  at.setHours(8, 0, 0, 0);
  return at;
}

export function SnoozeDialog({ the, onClose, onDone }: { the: Case; onClose: () => void; onDone: () => void }) {
  const [problem, setProblem] = useState<unknown>(null);
  const say = useSay();
  const choices = [
    { label: "1 hour", at: () => new Date(Date.now() + hour) },
    { label: "4 hours", at: () => new Date(Date.now() + 4 * hour) },
    { label: "Tomorrow at 8:00", at: tomorrow },
    { label: "3 days", at: () => new Date(Date.now() + 72 * hour) },
    { label: "1 week", at: () => new Date(Date.now() + 168 * hour) },
  ];
  const snooze = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const until = choices[Number(form.get("until"))]!.at();
    try {
      await api.snooze(the.case, the.version, until.toISOString(), String(form.get("note")).trim());
      say(`Case ${the.case} is put aside.`);
      onDone();
    } catch (error) {
      setProblem(errorText(error));
    }
  };
  return (
    <Modal title={`Put case ${the.case} aside`} open onClose={onClose}>
      <form className="stack" onSubmit={(event) => void snooze(event)}>
        <div className="field">
          <label htmlFor="until">Until</label>
          <select id="until" name="until" className="input" defaultValue="2">
            {choices.map((each, i) => (
              <option key={each.label} value={i}>
                {each.label}
              </option>
            ))}
          </select>
        </div>
        <div className="field">
          <label htmlFor="snooze-note">What it waits for</label>
          <input id="snooze-note" name="note" className="input" maxLength={4000} />
        </div>
        {problem !== null && <Fault error={new Error(String(problem))} />}
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary">
            Put aside
          </button>
        </div>
      </form>
    </Modal>
  );
}
