// SPDX-License-Identifier: Apache-2.0
// What a payment is tied to, as a picture and as a table that says the same. Choosing nodes shows their payments.
import { type KeyboardEvent, type MouseEvent, useMemo, useRef, useState } from "react";
import type { Graph, GraphNode } from "../api/evidence";
import { count } from "../format";
import { height, layout, neighbour, width } from "./graph_layout";

const letters = { card: "Ca", customer: "Cu", device: "De", ip: "IP", merchant: "Me" } as const;
const kindText = { card: "card", customer: "customer", device: "device", ip: "address", merchant: "merchant" } as const;
const hopText = ["its own", "1 hop", "2 hops"];

const tone = (node: GraphNode): string => (node.frauds > 0 ? "bad" : node.legit > 0 ? "good" : "");

/** How much of a node there is that the graph does not show. */
export function cutText(node: GraphNode): string | null {
  if (!node.is_cut) return null;
  const all = node.counted_payments === null ? "more payments" : `${node.has_more ? "more than " : ""}${count(node.counted_payments)} payments`;
  const by = node.kind !== "customer" && node.counted_customers ? ` by ${node.has_more ? "at least " : ""}${count(node.counted_customers)} customers` : "";
  return node.is_hub ? `a hub with ${all}${by}, not followed` : `${all}${by}, the newest followed`;
}

function label(node: GraphNode): string {
  const parts = [`${letters[node.kind]}, ${kindText[node.kind]} ${node.value}`, hopText[node.hop]!, `${node.payments} payments here`];
  if (node.frauds) parts.push(`${node.frauds} fraud`);
  if (node.legit) parts.push(`${node.legit} legitimate`);
  if (node.cases) parts.push(`${node.cases} cases`);
  const cut = cutText(node);
  return [...parts, ...(cut ? [cut] : [])].join(", ");
}

interface Props {
  graph: Graph;
  chosen: number[];
  /** Alone, or beside those that are chosen. */
  choose: (node: number, isBeside: boolean) => void;
}

export function Picture({ graph, chosen, choose }: Props) {
  const spots = useMemo(() => layout(graph), [graph]);
  const [at, setAt] = useState(0);
  const [over, setOver] = useState<number | null>(null);
  const svg = useRef<SVGSVGElement>(null);
  const focus = Math.min(at, graph.nodes.length - 1);
  const onKey = (event: KeyboardEvent) => {
    if (event.key.startsWith("Arrow")) {
      const to = neighbour(spots, focus, event.key);
      event.preventDefault();
      setAt(to);
      svg.current?.querySelector<SVGGElement>(`[data-node="${to}"]`)?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(focus, event.key === " ");
    }
  };
  const told = over === null ? undefined : graph.nodes[over];
  return (
    <>
      <svg ref={svg} className="graph" viewBox={`0 0 ${width} ${height}`} role="group" aria-label="What this payment is tied to. Arrow keys move, Enter shows the payments, Space adds to what is chosen" onKeyDown={onKey}>
        <g aria-hidden="true">
          {graph.nodes.filter((each) => each.hop === 0).map((each) => (
            <line key={each.node} className="edge" x1={width / 2} y1={height / 2} x2={spots[each.node]!.x} y2={spots[each.node]!.y} />
          ))}
          {graph.edges.map(({ from, to, payments }) => (
            <line key={`${from}-${to}`} className="edge" x1={spots[from]!.x} y1={spots[from]!.y} x2={spots[to]!.x} y2={spots[to]!.y} strokeWidth={Math.min(4, 1 + Math.log2(payments))} />
          ))}
          <circle className="self" cx={width / 2} cy={height / 2} r={9} />
        </g>
        {graph.nodes.map((each) => (
          <g
            key={each.node}
            data-node={each.node}
            role="button"
            tabIndex={each.node === focus ? 0 : -1}
            aria-pressed={chosen.includes(each.node)}
            aria-label={label(each)}
            className={`spot ${tone(each)} ${each.is_hub ? "hub" : ""}`}
            transform={`translate(${spots[each.node]!.x} ${spots[each.node]!.y})`}
            onFocus={() => {
              setAt(each.node);
              setOver(each.node);
            }}
            onBlur={() => setOver(null)}
            onPointerEnter={() => setOver(each.node)}
            onPointerLeave={() => setOver(null)}
            onClick={(event: MouseEvent) => choose(each.node, event.ctrlKey || event.metaKey || event.shiftKey)}
          >
            <circle className="ring" r={16} />
            <circle className="disc" r={12} />
            <text textAnchor="middle" y={4}>{letters[each.kind]}</text>
            {each.cases > 0 && <circle className="has-case" cx={10} cy={-10} r={4} />}
          </g>
        ))}
      </svg>
      <p className="small told" aria-hidden="true">
        {told ? label(told).slice(letters[told.kind].length + 2) : "Arrow keys or the mouse tell what a node is; Enter or a click shows its payments, Space or Ctrl adds more."}
      </p>
    </>
  );
}

export function NodeTable({ graph, chosen, choose }: Props) {
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of what it is tied to">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col">How far</th>
            <th scope="col" className="num">Payments</th>
            <th scope="col" className="num">Fraud</th>
            <th scope="col" className="num">Legitimate</th>
            <th scope="col" className="num">Cases</th>
            <th scope="col">Tied to</th>
          </tr>
        </thead>
        <tbody>
          {graph.nodes.map((each) => (
            <tr key={each.node}>
              <th scope="row">
                <button type="button" className="button quiet node-link" aria-pressed={chosen.includes(each.node)} onClick={(event) => choose(each.node, event.ctrlKey || event.metaKey)}>
                  {kindText[each.kind]} {each.value}
                </button>
                {cutText(each) && <div className="small muted">{cutText(each)}</div>}
              </th>
              <td className="nowrap">{hopText[each.hop]}</td>
              <td className="num">{each.payments}</td>
              <td className="num">{each.frauds || "–"}</td>
              <td className="num">{each.legit || "–"}</td>
              <td className="num">{each.cases || "–"}</td>
              <td className="small">{tiedTo(graph, each.node)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function tiedTo(graph: Graph, node: number): string {
  const others = graph.edges.flatMap(({ from, to }) => (from === node ? [to] : to === node ? [from] : []));
  const names = others.slice(0, 4).map((each) => `${kindText[graph.nodes[each]!.kind]} ${graph.nodes[each]!.value}`);
  if (graph.nodes[node]!.hop === 0) names.unshift("this payment");
  return names.join(", ") + (others.length > 4 ? ` and ${others.length - 4} more` : "");
}
