// SPDX-License-Identifier: Apache-2.0
// A new silence: which alerts it keeps from being told, for how long, and why.
import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorText } from "../api";
import { type Alert, type Matcher, watch } from "../api/drift";
import { count, moment } from "../format";
import { Fault, Modal, useSay } from "../ui";

const spans = [
  { hours: 1, label: "1 hour" },
  { hours: 4, label: "4 hours" },
  { hours: 24, label: "1 day" },
  { hours: 168, label: "7 days" },
  { hours: 720, label: "30 days" },
];

/** Usually what an alert is about, and not its number. */
const usual = new Set(["alertname", "subject", "lane"]);

const fits = (alert: Alert, matchers: Matcher[]) => matchers.every((each) => (alert.labels[each.name] ?? "") === each.value);

export function SilenceDialog({ alert, open, onClose }: { alert: Alert; open: Alert[]; onClose: () => void }) {
  const say = useSay();
  const queries = useQueryClient();
  const labels = Object.entries(alert.labels);
  const [chosen, setChosen] = useState(() => new Set(labels.map(([name]) => name).filter((name) => usual.has(name))));
  const [hours, setHours] = useState(4);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const matchers = labels.filter(([name]) => chosen.has(name)).map(([name, value]) => ({ name, value }));
  const hit = open.filter((each) => fits(each, matchers)).length;
  const until = new Date(Date.now() + hours * 3600e3).toISOString();
  const toggle = (name: string) =>
    setChosen((before) => {
      const after = new Set(before);
      if (!after.delete(name)) after.add(name);
      return after;
    });
  const send = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const comment = String(new FormData(event.currentTarget).get("comment")).trim();
    if (matchers.length === 0) return setProblem("Choose at least one label: a silence of everything would hide what comes next.");
    setIsBusy(true);
    setProblem(null);
    try {
      await watch.silence(matchers, until, comment);
      say(`Silent until ${moment(until)}.`);
      void queries.invalidateQueries({ queryKey: ["silences"] });
      void queries.invalidateQueries({ queryKey: ["alerts"] });
      onClose();
    } catch (error) {
      setProblem(errorText(error));
      setIsBusy(false);
    }
  };
  return (
    <Modal title="Silence" open onClose={onClose}>
      <form className="stack" onSubmit={(event) => void send(event)}>
        {problem && <Fault error={new Error(problem)} />}
        <fieldset className="plain-set">
          <legend className="label">Alerts with all of</legend>
          {labels.map(([name, value]) => (
            <label className="row choice" key={name}>
              <input type="checkbox" checked={chosen.has(name)} onChange={() => toggle(name)} />
              <span className="cut">
                {name} = <code>{value}</code>
              </span>
            </label>
          ))}
        </fieldset>
        <div className="field">
          <label htmlFor="silence-span">For</label>
          <select id="silence-span" className="input" value={hours} onChange={(event) => setHours(Number(event.target.value))}>
            {spans.map((each) => (
              <option key={each.hours} value={each.hours}>
                {each.label}
              </option>
            ))}
          </select>
        </div>
        <div className="field">
          <label htmlFor="silence-comment">Why, for those who wonder</label>
          <input id="silence-comment" name="comment" className="input" maxLength={1024} autoComplete="off" required />
        </div>
        <p className="small muted" role="status">
          {matchers.length === 0 ? "No label is chosen." : `${hit === 1 ? "1 open alert" : `${count(hit)} open alerts`} of those listed ${hit === 1 ? "fits" : "fit"}, and what comes until ${moment(until)}.`}{" "}
          They stay in the list; nobody is told that they fire.
        </p>
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={isBusy}>
            Silence
          </button>
        </div>
      </form>
    </Modal>
  );
}
