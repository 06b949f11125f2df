// SPDX-License-Identifier: Apache-2.0
// What a payment is tied to, to two hops, and the payments behind it; cases among them can be decided at once.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, lazy, useMemo, useState } from "react";
import { type Entity, Refused } from "../api";
import { type Graph, type GraphNode, type RelatedPayment, evidence } from "../api/evidence";
import { saveCsv } from "../csv";
import { count, moment, money, percent } from "../format";
import { href } from "../route";
import { useMay } from "../session";
import { ActionChip, Chip, Fault, Loading, Panel } from "../ui";
import type { BulkCase } from "./bulk";
import { NodeTable, Picture, cutText } from "./graph";

const BulkDialog = lazy(() => import("./bulk").then(({ BulkDialog: view }) => ({ default: view })));

const fieldOf: Record<Entity, "card_id" | "customer_id" | "device_id" | "ip" | "merchant_id"> = {
  card: "card_id", customer: "customer_id", device: "device_id", ip: "ip", merchant: "merchant_id",
};
type Row = RelatedPayment & { hop: 1 | 2; via: Entity };
const shownMost = 60;

const hasNode = (row: Row, node: GraphNode): boolean => row[fieldOf[node.kind]] === node.value;

/** Those that can be decided: open cases, as they were when the graph was made. */
const caseOf = (row: Row): BulkCase | null =>
  row.case !== null && row.case_version !== null && row.case_state !== "decided"
    ? { case: row.case, version: row.case_version, amount_base_minor: row.amount_base_minor, expected_loss_base_minor: row.expected_loss_base_minor ?? 0 }
    : null;

export default function RelatedPanel({ id }: { id: number }) {
  const asked = useQuery({ queryKey: ["graph", id], queryFn: ({ signal }) => evidence.graph(id, signal), staleTime: 60000 });
  if (asked.error instanceof Refused && asked.error.status === 404) return null;
  const graph = asked.data;
  if (graph && graph.payments.length > 0) return <Ties id={id} graph={graph} />;
  return (
    <Panel title="Related payments">
      {asked.isPending && <Loading lines={12} />}
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {graph && (
        <p className="muted">
          No other payment shares a card, customer, device, address or merchant with it
          {graph.nodes.some((each) => each.is_hub) ? " that is not a hub: " : "."}
          {graph.nodes.filter((each) => each.is_hub).map((each) => `${each.value} is ${cutText(each)}`).join("; ")}
        </p>
      )}
    </Panel>
  );
}

function Ties({ id, graph }: { id: number; graph: Graph }) {
  const queries = useQueryClient();
  const canDecide = useMay("analyst", "lead");
  const [isTable, setTable] = useState(false);
  const [nodes, setNodes] = useState<number[]>([]);
  const [marked, setMarked] = useState<number[]>([]);
  const [isDeciding, setDeciding] = useState(false);
  const all = useMemo(() => graph.payments.map(({ hop, via, payment }): Row => ({ ...payment, hop, via })), [graph]);
  const chosen = nodes.flatMap((each) => graph.nodes[each] ?? []);
  const rows = chosen.length ? all.filter((row) => chosen.some((node) => hasNode(row, node))) : all;
  const known = all.filter((row) => row.is_fraud !== null);
  const open = rows.flatMap((row) => caseOf(row)?.case ?? []);
  const cases = all.flatMap((row) => {
    const its = caseOf(row);
    return its && marked.includes(its.case) ? [its] : [];
  });
  const choose = (node: number, isBeside: boolean) => {
    const without = nodes.filter((each) => each !== node);
    const isIn = without.length < nodes.length;
    setNodes(isBeside ? (isIn ? without : [...nodes, node]) : isIn && nodes.length === 1 ? [] : [node]);
  };
  const mark = (which: number[], isOn: boolean) => setMarked((now) => [...now.filter((each) => !which.includes(each)), ...(isOn ? which : [])]);
  return (
    <Panel
      title="Related payments"
      flush
      tools={
        <>
          <span className="small muted">
            {count(all.length)}, {known.filter((row) => row.is_fraud).length} fraud of {known.length} labelled
          </span>
          <button type="button" className="button quiet" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
            As a table
          </button>
        </>
      }
    >
      {isTable ? (
        <NodeTable graph={graph} chosen={nodes} choose={choose} />
      ) : (
        <div className="body">
          <Picture graph={graph} chosen={nodes} choose={choose} />
          <div className="legend">
            <span><i className="dot bad" />with fraud</span>
            <span><i className="dot good" />legitimate only</span>
            <span><i className="dot muted" />no label</span>
            <span><i className="dot accent" />has a case</span>
            <span>dashed: a hub, not followed</span>
          </div>
        </div>
      )}
      <Cuts graph={graph} />
      <div className="body row wrap case-row" aria-live="polite">
        <span className="grow">
          {chosen.length === 0
            ? `All ${rows.length} payments`
            : `${rows.length} payments of ${chosen.map((each) => each.value).join(", ").slice(0, 120)}`}
          {rows.length > shownMost && `, the first ${shownMost} shown`}
        </span>
        {chosen.length > 0 && (
          <button type="button" className="button quiet" onClick={() => setNodes([])}>
            Show all
          </button>
        )}
        {canDecide && open.length > 0 && (
          <button type="button" className="button quiet" onClick={() => mark(open, !open.every((each) => marked.includes(each)))}>
            {open.every((each) => marked.includes(each)) ? "Choose none" : `Choose ${open.length} open ${open.length === 1 ? "case" : "cases"}`}
          </button>
        )}
        {cases.length > 0 && (
          <button type="button" className="button" onClick={() => setDeciding(true)}>
            Decide {cases.length}
          </button>
        )}
        <button
          type="button"
          className="button quiet"
          onClick={() => saveCsv(`related-${id}.csv`, ["transaction_id", "occurred_at", "amount_minor", "currency", "action", "score", "hop", "via", "is_fraud", "case", "customer_id", "card_id", "merchant_id", "device_id", "ip"], rows)}
        >
          CSV
        </button>
      </div>
      <PaymentTable rows={rows.slice(0, shownMost)} marked={marked} mark={canDecide ? mark : undefined} />
      {isDeciding && (
        <Suspense fallback={null}>
          <BulkDialog
            what={{ cases }}
            onClose={() => setDeciding(false)}
            onDone={() => {
              setDeciding(false);
              setMarked([]);
              for (const key of ["graph", "case", "cases"]) void queries.invalidateQueries({ queryKey: [key] });
            }}
          />
        </Suspense>
      )}
    </Panel>
  );
}

/** What the graph leaves out, in words. */
function Cuts({ graph }: { graph: Graph }) {
  const cut = graph.nodes.filter((each) => each.is_cut);
  const leftOut = graph.nodes_left_out + graph.payments_left_out;
  if (cut.length === 0 && leftOut === 0) return null;
  return (
    <details className="body small cuts">
      <summary>
        {cut.length > 0 && `${cut.length} not followed to the end`}
        {cut.length > 0 && leftOut > 0 && "; "}
        {leftOut > 0 && "more was found than there is room for"}
      </summary>
      <ul>
        {cut.map((each) => (
          <li key={each.node}>
            {each.kind} <strong>{each.value}</strong>: {cutText(each)}
          </li>
        ))}
        {graph.nodes_left_out > 0 && <li>{count(graph.nodes_left_out)} times something was found for which there was no room</li>}
        {graph.payments_left_out > 0 && <li>{count(graph.payments_left_out)} payments are not in the list</li>}
      </ul>
    </details>
  );
}

interface TableProps {
  rows: Row[];
  marked: number[];
  mark: ((cases: number[], isOn: boolean) => void) | undefined;
}

function PaymentTable({ rows, marked, mark }: TableProps) {
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of related payments">
      <table className="plain">
        <thead>
          <tr>
            {mark && <th scope="col"><span className="hidden">Choose</span></th>}
            <th scope="col">When</th>
            <th scope="col" className="num">Amount</th>
            <th scope="col">Decided</th>
            <th scope="col" className="num">Score</th>
            <th scope="col">Shares</th>
            <th scope="col">Label</th>
            <th scope="col">Payment</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const its = caseOf(row)?.case;
            return (
              <tr key={row.transaction_id}>
                {mark && (
                  <td>
                    {its !== undefined && (
                      <input type="checkbox" aria-label={`Choose case ${its}`} checked={marked.includes(its)} onChange={(event) => mark([its], event.target.checked)} />
                    )}
                  </td>
                )}
                <td className="nowrap">{moment(row.occurred_at)}</td>
                <td className="num">{money(row.amount_minor, row.currency)}</td>
                <td><ActionChip action={row.action} /></td>
                <td className="num">{percent(row.score)}</td>
                <td className="nowrap">{row.via}{row.hop === 2 && <span className="muted small"> 2 hops</span>}</td>
                <td><Label is={row.is_fraud} /></td>
                <td className="nowrap">{row.case ? <a href={href(`cases/${row.case}`)}>{row.transaction_id}</a> : row.transaction_id}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Label({ is }: { is: boolean | null }) {
  if (is === null) return <span className="muted">–</span>;
  return <Chip tone={is ? "bad" : "good"}>{is ? "fraud" : "legitimate"}</Chip>;
}
