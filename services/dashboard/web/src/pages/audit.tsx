// SPDX-License-Identifier: Apache-2.0
// Who changed what, the newest first; every row is chained to the one before by a hash, which can be computed again.
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { type FormEvent, useMemo } from "react";
import { type AuditRow, type Filter, api, errorText } from "../api";
import { saveCsv } from "../csv";
import { count, moment } from "../format";
import { href, swap, useRoute } from "../route";
import { Blank, Chip, Fault, Loading, useSay, useTitle } from "../ui";

const pageRows = 100;

export default function AuditPage() {
  useTitle("Audit trail");
  const { query } = useRoute();
  const say = useSay();
  const filter = useMemo(() => {
    const kept: Filter = {};
    for (const name of ["actor", "action", "subject"]) {
      const value = query.get(name);
      if (value) kept[name] = value;
    }
    return kept;
  }, [query]);
  const asked = useInfiniteQuery({
    queryKey: ["audit", filter],
    queryFn: ({ pageParam, signal }) => api.audit(filter, pageParam, pageRows, signal),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.rows.length === pageRows ? page.rows[pageRows - 1]!.id : null),
  });
  const rows = asked.data?.pages.flatMap((page) => page.rows) ?? [];
  const check = useMutation({ mutationFn: api.verifyAudit, onError: (error) => say(errorText(error), { tone: "bad" }) });
  const narrow = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    swap(href("audit", { actor: text("actor"), action: text("action"), subject: text("subject") }));
  };
  return (
    <div className="page">
      <header>
        <h1>Audit trail</h1>
        <span className="grow" />
        {check.data && (
          <span role="status">
            {check.data.is_whole ? (
              <Chip tone="good">whole: {count(check.data.rows)} rows</Chip>
            ) : (
              <Chip tone="bad">changed: {check.data.trouble}</Chip>
            )}
          </span>
        )}
        <button type="button" className="button" onClick={() => check.mutate()} disabled={check.isPending}>
          {check.isPending ? "Computing …" : "Verify the chain"}
        </button>
        <button type="button" className="button" disabled={rows.length === 0} onClick={() => saveCsv("audit.csv", csvColumns, rows.map(flat))}>
          CSV
        </button>
      </header>
      <form className="filters" role="search" aria-label="Filter of the audit trail" onSubmit={narrow} key={JSON.stringify(filter)}>
        <input className="input" name="actor" aria-label="Who" placeholder="Who" defaultValue={filter.actor} />
        <input className="input" name="action" aria-label="Did what" placeholder="Did what: rules. or user.add" defaultValue={filter.action} />
        <input className="input" name="subject" aria-label="To what" placeholder="To what" defaultValue={filter.subject} />
        <button type="submit" className="button">
          Show these
        </button>
      </form>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading lines={10} />}
        {asked.data && rows.length === 0 && (
          <Blank title="No row fits">
            <p>Every change that somebody makes here or by a command is written down: who, when, what.</p>
          </Blank>
        )}
        {rows.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of changes">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col" className="num">Link</th>
                  <th scope="col">When</th>
                  <th scope="col">Who</th>
                  <th scope="col">Did what</th>
                  <th scope="col">To what</th>
                  <th scope="col">Account</th>
                  <th scope="col">With</th>
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => (
                  <tr key={row.id}>
                    <td className="num muted">{row.link}</td>
                    <td className="nowrap">{moment(row.at)}</td>
                    <td>{row.actor}</td>
                    <td className="nowrap"><code>{row.action}</code></td>
                    <td>{row.subject}</td>
                    <td>{row.account}</td>
                    <td><code className="wrap">{Object.keys(row.detail).length ? plain(row.detail) : ""}</code></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {asked.hasNextPage && (
        <div className="row">
          <button type="button" className="button" onClick={() => void asked.fetchNextPage()} disabled={asked.isFetchingNextPage}>
            Older
          </button>
        </div>
      )}
    </div>
  );
}

const csvColumns = ["id", "link", "at", "actor", "action", "subject", "account", "detail"] as const satisfies readonly (keyof AuditRow)[];
/** As JSON; what would turn the reading direction of the rest is spelt out. */
const plain = (detail: AuditRow["detail"]) =>
  JSON.stringify(detail).replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16)}`);

const flat = (row: AuditRow) => ({ ...row, detail: JSON.stringify(row.detail) });
