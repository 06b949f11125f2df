// SPDX-License-Identifier: Apache-2.0
// What happened to a case, the newest first, and a note to add.
import { type KeyboardEvent, useRef, useState } from "react";
import { type CaseFile, type TimelineEntry, api, errorText } from "../api";
import { moment } from "../format";
import { Panel, useSay } from "../ui";

const toneOf: Record<TimelineEntry["kind"], string> = {
  decision: "warn", label: "bad", note: "info", shadow: "muted", audit: "muted",
};

export function TimelinePanel({ file, onNoted, canNote }: { file: CaseFile; onNoted: () => void; canNote: boolean }) {
  const box = useRef<HTMLTextAreaElement>(null);
  const [isBusy, setIsBusy] = useState(false);
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
      <ol className="timeline">
        {[...file.timeline].reverse().map((entry, i) => (
          <li key={`${entry.at}/${entry.kind}/${i}`}>
            <span className={`dot ${toneOf[entry.kind] ?? "muted"}`} aria-hidden="true" />
            <div>
              <div>{entry.text}</div>
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
