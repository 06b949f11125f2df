// SPDX-License-Identifier: Apache-2.0
// Silences that are on or come; on demand those that are over.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { errorText } from "../api";
import { type Silence, watch } from "../api/drift";
import { saveCsv } from "../csv";
import { moment } from "../format";
import { href, swap, useRoute } from "../route";
import { useMay } from "../session";
import { Blank, Chip, Fault, Loading, useSay } from "../ui";

const text = (the: Silence): string => the.matchers.map((each) => `${each.name}${each.is_equal === false ? "!=" : "="}${each.value}`).join(", ");

export default function Silences() {
  const { query } = useRoute();
  const withOver = query.get("over") === "yes";
  const canEnd = useMay("lead", "model_owner", "admin");
  const say = useSay();
  const queries = useQueryClient();
  const asked = useQuery({ queryKey: ["silences", withOver], queryFn: ({ signal }) => watch.silences(withOver, signal), refetchInterval: 15000 });
  const silences = asked.data?.silences ?? [];
  const end = useMutation({
    mutationFn: (the: Silence) => watch.expire(the.id),
    onSuccess: () => {
      say("The silence is over: what still fires is told now.");
      void queries.invalidateQueries({ queryKey: ["silences"] });
    },
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  return (
    <>
      <div className="filters">
        <label className="row choice">
          <input type="checkbox" checked={withOver} onChange={() => swap(href("alerts/silences", { over: withOver ? "" : "yes" }))} />
          those that are over too
        </label>
        <span className="grow" />
        <button
          type="button" className="button" disabled={silences.length === 0}
          onClick={() => saveCsv("silences.csv", csvColumns, silences.map((each) => ({ ...each, matchers: text(each) })))}
        >
          CSV
        </button>
      </div>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading />}
        {asked.data && silences.length === 0 && (
          <Blank title="Nothing is silenced">
            <p>
              While a silence is on, nobody is told that an alert fires; it is listed all the same. Open an alert and press <kbd>S</kbd> to
              make one, with a reason and an end.
            </p>
          </Blank>
        )}
        {silences.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of silences">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">Alerts with</th>
                  <th scope="col">State</th>
                  <th scope="col">From</th>
                  <th scope="col">Until</th>
                  <th scope="col">Who</th>
                  <th scope="col">Why</th>
                  {canEnd && <th scope="col">End</th>}
                </tr>
              </thead>
              <tbody>
                {silences.map((each) => (
                  <tr key={each.id}>
                    <th scope="row">{text(each)}</th>
                    <td><Chip tone={each.state === "active" ? "info" : "plain"}>{each.state}</Chip></td>
                    <td className="nowrap">{moment(each.starts_at)}</td>
                    <td className="nowrap">{moment(each.ends_at)}</td>
                    <td>{each.author}</td>
                    <td>{each.comment}</td>
                    {canEnd && (
                      <td>
                        {each.state !== "expired" && (
                          <button type="button" className="button quiet" disabled={end.isPending} aria-label={`End now: silence ${each.id}`} onClick={() => end.mutate(each)}>
                            End now
                          </button>
                        )}
                      </td>
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
    </>
  );
}

const csvColumns = ["id", "state", "matchers", "starts_at", "ends_at", "author", "comment"] as const;
