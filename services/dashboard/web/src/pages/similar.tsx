// SPDX-License-Identifier: Apache-2.0
// Past payments that the model takes for most like this one, and what became of them.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Refused, errorText } from "../api";
import { type Similar, type SimilarCase, evidence } from "../api/evidence";
import { saveCsv } from "../csv";
import { count, moment, money, percent, words } from "../format";
import { href } from "../route";
import { ActionChip, Chip, Fault, Loading, Panel } from "../ui";

const outcomeText = { fraud: "fraud", legit: "legitimate", unknown: "no label" } as const;
const outcomeTone = { fraud: "bad", legit: "good", unknown: "plain" } as const;

export default function SimilarPanel({ id }: { id: number }) {
  const asked = useQuery({
    queryKey: ["similar", id],
    queryFn: ({ signal }) => evidence.similar(id, signal),
    staleTime: 60000,
    // While the service still reads its past, more comes.
    refetchInterval: (query) => (query.state.data && !query.state.data.is_whole ? 15000 : false),
  });
  const [isLabelled, setLabelled] = useState(false);
  if (asked.error instanceof Refused && asked.error.status === 404) return null;
  const found = asked.data;
  const shown = (found?.similar ?? []).filter((each) => !isLabelled || each.outcome !== "unknown");
  return (
    <Panel
      title="Similar past payments"
      flush
      tools={
        found && found.similar.length > 0 ? (
          <>
            <button type="button" className="button quiet" aria-pressed={isLabelled} onClick={() => setLabelled(!isLabelled)}>
              With a label
            </button>
            <button
              type="button"
              className="button quiet"
              onClick={() =>
                saveCsv(`similar-${id}.csv`, ["proximity", "outcome", "labelled_by", "transaction_id", "case", "occurred_at", "amount_minor", "currency", "action", "score", "shares"], shown)
              }
            >
              CSV
            </button>
          </>
        ) : undefined
      }
    >
      {asked.isPending && <Loading lines={6} />}
      {asked.error && <div className="body"><Fault error={new Error(errorText(asked.error))} again={() => void asked.refetch()} /></div>}
      {found?.trouble && <p className="body muted">Nothing can be compared: {found.trouble}.</p>}
      {found && !found.trouble && found.similar.length === 0 && (
        <p className="body muted">No past payment reaches the same leaves of the model. Labels that come in, and decisions of analysts, make this list.</p>
      )}
      {found && found.similar.length > 0 && (
        <>
          <Balance found={found} />
          <Table rows={shown} />
        </>
      )}
      {found && !found.trouble && <Source found={found} />}
    </Panel>
  );
}

/** What became of the nearest, in words and as a bar. */
function Balance({ found }: { found: Similar }) {
  const { nearest } = found;
  if (nearest.count === 0) return null;
  return (
    <div className="body stack">
      <p>
        Of the {count(nearest.count)} nearest, <strong className="bad">{count(nearest.fraud)} were fraud</strong>,{" "}
        <strong className="good">{count(nearest.legit)} legitimate</strong>; {count(nearest.unknown)} have no label.
      </p>
      <div className="shares" aria-hidden="true">
        {(["fraud", "legit", "unknown"] as const).map((each) => (
          <span key={each} className={`outcome-share ${outcomeTone[each]}`} style={{ flexGrow: nearest[each] }} />
        ))}
      </div>
    </div>
  );
}

function Table({ rows }: { rows: SimilarCase[] }) {
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of similar payments">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col" className="num">Alike</th>
            <th scope="col">Outcome</th>
            <th scope="col">When</th>
            <th scope="col" className="num">Amount</th>
            <th scope="col">Decided</th>
            <th scope="col" className="num">Score</th>
            <th scope="col">Shares</th>
            <th scope="col">Payment</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((each) => (
            <tr key={each.transaction_id}>
              <td className="num" title="Share of the model's trees in which both come to the same leaf">{percent(each.proximity)}</td>
              <td className="nowrap">
                <Chip tone={outcomeTone[each.outcome]}>{outcomeText[each.outcome]}</Chip>{" "}
                {each.labelled_by && <span className="small muted">{each.labelled_by}{each.reason ? `, ${words(each.reason)}` : ""}</span>}
              </td>
              <td className="nowrap">{moment(each.occurred_at)}</td>
              <td className="num">{money(each.amount_minor, each.currency)}</td>
              <td><ActionChip action={each.action} /></td>
              <td className="num">{percent(each.score)}</td>
              <td className="small">{each.shares.join(", ") || <span className="muted">–</span>}</td>
              <td className="nowrap">{each.case ? <a href={href(`cases/${each.case}`)}>{each.transaction_id}</a> : each.transaction_id}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Source({ found }: { found: Similar }) {
  return (
    <p className="body small muted">
      Alike is the share of model {found.model_version}&rsquo;s {count(found.trees)} trees in which two payments come to the same leaf. Compared with{" "}
      {count(found.labelled)} decisions that have a label and a sample of {count(found.sampled)} without one
      {!found.is_whole && "; more are being read"}
      {!found.is_exact && "; there are so many that a near one may be missing"}.
    </p>
  );
}
