// SPDX-License-Identifier: Apache-2.0
// What holds for a set as a whole: thresholds of its own, and the lists that it asks.
import { useQuery } from "@tanstack/react-query";
import { type Document, type OwnThresholds, type ThresholdName, rulesApi } from "../api/rules";
import { href } from "../route";
import { Chip } from "../ui";
import { listsOf, thresholdText } from "./rules_text";

const names: ThresholdName[] = ["challenge", "review", "decline"];
/** Beyond any score: as left out. */
const isNever = (at: number | undefined) => at === undefined || at > 1;

/** From which score on what is done when no rule speaks: as the model has it, or as the set says. */
export function Thresholds({ document, isOpen, onChange }: { document: Document; isOpen: boolean; onChange: (own: OwnThresholds | undefined) => void }) {
  const own = document.thresholds;
  const set = (name: ThresholdName, text: string) => {
    const { [name]: _, ...others } = own ?? {};
    onChange(text === "" || !Number.isFinite(Number(text)) ? others : { ...others, [name]: Number(text) });
  };
  return (
    <div className="body missing stack tight">
      <label className="row choice">
        <input type="checkbox" checked={own !== undefined} disabled={!isOpen} onChange={(event) => onChange(event.target.checked ? {} : undefined)} />
        Thresholds of its own, in the place of the model's
      </label>
      {own && (
        <>
          <div className="quad">
            {names.map((name) => (
              <label className="field" key={name}>
                <span className="label">{name} from score</span>
                <input className="input" type="number" min={0} max={1} step="any" value={isNever(own[name]) ? "" : own[name]} placeholder="never" readOnly={!isOpen} onChange={(event) => set(name, event.target.value)} />
              </label>
            ))}
          </div>
          {names.every((name) => isNever(own[name])) ? (
            <p className="small lint warn">No score reaches anything: only rules and lists act.</p>
          ) : (
            <p className="small muted">
              When no rule speaks: {thresholdText(own)}. The settings page shows what other thresholds would have done with the last month: <a href={href("settings")}>settings</a>.
            </p>
          )}
        </>
      )}
    </div>
  );
}

/** Every list that the set declares or asks, each where its values are kept. */
export function ListsAsked({ document }: { document: Document }) {
  const listed = useQuery({ queryKey: ["rules", "lists"], queryFn: ({ signal }) => rulesApi.lists(signal), staleTime: 60000 });
  const asked = listsOf(document);
  if (asked.length === 0) return null;
  const there = new Set((listed.data?.lists ?? []).map((each) => each.list));
  return (
    <div className="body missing stack tight">
      <p className="small muted">Lists that it asks; their values are kept apart from it and change at once</p>
      <ul className="row" aria-label="Lists of this set">
        {asked.map((name) => (
          <li key={name} className="row">
            {there.has(name) ? <a className="mono" href={href("lists", { list: name })}>{name}</a> : <span className="mono">{name}</span>}
            {listed.data && !there.has(name) && <Chip>made when it is published</Chip>}
          </li>
        ))}
      </ul>
    </div>
  );
}
