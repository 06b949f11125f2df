// SPDX-License-Identifier: Apache-2.0
// What happened to a case, the newest first, and a note to add.
import { type KeyboardEvent, useRef, useState } from "react";
import { type CaseFile, type TimelineEntry, api, errorText } from "../api";
import { moment, percent, words } from "../format";
import { Panel, useSay } from "../ui";

const toneOf: Record<TimelineEntry["kind"], string> = {
  decision: "warn", label: "bad", note: "info", shadow: "muted", audit: "muted",
};

/** Labels and shadow decisions are words of the service; notes are what somebody wrote. */
function entryText(entry: TimelineEntry): string {
  if (entry.kind === "shadow") {
    const score = entry.detail.score;
    return `Would have said ${entry.text}${typeof score === "number" ? `, score ${percent(score)}` : ""}, in shadow`;
  }
  if (entry.kind === "label") return entry.text === "legit" ? "Labelled legitimate" : `Labelled ${entry.text}`;
  if (entry.kind === "decision") return `Decided: ${entry.text}`;
  if (entry.kind === "audit") return words(entry.text.replace(/^case\./, ""));
  return entry.text;
}

export default function TimelinePanel({ file, onNoted, canNote }: { file: CaseFile; onNoted: () => void; canNote: boolean }) {
  const box = useRef<HTMLTextAreaElement>(null);
  const [isBusy, setIsBusy] = useState(false);
  const [kind, setKind] = useState<TimelineEntry["kind"] | null>(null);
  const say = useSay();
  const write = async () => {
    const text = box.current!.value.trim();
    if (!text || isBusy) return;
    setIsBusy(true);
    try {
      await api.note(file.case.case, text);
      box.current!.value = "";
      onNoted();
    } catch (error) {
      say(errorText(error), { tone: "bad" });
    } finally {
      setIsBusy(false);
    }
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void write();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      box.current?.blur();
    }
  };
  const kinds = [...new Set(file.timeline.map((entry) => entry.kind))];
  const shown = [...file.timeline].filter((entry) => kind === null || entry.kind === kind).reverse();
  return (
    <Panel title="Timeline">
      {canNote && (
        <div className="stack">
          <textarea ref={box} id="note" className="input" rows={2} maxLength={4000} placeholder="Note: Ctrl-Enter keeps it" aria-label="Note" onKeyDown={onKey} />
          <div className="row">
            <button type="button" className="button" onClick={() => void write()} disabled={isBusy}>
              Add note
            </button>
          </div>
        </div>
      )}
      {kinds.length > 1 && (
        <div className="row wrap case-row" role="group" aria-label="What is shown">
          {[null, ...kinds].map((each) => (
            <button key={each ?? "all"} type="button" className="button quiet" aria-pressed={kind === each} onClick={() => setKind(each)}>
              {each ?? "all"}
            </button>
          ))}
        </div>
      )}
      <ol className="timeline">
        {shown.map((entry, i) => (
          <li key={`${entry.at}/${entry.kind}/${i}`}>
            <span className={`dot ${toneOf[entry.kind] ?? "muted"}`} aria-hidden="true" />
            <div>
              <div>{entryText(entry)}</div>
              <div className="small muted">
                {entry.kind} · {entry.actor ? `${entry.actor} · ` : ""}
                <time dateTime={entry.at}>{moment(entry.at)}</time>
              </div>
            </div>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
