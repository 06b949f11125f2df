// SPDX-License-Identifier: Apache-2.0
// What would have flipped the decision: the smallest changes of one number, in plain words, each opening what was held
// fixed and what is proven.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Action } from "../api";
import { type FlipChange, type FlipSide, flipOf } from "../api/flip";
import { money, percent, words } from "../format";
import { useRoute } from "../route";
import { useBaseCurrency } from "../session";
import { ActionChip, Chip, Fault, Loading } from "../ui";
import "./flip.css";
import { ordinal, valueOf } from "./flip_words";

const FEW = 3;

export function FlipSection() {
  const { path } = useRoute();
  const id = Number(path[1]);
  const asked = useQuery({
    queryKey: ["flip", id],
    queryFn: ({ signal }) => flipOf(id, signal),
    staleTime: Infinity, // of a decision that is made
    retry: false,
  });
  const answer = asked.data;
  return (
    <section className="flip" aria-label="What would have flipped it">
      <h3>What would have flipped it</h3>
      {asked.isPending && <Loading lines={FEW} />}
      {asked.isError && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {answer?.notes.map((note) => (
        <p key={note} className="small muted">
          {note}
        </p>
      ))}
      {answer?.is_known && answer.decided_by !== "list" && answer.milder && answer.harder && (
        <>
          {answer.action !== "approve" && <Side title="Milder" word="milder" side={answer.milder} />}
          {answer.action !== "decline" && <Side title="Harder" word="harder" side={answer.harder} />}
        </>
      )}
    </section>
  );
}

function Side({ title, word, side }: { title: string; word: string; side: FlipSide }) {
  const [isAll, setAll] = useState(false);
  const shown = isAll ? side.changes : side.changes.slice(0, FEW);
  const rest = side.changes.length - FEW;
  return (
    <div className="flip-side">
      <h4 className="small muted">{title}</h4>
      {shown.length > 0 && (
        <ul aria-label={`Changes that would have made it ${word}`}>
          {shown.map((change) => (
            <li key={`${change.kind}/${change.name}/${change.way}`}>
              <Change change={change} />
            </li>
          ))}
        </ul>
      )}
      {shown.length === 0 && <p className="small muted">No change of a single number would have made it {word}.</p>}
      {rest > 0 && (
        <button type="button" className="button quiet" aria-expanded={isAll} onClick={() => setAll(!isAll)}>
          {isAll ? "Fewer" : `${rest} more`}
        </button>
      )}
      {side.unproven.length > 0 && (
        <p className="small muted">
          Not searched to the end, as a rule could not be followed: <code>{side.unproven.join(", ")}</code>
        </p>
      )}
    </div>
  );
}

const became: Record<Action, string> = { approve: "approved", challenge: "challenged", review: "reviewed", decline: "declined" };

function Change({ change }: { change: FlipChange }) {
  const base = useBaseCurrency();
  const show = (value: number | null, side: "nearest" | "up" | "down") => {
    if (value === null) return "no value";
    return change.name === "tx.amount" ? money(value, base) : valueOf(value, change.is_whole, side);
  };
  const side = change.way === "up" || change.way === "down" ? change.way : "nearest";
  const exact = change.after === null ? undefined : `exactly ${change.after}`;
  return (
    <details>
      <summary>
        <span className="grow">
          {change.kind === "field" ? <code>{change.name}</code> : change.describe || words(change.name)}{" "}
          {change.way === "missing" && <strong>not known</strong>}
          {change.way === "up" && "at least "}
          {change.way === "down" && "at most "}
          {change.way === "given" && "known, and "}
          {change.after !== null && <strong title={exact}>{show(change.after, side)}</strong>}
          <span className="muted"> instead of {show(change.before, "nearest")}</span>
          {placesOf(change) && <span className="small muted places">{placesOf(change)}</span>}
        </span>
        <span className="outcome">
          <span className="hidden">would have been </span>
          <ActionChip action={change.action} />
        </span>
      </summary>
      <div className="inside">
        <p>
          The payment would have been {became[change.action] ?? change.action}
          {change.score !== null && (
            <>
              {" "}
              with a score of <strong>{percent(change.score)}</strong>
            </>
          )}
          , all else being as it was.
        </p>
        <p className="small">
          {change.is_smallest
            ? change.way === "up" || change.way === "down"
              ? "Proven: no value in between does it."
              : change.way === "given"
                ? "Proven: no value nearer to the middle of what is usual does it."
                : "Proven by deciding again without it."
            : "Not proven to be the smallest: a rule could not be followed, and there are too many values to try."}
        </p>
        <p className="small muted">
          <Chip>{change.kind}</Chip>{" "}
          {change.kind === "feature"
            ? "The model and the rules read the new value. Features that are computed from the same facts keep theirs."
            : change.is_read_by_features
              ? "The field as rules read it. Features are computed from it too: they and the score stay as they are."
              : "The field as rules read it. The score stays as it is."}{" "}
          <code>{change.name}</code>
        </p>
      </div>
    </details>
  );
}

function placesOf({ place_before, place_after, way, size }: FlipChange): string {
  if (place_after === null || way === "missing") return "";
  if (place_before === null) return `the ${ordinal(place_after)} percentile`;
  const from = ordinal(place_before);
  const to = ordinal(place_after);
  if (from === to) return `${percent(size)} of payments lie between, at the ${from} percentile`;
  return `from the ${from} to the ${to} percentile`;
}
