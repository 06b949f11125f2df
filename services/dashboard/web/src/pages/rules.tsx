// SPDX-License-Identifier: Apache-2.0
// Rule sets: all versions, and the editor of one.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Suspense, lazy } from "react";
import { rulesApi } from "../api/rules";
import { saveCsv } from "../csv";
import { count, moment } from "../format";
import { go, href, useRoute } from "../route";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, useTitle } from "../ui";
import { stateTone } from "./rules_life";
import "./rules.css";

const Editor = lazy(() => import("./rules_editor"));
const columns = ["version", "account", "state", "revision", "rules", "authors", "approver", "note", "created_at", "updated_at", "shadowed_at", "published_at", "retired_at"] as const;

export default function RulesPage() {
  const [, which, base] = useRoute().path;
  if (which === undefined) return <Sets />;
  const version = which === "new" ? null : Number(which);
  return (
    <Suspense fallback={<Loading />}>
      <Editor key={`${which} ${base ?? ""}`} version={Number.isInteger(version) ? version : null} base={base ? Number(base) : null} />
    </Suspense>
  );
}

function Sets() {
  useTitle("Rules");
  const isAuthor = useMay("rule_author");
  const asked = useInfiniteQuery({
    queryKey: ["rules", "sets"],
    queryFn: ({ pageParam, signal }) => rulesApi.sets(pageParam, signal),
    initialPageParam: null as number | null,
    getNextPageParam: (last) => (last.rulesets.length === 100 ? last.rulesets.at(-1)!.version : undefined),
  });
  const sets = asked.data?.pages.flatMap((page) => page.rulesets) ?? [];
  const live = sets.find((each) => each.state === "published" && each.account === "");
  const fresh = href(live ? `rules/new/${live.version}` : "rules/new");
  useShortcuts("Rules", isAuthor ? [{ key: "n", label: "New draft from the set in force", run: () => go(fresh) }] : []);
  return (
    <div className="page">
      <header>
        <h1>Rules</h1>
        {live && <span className="muted small">version {live.version} is in force, with {count(live.rules)} rules</span>}
        <span className="grow" />
        <button type="button" className="button" disabled={sets.length === 0} onClick={() => saveCsv("rulesets.csv", columns, sets)}>CSV</button>
        {isAuthor && (
          <a className="button primary" href={fresh}>
            New draft <Kbd>N</Kbd>
          </a>
        )}
      </header>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading />}
        {asked.data && sets.length === 0 && (
          <Blank title="Nothing is written yet">
            <p>
              A rule is a condition and what is done when it holds: <code>tx.amount &gt; 50000 &amp;&amp; count(card, "10m") &gt; 5</code> → decline. Write
              a draft, see what it would have done, let it watch in shadow, and have a second person publish it.
            </p>
          </Blank>
        )}
        {sets.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of rule sets">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">Version</th>
                  <th scope="col">State</th>
                  <th scope="col" className="num">Rules</th>
                  <th scope="col">Written by</th>
                  <th scope="col">Approved by</th>
                  <th scope="col">Changed</th>
                  <th scope="col">In force since</th>
                  <th scope="col">Note</th>
                </tr>
              </thead>
              <tbody>
                {sets.map((each) => (
                  <tr key={each.version}>
                    <th scope="row"><a href={href(`rules/${each.version}`)}>Version {each.version}</a></th>
                    <td>
                      <span className="row">
                        <Chip tone={stateTone[each.state]}>{each.state}</Chip>
                        {each.account && <Chip>{each.account}</Chip>}
                      </span>
                    </td>
                    <td className="num">{count(each.rules)}</td>
                    <td className="wrap">{each.authors}</td>
                    <td>{each.approver || "–"}</td>
                    <td className="nowrap muted">{moment(each.updated_at)}</td>
                    <td className="nowrap muted">{moment(each.published_at)}</td>
                    <td className="wrap">{each.note}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        {asked.hasNextPage && (
          <div className="body">
            <button type="button" className="button" disabled={asked.isFetchingNextPage} onClick={() => void asked.fetchNextPage()}>Older versions</button>
          </div>
        )}
      </div>
    </div>
  );
}
