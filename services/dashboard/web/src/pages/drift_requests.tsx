// SPDX-License-Identifier: Apache-2.0
// The new models that the monitor asked for, and why.
import { useQuery } from "@tanstack/react-query";
import { type ModelRequest, watch } from "../api/drift";
import { saveCsv } from "../csv";
import { moment } from "../format";
import { Blank, Fault, Loading } from "../ui";

export default function Requests() {
  const asked = useQuery({ queryKey: ["model-requests"], queryFn: ({ signal }) => watch.modelRequests(signal), refetchInterval: 30000 });
  const rows = asked.data?.requests ?? [];
  return (
    <>
      <div className="filters">
        <p className="muted">When drift or decay is confirmed, the monitor asks the retrainer for a new model; then it waits before it asks again.</p>
        <span className="grow" />
        <button type="button" className="button" disabled={rows.length === 0} onClick={() => saveCsv("model-requests.csv", csvColumns, rows)}>
          CSV
        </button>
      </div>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading />}
        {asked.data && rows.length === 0 && (
          <Blank title="No model was asked for">
            <p>
              That is good news: no model has drifted or decayed so far that a new one was needed. A person asks with{" "}
              <code>assay retrain --now NAME</code>.
            </p>
          </Blank>
        )}
        {rows.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of requests">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">Asked</th>
                  <th scope="col">Model</th>
                  <th scope="col" className="num">Version</th>
                  <th scope="col">Why</th>
                  <th scope="col">By the clock of its payments</th>
                  <th scope="col" className="num">Run</th>
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => (
                  <tr key={row.request}>
                    <td className="nowrap">{moment(row.requested_at)}</td>
                    <th scope="row">{row.name}</th>
                    <td className="num">{row.version}</td>
                    <td>{row.reason}</td>
                    <td className="nowrap muted">{moment(row.at)}</td>
                    <td className="num">{row.run}</td>
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

const csvColumns = ["request", "requested_at", "name", "version", "lane", "run", "reason", "at"] as const satisfies readonly (keyof ModelRequest)[];
